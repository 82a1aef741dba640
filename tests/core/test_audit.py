"""The audit's decisions against a naive model, and what it makes of checkpoints."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.audit import NAMES_MAX, OPEN, Audit, Fate, Found, Stretch
from service.core.checkpoint import VERSION, Checkpoint, OpenBatch, pack_sources
from service.core.codec import Recipe
from service.core.marks import BATCH, OVERFLOW, PARKED, Standing
from service.core.offsets import Ledger, PartitionState
from service.core.open_work import Gap, OpenWork
from service.errors import CheckpointUnreadable

TOPIC = "calls.requests"
PARKED_TOPIC = "calls.parked"
RECIPE = Recipe(
    1,
    "1.0",
    fills_start_time=False,
    number_format="digits",
    time_zone="Asia/Kolkata",
    correlation_key=None,
    dummy_number=None,
)


def checkpoint(lane: int, *ledgers: Ledger, batches: list[OpenBatch] | None = None) -> Checkpoint:
    """A lane's state."""
    return Checkpoint(
        VERSION,
        lane,
        1,
        "owner",
        1,
        5.0,
        30.0,
        released=False,
        partitions=[ledger.state() for ledger in ledgers],
        batches=batches or [],
        tally=[],
        holds=[],
    )


def ledger(began: int, end: int, still_open: set[int], partition: int = 0) -> Ledger:
    """One that has read [began, end), and not finished `still_open`."""
    made = Ledger(TOPIC, partition, began)
    if began < end:
        made.read(range(began, end))
        made.finish(offset for offset in range(began, end) if offset not in still_open)
    return made


def audit_of(work: OpenWork, first: int = 0, end: int = 20, known_end: int = 25) -> Audit:
    """An audit of partition 0 of two."""
    stretch = Stretch(0, first, end, known_end, bytearray(end - first))
    return Audit(TOPIC, 2, {0: stretch}, work)


def judged(audit: Audit, offsets: range, since_ms: int = 0, time_ms: int = 100) -> Found:
    """What the requests of these offsets have come to."""
    found = Found()
    audit.judge(0, ((offset, time_ms) for offset in offsets), since_ms, found)
    return found


@given(
    results=st.lists(st.integers(0, 19), max_size=30),
    dead_letters=st.lists(st.integers(0, 19), max_size=30),
    still_open=st.sets(st.integers(3, 14)),
    parked=st.sets(st.integers(0, 19)),
    batch=st.sets(st.integers(0, 19)),
    old=st.booleans(),
)
def test_every_request_has_the_fate_of_the_model(
    results: list[int],
    dead_letters: list[int],
    still_open: set[int],
    parked: set[int],
    batch: set[int],
    *,
    old: bool,
) -> None:
    """One lost call that counts as open, or one open call that counts as lost, ends all trust."""
    audit = audit_of(OpenWork([checkpoint(0, ledger(3, 15, still_open))]))
    for offset in parked:
        audit.waits((TOPIC, 0, offset), PARKED)
    for offset in batch:
        audit.waits((TOPIC, 0, offset), BATCH)
    for offset in results:
        assert audit.result((TOPIC, 0, offset))
    for offset in dead_letters:
        assert audit.dead_letter((TOPIC, 0, offset))

    def model(offset: int) -> Fate:
        rules = (
            (results.count(offset) + dead_letters.count(offset) > 1, Fate.DOUBLED),
            (offset in results, Fate.RESULT),
            (offset in dead_letters, Fate.DEAD_LETTER),
            (offset in batch, Fate.IN_BATCH),
            (offset in parked, Fate.PARKED),
            (offset < 3, Fate.BEFORE_BEGAN),
            (offset >= 15 or offset in still_open, Fate.WAITING),
            (old, Fate.OUTCOMES_GONE),
            (True, Fate.LOST),
        )
        return next(fate for holds, fate in rules if holds)

    offsets = range(0, 20, 2)
    found = judged(audit, offsets, since_ms=101 if old else 100)
    assert found.fates == Counter(map(model, offsets))
    expected = {offset for offset in {*results, *dead_letters} if offset % 2}
    assert {place[2] for place in audit.unseen(0, 0)} == expected
    assert {place[2] for place in audit.unseen(0, 7)} == {each for each in expected if each >= 7}
    again = judged(audit, offsets, since_ms=101 if old else 100)
    assert again.fates == found.fates


def test_outcomes_of_others_are_told_apart_from_orphans() -> None:
    """An outcome of a request that came later must not ring the bell, one of nothing must."""
    audit = audit_of(OpenWork([]), first=5)
    for offset, which in ((4, "older"), (20, "later"), (24, "later")):
        assert not audit.result((TOPIC, 0, offset))
        assert audit.elsewhere[which] > 0
    assert not audit.dead_letter((TOPIC, 1, 3))
    assert audit.elsewhere == {"older": 1, "later": 2, "other": 1}
    assert audit.orphans == 0
    nothing = [(TOPIC, 0, 25), (TOPIC, 2, 0), (TOPIC, -1, 0), ("other", 0, 6), (TOPIC, 0, -1)]
    for place in nothing:
        assert not audit.result(place)
    assert (audit.orphans, audit.orphans_named) == (5, nothing)


def test_all_are_counted_and_some_are_named() -> None:
    """A disaster must neither fill the memory nor be told as twenty."""
    audit = audit_of(OpenWork([checkpoint(0, ledger(0, 20, set()))]))
    found = judged(audit, range(20))
    for number in range(100):
        audit.orphan((TOPIC, 9, number))
    assert found.fates[Fate.LOST] == 20
    assert len(found.named[Fate.LOST]) == NAMES_MAX
    assert (audit.orphans, len(audit.orphans_named)) == (100, NAMES_MAX)


def test_open_calls_have_the_age_of_their_oldest() -> None:
    """An hour-old open call tells more than ten thousand fresh ones."""
    audit, found = audit_of(OpenWork([])), Found()
    audit.waits((TOPIC, 0, 1), OVERFLOW)
    audit.waits(("other", 0, 2), PARKED)
    audit.waits((TOPIC, 0, 20), PARKED)
    audit.judge(0, [(0, 30), (1, 20), (2, 10)], 0, found)
    assert found.oldest_ms == {Fate.WAITING: 10, Fate.OVERFLOW: 20}
    assert set(found.oldest_ms) <= set(OPEN)


def test_standings_are_known_of_what_is_audited() -> None:
    """A replay of what was accepted is found by the standing of its origin."""
    audit = audit_of(OpenWork([]), first=5)
    audit.result((TOPIC, 0, 6))
    judged(audit, range(5, 20))
    assert audit.standing((TOPIC, 0, 6)) is Standing.RESULT
    assert audit.standing((TOPIC, 0, 7)) is Standing.NONE
    assert audit.standing((TOPIC, 0, 4)) is None
    assert audit.standing((TOPIC, 1, 6)) is None
    assert audit.standing(("other", 0, 6)) is None


def test_checkpoints_tell_what_is_open_and_what_is_gone() -> None:
    """A call in a batch that is on its way is not lost, wherever its record lies."""
    requests, parked = ledger(2, 10, {4}), Ledger(PARKED_TOPIC, 0, 0)
    requests.lose(10, 12)
    parked.read([0, 1])
    parked.finish([0])
    sources = pack_sources([1, 0], [1, 4])
    batch = OpenBatch("b", "AbCd1234", 2, sources, 0, tailed=False, sha256=b"", recipe=RECIPE)
    work = OpenWork([checkpoint(0, requests, parked, batches=[batch])])
    assert work.in_batches == {(TOPIC, 0, 4), (PARKED_TOPIC, 0, 1)}
    assert [work.is_open((TOPIC, 0), offset) for offset in (3, 4, 5, 12)] == [0, 1, 0, 1]
    assert [work.is_open((PARKED_TOPIC, 0), offset) for offset in (0, 1, 2)] == [0, 1, 1]
    assert work.is_open((TOPIC, 7), 0)
    assert (work.began((TOPIC, 0)), work.began((TOPIC, 7))) == (2, 0)
    assert (work.position((PARKED_TOPIC, 0)), work.position((TOPIC, 7))) == (1, 0)
    assert list(work.gaps([PARKED_TOPIC])) == []
    (gap,) = work.gaps([TOPIC])
    assert (gap, gap.records) == (Gap(TOPIC, 0, 10, 12), 2)


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_lanes_with_one_partition_the_further_one_is_right(order: int) -> None:
    """While lanes are dealt anew, an older state must not call done records open."""
    states = [checkpoint(0, ledger(0, 5, {0})), checkpoint(1, ledger(0, 9, set()))]
    work = OpenWork(states[::order])
    assert not work.is_open((TOPIC, 0), 0)
    assert work.is_open((TOPIC, 0), 9)


def test_a_damaged_checkpoint_is_said() -> None:
    """An audit that took it for an empty one would call everything lost."""
    state = checkpoint(0, ledger(0, 9, {3}))
    broken = PartitionState(TOPIC, 0, 0, 3, 9, [(0, b"no zlib")], [])
    damaged = Checkpoint(
        **{name: getattr(state, name) for name in state.__struct_fields__}
        | {"partitions": [broken]}
    )
    with pytest.raises(CheckpointUnreadable):
        OpenWork([damaged])
