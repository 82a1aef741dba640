"""How a lane stands with the window that all lanes share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.core.shared import REGISTERED_SECONDS, Join, Standing, stay_seconds

STAY = stay_seconds(30.0)
LEASE = 8.0
START = 1000.0


def test_a_new_owner_that_never_reaches_the_window_waits_for_its_predecessor() -> None:
    """An earlier owner may have registered the lane to the end of its lease."""
    standing = Standing(START, STAY, LEASE)
    safe = START + LEASE + REGISTERED_SECONDS + STAY
    assert not standing.may_go_alone(safe - 0.1)
    assert standing.may_go_alone(safe)


def test_a_new_owner_registers_only_if_the_lane_was_just_registered() -> None:
    """What its predecessor sent without the window counts for a while, and nobody else knows it."""
    standing = Standing(START, STAY, LEASE)
    assert standing.join(START) is Join.IF_KNOWN
    assert standing.join(START + LEASE + STAY - 0.1) is Join.IF_KNOWN
    assert standing.join(START + LEASE + STAY) is Join.YES
    standing = Standing(START, STAY, LEASE)
    standing.joined()
    assert standing.join(START + 1) is Join.YES


def test_a_registration_that_was_not_answered_counts_as_made() -> None:
    """The answer was lost, not the words: the others may go beyond their shares."""
    standing = Standing(START, STAY, LEASE)
    standing.asked_to_join(START + 50)
    assert not standing.may_go_alone(START + 50 + REGISTERED_SECONDS + STAY - 0.1)
    assert standing.may_go_alone(START + 50 + REGISTERED_SECONDS + STAY)


def test_who_went_alone_registers_when_nothing_of_it_counts() -> None:
    """Registered earlier, the others would fill a minute that this lane has used in part."""
    standing = Standing(START, STAY, LEASE)
    now = START + 500
    standing.joined()
    standing.went_alone(now)
    assert standing.join(now + STAY - 0.1) is Join.NO
    assert standing.join(now + STAY) is Join.YES


steps = st.lists(st.tuples(st.sampled_from(["join", "alone"]), st.floats(0, 300)), max_size=30)


@given(steps)
def test_a_lane_is_never_registered_while_it_goes_alone(plan: list[tuple[str, float]]) -> None:
    """Whatever comes when: a registration and a send on the lane's own count keep apart."""
    standing, now = Standing(START, STAY, LEASE), START
    registered_until = alone_until = float("-inf")
    for what, seconds in plan:
        now += seconds
        if what == "join" and standing.join(now) is Join.YES:
            assert now >= alone_until
            standing.asked_to_join(now)
            standing.joined()
            registered_until = now + REGISTERED_SECONDS
        elif what == "alone" and standing.may_go_alone(now):
            assert now >= registered_until + STAY
            standing.went_alone(now)
            alone_until = now + STAY
