"""Events set aside: what is read back is what was set aside, and its history."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.aside import (
    ASIDE_HEADER,
    NOTE_BYTES_MAX,
    Why,
    held_ms,
    note_of,
    place_of,
    read_back,
    set_aside,
)
from service.core.calls import Call, Extra, Record
from service.core.intake import PlainRecord
from service.errors import CheckpointUnreadable
from tests.support.calls import call_of as plain_call


def call_of(record: Record) -> Call:
    """A call of that event."""
    return plain_call(record, "AbCd1234")


def moved(call: Call, why: Why, now_ms: int, place: tuple[str, int, int]) -> Record:
    """The call's event after a round through the parked topic."""
    key, value, headers = set_aside(call, why, now_ms, now_ms + 1)
    topic, partition, offset = place
    return read_back(PlainRecord(value, key, headers, topic, partition, offset, now_ms))


@given(
    key=st.none() | st.binary(max_size=20),
    value=st.binary(max_size=50),
    headers=st.lists(
        st.tuples(st.sampled_from([ASIDE_HEADER, "traceparent", "x"]), st.binary(max_size=9)),
        max_size=3,
    ),
    offset=st.integers(0, 2**63 - 1),
    rounds=st.integers(1, 4),
)
def test_an_event_comes_back_as_it_was(
    key: bytes | None,
    value: bytes,
    headers: list[tuple[str, bytes]],
    offset: int,
    rounds: int,
) -> None:
    """Its bytes are rebuilt from it after a crash; its outcome must name its own source."""
    record: Record = PlainRecord(value, key, headers, "calls.requests", 3, offset, 1234)
    for step in range(rounds):
        record = moved(call_of(record), Why.HOLD, step, ("calls.parked", 0, step))
    assert (record.topic, record.partition, record.offset) == ("calls.requests", 3, offset)
    assert (record.key, record.value, record.timestamp) == (key, value, 1234)
    assert list(record.headers) == headers
    assert place_of(record) == ("calls.parked", 0, rounds - 1)


def test_only_time_under_a_hold_counts() -> None:
    """Waiting for calling hours must not end a call as `exhausted`."""
    record: Record = PlainRecord(b"{}", topic="calls.requests", partition=0, offset=0)
    assert held_ms(record, 1000) == 0
    record = moved(call_of(record), Why.HOLD, 1_000, ("calls.parked", 0, 0))
    assert held_ms(record, 1_500) == 500
    record = moved(call_of(record), Why.HOURS, 1_500, ("calls.parked", 0, 1))
    assert held_ms(record, 9_000) == 500
    record = moved(call_of(record), Why.HOLD, 9_000, ("calls.parked", 0, 2))
    assert held_ms(record, 9_100) == 600


def test_a_call_that_was_refused_takes_its_history_along() -> None:
    """Its next body must not repeat the bytes that were refused."""
    record: Record = PlainRecord(b"{}", topic="calls.requests", partition=0, offset=0)
    call = msgspec.structs.replace(call_of(record), extra=Extra(attempts=3, first_failed_ms=77))
    note = note_of(moved(call, Why.HOLD, 100, ("calls.parked", 0, 0)))
    assert note is not None
    assert (note.attempts, note.first_failed_ms) == (3, 77)


def test_the_note_is_bounded() -> None:
    """A parked record must fit wherever its event did."""
    record = PlainRecord(b"{}", topic="t" * 249, timestamp=2**42)
    call = msgspec.structs.replace(
        call_of(record), extra=Extra(attempts=10**6, first_failed_ms=2**42)
    )
    [(_, content)] = set_aside(call, Why.HOURS, 2**42, 2**42)[2]
    assert len(ASIDE_HEADER) + len(content) <= NOTE_BYTES_MAX


@pytest.mark.parametrize("headers", [[], [("x", b"1")], [(ASIDE_HEADER, b"{}")]])
def test_a_strangers_record_stops_the_lane(headers: list[tuple[str, bytes]]) -> None:
    """A guess at its source would give another event's outcome away."""
    record = PlainRecord(b"{}", None, headers, "calls.parked", 0, 5)
    with pytest.raises(CheckpointUnreadable, match="offset 5"):
        read_back(record)
