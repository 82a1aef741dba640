"""The ledger of a partition against a naive model."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.core.offsets import CHUNK, Ledger


class LedgerMachine(RuleBasedStateMachine):
    """Reads with gaps, finishes in any order, is handed over, loses records to retention."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger("calls.requests", 0, 5)
        self.log: list[int] = []
        """Offsets that a reader can still see, ascending."""
        self.next = 5
        self.open: set[int] = set()
        self.read_to = 5
        self.cursor = 5

    @rule(
        gaps=st.lists(
            st.sampled_from([0, 0, 0, 1, 2, CHUNK - 3, 3 * CHUNK]), min_size=1, max_size=8
        )
    )
    def append(self, gaps: list[int]) -> None:
        """Upstream writes; transactions and compaction leave gaps."""
        for gap in gaps:
            self.next += gap
            self.log.append(self.next)
            self.next += 1

    @precondition(lambda self: any(offset >= self.cursor for offset in self.log))
    @rule(count=st.integers(1, 10))
    def read(self, count: int) -> None:
        """The lane reads what is there from its cursor on."""
        batch = [offset for offset in self.log if offset >= self.cursor][:count]
        expected = [o for o in batch if o >= self.read_to or o in self.open]
        below = {o for o in self.open if self.cursor <= o < batch[-1]} - set(batch)
        todo, gone = self.ledger.read(batch)
        assert (batch if todo is None else list(todo)) == expected
        assert set(gone) == below
        self.open |= set(expected)
        self.cursor = batch[-1] + 1
        self.read_to = max(self.read_to, self.cursor)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """Outcomes come in any order."""
        some = data.draw(st.lists(st.sampled_from(sorted(self.open)), unique=True, min_size=1))
        self.ledger.finish(some)
        self.open -= set(some)

    @rule()
    def hand_over(self) -> None:
        """A successor reads again from the position."""
        self.ledger = Ledger.restore(self.ledger.state())
        self.cursor = min(self.open, default=self.read_to)

    @rule()
    def retain(self) -> None:
        """Retention takes the first half of the log."""
        del self.log[: len(self.log) // 2]

    @invariant()
    def position_is_the_lowest_open_offset(self) -> None:
        """Else a successor would start behind a call without an outcome."""
        assert self.ledger.position == min(self.open, default=self.ledger.end)
        assert self.ledger.end == self.read_to
        assert all(self.ledger.is_open(offset) for offset in self.open)
        unread = {offset for offset in self.open if offset >= self.cursor}
        assert self.ledger.wanted == min(unread, default=max(self.cursor, self.read_to))


TestLedger = LedgerMachine.TestCase


def test_finishing_an_offset_that_is_not_open_changes_nothing() -> None:
    """A bug of ours must not silently move a position past a call without an outcome."""
    ledger = Ledger("t", 0, 0)
    ledger.read([0, 1, 2])
    with pytest.raises(ValueError, match="offset 9"):
        ledger.finish([0, 9])
    assert ledger.position == 0
    assert ledger.is_open(0)


def test_a_lost_range_above_the_end_is_passed_over() -> None:
    """After a retention gap the lane goes on behind it, and says what was lost."""
    ledger = Ledger("t", 0, 0)
    ledger.lose(0, 100)
    assert ledger.position == 100
    assert ledger.read([100, 101]) == (None, [])
    assert ledger.state().lost == [(0, 100)]


def test_a_long_map_stays_small_in_a_checkpoint() -> None:
    """A full window over thousands of flows must not outgrow the checkpoint's record."""
    ledger = Ledger("t", 0, 0)
    ledger.read(range(300_000))
    ledger.finish(range(1, 300_000, 2))
    assert sum(len(packed) for _, packed in ledger.state().open_maps) < 40_000


def test_a_restored_ledger_keeps_what_it_has_not_read_again() -> None:
    """Done offsets that were forgotten here would be taken for open ones, and placed twice."""
    count = 8 * CHUNK
    ledger = Ledger("t", 0, 0)
    ledger.read(range(count))
    ledger.finish(range(1, count - 10))
    heir = Ledger.restore(ledger.state())
    assert heir.read(range(100)) == ([0], [])
    heir.finish([0])
    assert heir.position == count - 10
    assert heir.read(range(100, count)) == (list(range(count - 10, count)), [])


def test_one_stuck_event_costs_one_map() -> None:
    """A call in doubt for a day, 43 million events at the full limit, must not fill the memory."""
    ledger = Ledger("t", 0, 0)
    for first in range(0, 100 * CHUNK, CHUNK):
        ledger.read(range(first, first + CHUNK))
        ledger.finish(range(max(1, first), first + CHUNK))
    assert (ledger.position, ledger.end, ledger.maps) == (0, 100 * CHUNK, 1)
    heir = Ledger.restore(ledger.state())
    assert heir.read([0]) == ([0], [])
    assert heir.wanted == 100 * CHUNK


def test_a_damaged_map_is_refused() -> None:
    """A map that does not fit its range must not be believed."""
    ledger = Ledger("t", 0, 0)
    ledger.read(range(5))
    state = ledger.state()
    [(number, packed)] = state.open_maps
    for maps, position, end in (
        ([], 1, 5),
        ([(number, packed)], 0, 4),
        ([(number + 1, packed)], 0, 5),
        ([(number + 1, packed), (number, packed)], 0, 2 * CHUNK),
        ([(number, zlib.compress(b"\1"))], 0, 5),
    ):
        with pytest.raises(ValueError, match="fit"):
            Ledger.restore(type(state)("t", 0, 0, position, end, maps, []))
    with pytest.raises(ValueError, match="damaged"):
        Ledger.restore(type(state)("t", 0, 0, 0, 5, [(0, b"x")], []))
