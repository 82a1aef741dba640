"""Drafts and their order, against naive models."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from service.core.batching import Batcher
from service.core.calls import Call
from service.core.drafts import Bounds, Cause, Draft
from service.core.fairness import Rotation
from service.core.identifiers import string_form
from tests.support.calls import FRAME_BYTES, call_of

CALL_BYTES = FRAME_BYTES + 3 + 10
"""Of a call with an identifier of one character, as `call` makes it."""


class Stub:
    """A record that nobody looks at."""

    topic, partition, offset, timestamp, key, value, headers = "t", 0, 0, 0, None, b"", ()


def call(flow_id: str, identity: str, size: int = 10) -> Call:
    """A call whose fragment has `size` bytes beside its frame and identifier."""
    return call_of(Stub(), flow_id, b'"%b"' % identity.encode(), b"x" * size)


def ids(calls: Iterable[Call]) -> list[str]:
    """Their identities."""
    return [string_form(one.identity) for one in calls]


def everything(_: str) -> bool:
    """Every flow may go."""
    return True


def test_a_batch_is_ready_by_count_at_once() -> None:
    """Full batches must not wait out the linger."""
    batcher = Batcher(lambda _: Bounds(2, 1000, 5.0))
    batcher.add(call("A", "1"), 0.0)
    assert batcher.take(0.0, everything) is None
    batcher.add(call("A", "2"), 0.0)
    draft = batcher.take(0.0, everything)
    assert draft is not None
    assert (len(draft.calls), draft.cause) == (2, Cause.COUNT)


def test_a_batch_is_closed_before_the_byte_that_would_not_fit() -> None:
    """No body is ever above its limit, commas included."""
    batcher = Batcher(lambda _: Bounds(100, 2 * CALL_BYTES + 1, 5.0))
    for identity in "123":
        batcher.add(call("A", identity), 0.0)
    draft = batcher.take(0.0, everything)
    assert draft is not None
    assert (len(draft.calls), draft.bytes, draft.cause) == (
        2,
        2 * CALL_BYTES + 1,
        Cause.BYTES,
    )


def test_a_repeated_identifier_waits_for_the_next_batch() -> None:
    """Answers are joined by client-identifier: a batch with two of one could not be told apart."""
    batcher = Batcher(lambda _: Bounds(100, 1000, 5.0))
    for identity in "112":
        batcher.add(call("A", identity), 0.0)
    draft = batcher.take(5.0, everything)
    assert draft is not None
    assert ids(draft.calls) == ["1"]
    assert draft.cause is Cause.REPEAT
    later = batcher.take(5.0, everything)
    assert later is not None
    assert ids(later.calls) == ["1", "2"]


def test_a_full_draft_with_a_repeat_leaves_in_two_parts_at_once() -> None:
    """What was cut off must not wait as if it had just come, nor be filled again."""
    batcher = Batcher(lambda _: Bounds(4, 1000, 5.0))
    for identity in "12133":
        batcher.add(call("A", identity), 0.0)
    first, second = batcher.take(0.0, everything), batcher.take(0.0, everything)
    assert first is not None
    assert second is not None
    assert (ids(first.calls), first.cause) == (["1", "2"], Cause.REPEAT)
    assert (ids(second.calls), second.cause) == (["1", "3"], Cause.COUNT)
    assert batcher.take(4.9, everything) is None
    assert batcher.waiting_of("A") == 1


def test_calls_that_come_after_a_cut_join_the_rest() -> None:
    """Else a flow that repeats its identifiers would have batches of one or two calls."""
    batcher = Batcher(lambda _: Bounds(9, 1000, 5.0))
    for identity in "112":
        batcher.add(call("A", identity), 0.0)
    assert batcher.take(5.0, everything) is not None
    batcher.extend("A", [call("A", "3"), call("A", "1")], 5.0)
    second, third = batcher.take(6.0, everything), batcher.take(6.0, everything)
    assert second is not None
    assert third is not None
    assert [ids(each.calls) for each in (second, third)] == [["1", "2", "3"], ["1"]]


def test_identifiers_of_one_string_form_are_never_in_one_batch() -> None:
    """An answer that turns a number into a string would name two calls."""
    batcher = Batcher(lambda _: Bounds(100, 1000, 5.0))
    for identifier in (b"1", b'"1"'):
        batcher.add(call_of(Stub(), "A", identifier), 0.0)
    draft = batcher.take(5.0, everything)
    assert draft is not None
    assert ([c.identifier for c in draft.calls], draft.cause) == ([b"1"], Cause.REPEAT)


def test_a_batch_that_is_ready_by_age_fills_until_it_is_taken() -> None:
    """With a backlog over many flows batches are full, not small."""
    batcher = Batcher(lambda _: Bounds(100, 1000, 1.0))
    batcher.add(call("A", "1"), 0.0)
    assert batcher.next_ready_at() == 1.0
    assert batcher.ready(1.0)
    batcher.add(call("A", "2"), 2.0)
    draft = batcher.take(3.0, everything)
    assert draft is not None
    assert len(draft.calls) == 2
    assert not batcher.ready(99.0)


def test_a_flow_that_may_not_go_does_not_stop_another() -> None:
    """One held flow must not stop its neighbours."""
    batcher = Batcher(lambda _: Bounds(1, 1000, 1.0))
    batcher.add(call("A", "1"), 0.0)
    batcher.add(call("B", "1"), 0.0)
    draft = batcher.take(0.0, lambda flow: flow != "A")
    assert draft is not None
    assert draft.flow_id == "B"
    assert batcher.take(0.0, lambda flow: flow != "A") is None
    assert batcher.peek(0.0, everything)


events = st.lists(
    st.tuples(st.sampled_from("ABC"), st.integers(0, 5), st.integers(1, 30)), max_size=80
)


@given(events, st.integers(1, 5), st.integers(30, 240), st.integers(1, 5))
def test_every_call_leaves_once_in_order_within_all_bounds(
    plan: list[tuple[str, int, int]], calls_max: int, bytes_max: int, learned: int
) -> None:
    """Whatever comes in whatever order, nothing is lost, doubled, or packed beyond a bound."""
    batcher = Batcher(lambda _: Bounds(calls_max, CALL_BYTES + bytes_max, 1.0))
    sent: dict[str, list[Call]] = {"A": [], "B": [], "C": []}
    given_in: dict[str, list[Call]] = {"A": [], "B": [], "C": []}

    def check(draft: Draft) -> None:
        assert len(draft.calls) <= min(calls_max, learned)
        assert draft.bytes == len(b",".join(c.fragment for c in draft.calls))
        assert draft.bytes <= CALL_BYTES + bytes_max
        assert len({c.identity for c in draft.calls}) == len(draft.calls)
        sent[draft.flow_id] += draft.calls

    for step, (flow_id, identity, size) in enumerate(plan):
        one = call(flow_id, str(identity), size)
        given_in[flow_id].append(one)
        batcher.add(one, step / 10)
        if step % 7 == 0 and (draft := batcher.take(step / 10, everything, lambda _: learned)):
            check(draft)
        if step % 11 == 0:
            for one in batcher.withdraw(flow_id):
                batcher.add(one, step / 10)
    while draft := batcher.take(1000.0, everything, lambda _: learned):
        check(draft)
    assert sent == given_in
    assert not any(batcher.waiting.values())


@given(st.dictionaries(st.sampled_from("ABCDE"), st.integers(1, 4), min_size=2))
def test_busy_flows_share_by_weight_within_one_batch_each(weights: dict[str, int]) -> None:
    """A priority that did not hold, or a flow that starved, would show here."""
    size = 10
    ring = Rotation(lambda flow: size * weights[flow])
    sent = dict.fromkeys(weights, 0)
    for flow in weights:
        ring.add(flow)
    for _ in range(100 * sum(weights.values())):
        flow_id = ring.pick(lambda _: size, everything)
        assert flow_id is not None
        sent[flow_id] += size
    for flow, weight in weights.items():
        assert abs(sent[flow] - 100 * size * weight) <= size * weight


def test_a_flow_that_left_forgets_what_it_saved() -> None:
    """A flow must not come back with an hour of credit."""
    ring = Rotation(lambda _: 100)
    ring.add("A")
    assert ring.pick(lambda _: 1, everything) == "A"
    ring.remove("A")
    assert "A" not in ring
    assert ring.pick(lambda _: 1, everything) is None
    ring.remove("A")


def test_a_canary_is_cut_off_and_the_rest_stays() -> None:
    """A held account must be probed with a single call, not with a full batch of doubt."""
    batcher = Batcher(lambda _: Bounds(3, 1000, 1.0))
    for identity in "123":
        batcher.add(call("A", identity), 0.0)
    canary = batcher.take(0.0, everything, lambda _: 1)
    assert canary is not None
    assert ids(canary.calls) == ["1"]
    rest = batcher.take(0.0, everything)
    assert rest is not None
    assert ids(rest.calls) == ["2", "3"]
    assert not batcher.has("A")


def test_a_flows_calls_can_be_withdrawn() -> None:
    """What an operator cancels must leave the batcher, and nothing else."""
    batcher = Batcher(lambda _: Bounds(2, 1000, 1.0))
    for identity in "123":
        batcher.add(call("A", identity), 0.0)
    batcher.add(call("B", "1"), 0.0)
    assert batcher.others_ready("B")
    assert ids(batcher.withdraw("A")) == ["1", "2", "3"]
    assert batcher.withdraw("A") == []
    assert batcher.flows() == ["B"]
    assert not batcher.others_ready("B")


def test_a_draft_that_was_closed_takes_nothing_more_even_as_the_last() -> None:
    """Two calls of one identifier would be in one batch, and its answer could not tell which."""
    batcher = Batcher(lambda _: Bounds(3, 2 * CALL_BYTES + 5, 1.0))
    for identity in ("1", "2", "3"):
        batcher.add(call("A", identity), 0.0)
    assert ids(batcher.withdraw_last("A", 1)) == ["3"]
    batcher.add(call("A", "1", size=1), 0.0)
    first, second = batcher.take(2.0, everything), batcher.take(2.0, everything)
    assert first is not None
    assert second is not None
    assert [ids(each.calls) for each in (first, second)] == [["1", "2"], ["1"]]
