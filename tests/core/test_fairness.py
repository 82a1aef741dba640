"""The bound of docs/fairness.md: what goes before a call of a flow, whatever the weights."""

from __future__ import annotations

from collections import Counter
from math import ceil

from hypothesis import example, given
from hypothesis import strategies as st

from service.core.batching import Batcher
from service.core.drafts import Bounds, Draft
from service.core.identifiers import string_form
from tests.core.test_batching import call

MINE, OTHERS = "A", "BCDE"
FLOWS = MINE + OTHERS

steps = st.lists(
    st.tuples(
        st.sampled_from(FLOWS),
        st.integers(0, 12),
        st.integers(0, 4),
        st.sets(st.sampled_from(OTHERS)),
        st.integers(1, 5),
    ),
    max_size=60,
)
"""Calls of a flow come, so many batches go, some flows may not, and a batch has so many calls."""


class Course:
    """What was sent, and what each of my calls saw pass since it came."""

    def __init__(self, weights: dict[str, int], calls_max: int) -> None:
        self.calls_max = calls_max
        self.quanta = {flow: calls_max * weight for flow, weight in weights.items()}
        self.batcher = Batcher(lambda flow: Bounds(calls_max, 10**6, 0.0, float(weights[flow])))
        self.sent = Counter[str]()
        self._waiting: dict[str, tuple[Counter[str], int]] = {}
        """By identity of my calls: what was sent when it came, and the rounds that it may wait."""
        self._numbers = 0

    def add(self, flow: str, calls: int) -> None:
        """So many calls come."""
        for _ in range(calls):
            self._numbers += 1
            self.batcher.add(call(flow, str(self._numbers)), 0.0)
            if flow == MINE:
                # Others may still join its batch behind it.
                own = self.batcher.waiting[flow] + self.calls_max - 1
                rounds = ceil(own / self.quanta[flow]) + 1
                self._waiting[str(self._numbers)] = (self.sent.copy(), rounds)

    def take(self, blocked: set[str], calls_max: int) -> bool:
        """One batch goes, if there is any that may."""
        draft = self.batcher.take(0.0, lambda flow: flow not in blocked, lambda _: calls_max)
        if draft is None:
            return False
        if draft.flow_id == MINE:
            self._check(draft)
        self.sent[draft.flow_id] += len(draft.calls)
        return True

    def _check(self, draft: Draft) -> None:
        for one in draft.calls:
            before, rounds = self._waiting.pop(string_form(one.identity))
            for other in OTHERS:
                passed = self.sent[other] - before[other]
                assert passed <= rounds * self.quanta[other] + self.calls_max


@example(
    dict(zip(FLOWS, (2, 2, 1, 1, 1), strict=True)),
    3,
    # B may not go in the middle of its visit: what it has left of it must not grow.
    [
        ("B", 16, 0, set(), 1),
        (MINE, 0, 1, set(), 1),
        (MINE, 0, 1, {"B"}, 1),
        (MINE, 4, 0, set(), 1),
        ("B", 2, 0, set(), 1),
    ],
)
@given(st.fixed_dictionaries(dict.fromkeys(FLOWS, st.integers(1, 100))), st.integers(1, 5), steps)
def test_no_weight_and_no_arrivals_make_a_call_wait_beyond_the_bound(
    weights: dict[str, int], calls_max: int, plan: list[tuple[str, int, int, set[str], int]]
) -> None:
    """A customer's flow of weight 1 would starve behind flows of weight 100."""
    course = Course(weights, calls_max)
    for flow, calls, batches, blocked, learned in plan:
        course.add(flow, calls)
        for _ in range(batches):
            course.take(blocked, learned)
    while course.take(set(), calls_max):
        pass
    assert not course.batcher.waiting


@given(st.lists(st.integers(1, 100), min_size=1, max_size=40), st.integers(1, 100))
def test_one_call_waits_for_one_visit_of_each_flow_at_most(weights: list[int], own: int) -> None:
    """A lone call behind forty busy flows must go when each has had its turn once."""
    names = [f"F{number}" for number in range(len(weights))]
    course = {**dict(zip(names, weights, strict=True)), MINE: own}
    batcher = Batcher(lambda flow: Bounds(2, 10**6, 0.0, float(course[flow])))
    for name, weight in zip(names, weights, strict=True):
        for number in range(4 * weight + 8):
            batcher.add(call(name, f"{name}-{number}"), 0.0)
    for _ in range(sum(weights) // 2):
        batcher.take(0.0, lambda _: True)
    batcher.add(call(MINE, "mine"), 0.0)
    passed = Counter[str]()
    while (draft := batcher.take(0.0, lambda _: True)) is not None and draft.flow_id != MINE:
        passed[draft.flow_id] += len(draft.calls)
    assert draft is not None
    assert all(passed[name] <= 2 * course[name] + 2 for name in names)
