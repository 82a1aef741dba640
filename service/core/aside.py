"""Events set aside in a topic of their lane, and what must be known when they are read back.

Knows nothing of why a call may not go now, nor of when it is looked at again. Such a record is the
event's own key, value and headers, and one header more, always the last: where the event came from
and what has happened to it. Nobody but the dispatcher writes these topics, so it is believed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from operator import attrgetter

import msgspec

from service.core.calls import Call, HeadedRecord, Header, Place, Record
from service.errors import CheckpointUnreadable

ASIDE_HEADER = "dispatch.aside"
Partition = tuple[str, int]
"""(topic, partition)"""
NOTE_BYTES_MAX = 1024
"""Of the header, a topic's longest name included."""


class Why(StrEnum):
    """Why a call waits apart from the others; the label of `parked_total`."""

    HOLD = "hold"
    """Its flow is held."""
    HOURS = "hours"
    """Its flow's calling hours are over."""
    OVERFLOW = "overflow"
    """Its flow has more than its share of the window."""


class Note(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, kw_only=True):
    """What the last header tells."""

    topic: str
    partition: int
    offset: int
    """With `topic` and `partition`: the source."""
    timestamp: int
    """The source's, in milliseconds."""
    flow_id: str = ""
    """Of the event, so that it need not be decoded to be passed over."""
    why: Why
    since_ms: int
    """When it was set aside last."""
    look_ms: int
    """When it is to be looked at again, unless something happens before."""
    held_ms: int = 0
    """How long it has waited under holds, up to `since_ms`."""
    attempts: int = 0
    """How often it was sent and refused: its next body needs bytes of its own."""
    first_failed_ms: int | None = None


class Aside(HeadedRecord, frozen=True, gc=False):
    """An event that was set aside: it names its source, and lies at `place`."""

    place: Place
    note: Note


_source = attrgetter("topic", "partition", "offset")
_partition, _offset = attrgetter("topic", "partition"), attrgetter("offset")
_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Note)


def place_of(record: Record) -> Place:
    """Where the record lies now; its source is what it says itself."""
    if isinstance(record, Aside):
        return record.place
    return (record.topic, record.partition, record.offset)


def any_aside(records: Sequence[Record]) -> bool:
    """Whether any of the records was set aside before."""
    return Aside in set(map(type, records))


def places_of(records: Sequence[Record]) -> list[Place]:
    """`place_of` each of them."""
    if any_aside(records):
        return [place_of(record) for record in records]
    return list(map(_source, records))


def columns_of(records: Sequence[Record]) -> tuple[Sequence[Partition], Sequence[int]]:
    """Where each lies now, as two columns: topic and partition, and offset."""
    if any_aside(records):
        places = places_of(records)
        return [place[:2] for place in places], [place[2] for place in places]
    return list(map(_partition, records)), list(map(_offset, records))


def by_partition(
    partitions: Iterable[Partition], offsets: Iterable[int]
) -> Mapping[Partition, list[int]]:
    """The offsets of two such columns, in order, by topic and partition."""
    found: dict[Partition, list[int]] = defaultdict(list)
    for partition, offset in zip(partitions, offsets, strict=True):
        found[partition].append(offset)
    return found


def offsets_of(records: Sequence[Record]) -> Mapping[Partition, list[int]]:
    """Where they lie now: offsets by topic and partition."""
    return by_partition(*columns_of(records))


def note_of(record: Record) -> Note | None:
    """What is known of an event that was set aside before; None of any other."""
    return record.note if isinstance(record, Aside) else None


def set_aside(
    call: Call, why: Why, now_ms: int, look_ms: int
) -> tuple[bytes | None, bytes | None, list[Header]]:
    """The record to be written for a call that waits apart from `now_ms` on."""
    record = call.record
    note = Note(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        flow_id=call.flow_id,
        why=why,
        since_ms=now_ms,
        look_ms=look_ms,
        held_ms=held_ms(record, now_ms),
        attempts=call.extra.attempts,
        first_failed_ms=call.extra.first_failed_ms,
    )
    return record.key, record.value, [*record.headers, (ASIDE_HEADER, _encode(note))]


def held_ms(record: Record, now_ms: int) -> int:
    """How long an event has waited under holds of its flow."""
    note = note_of(record)
    if note is None:
        return 0
    return note.held_ms + (max(0, now_ms - note.since_ms) if note.why is Why.HOLD else 0)


def read_back(record: Record) -> Aside:
    """The event that a record of the parked topic holds.

    Raises:
        CheckpointUnreadable: somebody else wrote there.
    """
    place = (record.topic, record.partition, record.offset)
    try:
        name, content = record.headers[-1]
        note = _decoder.decode(content if name == ASIDE_HEADER else b"")
    except (IndexError, msgspec.MsgspecError) as error:
        raise CheckpointUnreadable(
            f"{record.topic}-{record.partition} holds a record at offset {record.offset} that was "
            "not set aside by a dispatcher: no one else may write this topic"
        ) from error
    return Aside(
        note.topic,
        note.partition,
        note.offset,
        note.timestamp,
        record.key,
        record.value,
        record.headers[:-1],
        place,
        note,
    )
