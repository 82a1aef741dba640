"""Cancels: which events they mean, and when they are over."""

from __future__ import annotations

from service.core.aside import Aside, Note, Why
from service.core.calls import Record
from service.core.cancels import Cancel, Cancels
from service.core.intake import PlainRecord

FLOW = "AbCd1234"
CANCEL = Cancel("c1", FLOW, {0: 10, 1: 5}, {"calls.parked": 7}, "wrong campaign")


def record(partition: int, offset: int, topic: str = "calls.requests") -> Record:
    """An event of that source."""
    return PlainRecord(b"{}", topic=topic, partition=partition, offset=offset)


def everyone(_: int) -> bool:
    """All partitions are this lane's."""
    return True


def test_a_cancel_means_the_events_of_its_flow_below_its_ends() -> None:
    """A call published after the command must go out; a neighbour's too."""
    cancels = Cancels("calls.requests", [CANCEL])
    assert cancels.of(FLOW, record(0, 9)) is CANCEL
    assert cancels.of(FLOW, record(0, 10)) is None
    assert cancels.of(FLOW, record(1, 5)) is None
    assert cancels.of(FLOW, record(2, 0)) is None
    assert cancels.of("Other123", record(0, 9)) is None


def test_it_binds_by_source_wherever_the_copy_lies() -> None:
    """A parked copy of a cancelled call must not phone anyone hours later."""
    note = Note(
        topic="calls.requests",
        partition=0,
        offset=3,
        timestamp=0,
        why=Why.HOLD,
        since_ms=0,
        look_ms=0,
    )
    parked = Aside("calls.requests", 0, 3, 0, None, b"{}", (), ("calls.parked", 0, 99), note)
    assert Cancels("calls.requests", [CANCEL]).of(FLOW, parked) is CANCEL


def test_it_is_over_when_all_positions_have_passed_it() -> None:
    """Forgotten earlier it would let calls through; kept for ever it would fill the checkpoint."""
    cancels = Cancels("calls.requests", [CANCEL])
    zero, one, parked = ("calls.requests", 0), ("calls.requests", 1), ("calls.parked", 0)
    assert not cancels.drop_passed({zero: 9, one: 5, parked: 7}, everyone)
    assert not cancels.drop_passed({zero: 10, one: 5, parked: 6}, everyone)
    assert cancels.drop_passed({zero: 10, one: 5, parked: 7}, everyone)
    assert not cancels
    assert cancels.states() == []


def test_until_it_is_known_how_far_copies_go_it_stays() -> None:
    """A call on its way to the parked topic lies behind the end that was seen."""
    cancels = Cancels("calls.requests", [Cancel("c1", FLOW, {0: 1}, {}, "")])
    positions = {("calls.requests", 0): 50, ("calls.parked", 0): 50}
    assert not cancels.drop_passed(positions, everyone)
    cancels.replace(Cancel("c1", FLOW, {0: 1}, {"calls.parked": 50}, ""))
    assert cancels.drop_passed(positions, everyone)


def test_a_partition_that_is_not_noticed_yet_is_not_passed() -> None:
    """Its first events were published before the command, and would be sent after it."""
    cancels = Cancels("calls.requests", [CANCEL])
    known = {("calls.requests", 0): 10, ("calls.parked", 0): 7}
    assert not cancels.drop_passed(known, everyone)
    assert cancels.drop_passed(known, lambda partition: partition == 0)
