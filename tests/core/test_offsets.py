"""The ledger of a partition against a naive model."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.core.offsets import SPAN_BYTES_TRIMMED, Ledger


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

    @rule(gaps=st.lists(st.integers(0, 3), min_size=1, max_size=8))
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
    assert len(ledger.state().open_map) < 40_000


def test_a_restored_ledger_keeps_what_it_has_not_read_again() -> None:
    """Done offsets that were forgotten here would be taken for open ones, and placed twice."""
    count = 3 * SPAN_BYTES_TRIMMED
    ledger = Ledger("t", 0, 0)
    ledger.read(range(count))
    ledger.finish(range(1, count - 10))
    heir = Ledger.restore(ledger.state())
    assert heir.read(range(100)) == ([0], [])
    heir.finish([0])
    assert heir.position == count - 10
    assert heir.read(range(100, count)) == (list(range(count - 10, count)), [])


def test_a_damaged_map_is_refused() -> None:
    """A map that does not fit its range must not be believed."""
    state = Ledger("t", 0, 0).state()
    with pytest.raises(ValueError, match="does not fit"):
        Ledger.restore(type(state)("t", 0, 0, 0, 5, state.open_map, []))
    with pytest.raises(ValueError, match="damaged"):
        Ledger.restore(type(state)("t", 0, 0, 0, 5, b"x", []))
