"""The window guard against the law itself."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from service.core.rate import (
    MARGIN_SECONDS,
    STEPS_PER_SECOND,
    WINDOW_SECONDS,
    Granted,
    Wait,
    WindowGuard,
)

LIMIT = 100


def test_an_attempt_counts_until_a_window_after_its_end() -> None:
    """Freeing its place any earlier could show the provider more than the limit in a minute."""
    guard = WindowGuard(LIMIT, LIMIT)
    token = guard.grant(LIMIT)
    assert isinstance(guard.ask(1, 1000.0), Wait)
    guard.end(token, 1000.0)
    wait = guard.ask(1, 1059.0)
    assert isinstance(wait, Wait)
    assert 1.0 + MARGIN_SECONDS <= wait.seconds <= 1.0 + MARGIN_SECONDS + 1 / STEPS_PER_SECOND
    late = 1000.0 + WINDOW_SECONDS + MARGIN_SECONDS + 1 / STEPS_PER_SECOND
    assert guard.ask(LIMIT, late) == Granted()


def test_a_batch_above_the_share_goes_when_the_window_is_empty() -> None:
    """A recovered batch must not wait for ever after the limit was lowered."""
    guard = WindowGuard(LIMIT, LIMIT)
    assert guard.ask(LIMIT + 1, 0.0) == Granted()
    guard.end(guard.grant(1), 0.0)
    assert isinstance(guard.ask(LIMIT + 1, 1.0), Wait)


def test_requests_are_limited_like_calls() -> None:
    """Many small batches must not exceed the provider's requests a minute."""
    guard = WindowGuard(LIMIT, 2)
    guard.grant(1)
    guard.grant(1)
    assert isinstance(guard.ask(1, 0.0), Wait)


def test_a_tally_may_hold_calls_without_requests() -> None:
    """Dealt out to more lanes than it has requests, it would end the lane that was given a rest."""
    guard = WindowGuard(1_000, 100)
    for seconds in (1.1, 1.2, 1.4):
        guard.count_until(10, 0, seconds)
    guard.count_until(0, 0, 1.6)
    assert guard.tally(0.0) == [(2, 30, 0)]
    assert guard.tally(1.3) == [(1, 10, 0)]
    assert guard.tally(1.5) == []
    assert guard.used(2.0) == (0, 0)


def test_a_tally_restored_elsewhere_counts_as_long() -> None:
    """A successor that forgot the last minute would exceed the limit after every takeover."""
    guard = WindowGuard(LIMIT, LIMIT)
    guard.end(guard.grant(60), 10.0)
    guard.end(guard.grant(30), 20.5)
    heir = WindowGuard(LIMIT, LIMIT)
    for seconds, calls, requests in guard.tally(30.0):
        heir.count_until(calls, requests, 500.0 + seconds)
    assert heir.used(500.0) == (90, 2)
    assert isinstance(heir.ask(11, 500.0), Wait)
    assert heir.ask(11, 542.0) == Granted()


def test_an_attempt_that_never_began_leaves_at_once() -> None:
    """A grant that came too late to be used would cost a minute of its calls."""
    guard = WindowGuard(LIMIT, LIMIT)
    guard.cancel(guard.grant(LIMIT))
    assert guard.used(0.0) == (0, 0)


steps = st.lists(
    st.tuples(st.integers(1, 40), st.floats(0, 20), st.floats(0, 30), st.floats(0, 1)),
    max_size=60,
)


@settings(max_examples=200)
@given(steps)
def test_no_sliding_window_at_the_provider_exceeds_the_share(
    plan: list[tuple[int, float, float, float]],
) -> None:
    """Wherever between start and end the provider sees a request arrive, the law holds."""
    guard, now = WindowGuard(LIMIT, LIMIT), 0.0
    ends: list[tuple[float, int]] = []
    arrivals: list[tuple[float, int]] = []
    for calls, pause, answer_seconds, where in plan:
        now += pause
        for end, token in sorted(ends):
            if end <= now:
                guard.end(token, end)
        ends = [(end, token) for end, token in ends if end > now]
        if isinstance(guard.ask(calls, now), Granted):
            ends.append((now + answer_seconds, guard.grant(calls)))
            arrivals.append((now + answer_seconds * where, calls))
    arrivals.sort()
    for at, _ in arrivals:
        window = sum(calls for when, calls in arrivals if at - WINDOW_SECONDS < when <= at)
        assert window <= LIMIT
