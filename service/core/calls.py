"""The words of the core: a record as it came, and the call that was made of it.

Knows nothing of how an event is decoded (intake.py); of the bytes, only where codec.py puts what is
read from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter, methodcaller
from typing import ClassVar, Protocol

import msgspec

from service.core.codec import IDENTIFIER_AT, place_to_fill
from service.core.identifiers import identity_of

# A loop over a batch's records costs four times as much in Python as in C.
_value, _key, _headers = attrgetter("value"), attrgetter("key"), attrgetter("headers")

_is_string = methodcaller("startswith", b'"')

Header = tuple[str, bytes]
Place = tuple[str, int, int]
"""(topic, partition, offset) of a record"""


class Record(Protocol):
    """One Kafka record, as aiokafka's ConsumerRecord has it. Never mutated."""

    @property
    def topic(self) -> str:
        """Where it stands, with `partition` and `offset`."""
        ...

    @property
    def partition(self) -> int:
        """See `topic`."""
        ...

    @property
    def offset(self) -> int:
        """See `topic`."""
        ...

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch."""
        ...

    @property
    def key(self) -> bytes | None:
        """As upstream chose it."""
        ...

    @property
    def value(self) -> bytes | None:
        """UTF-8 JSON, if it is an event at all."""
        ...

    @property
    def headers(self) -> Sequence[Header]:
        """As upstream set them."""
        ...


class KeptRecord(msgspec.Struct, frozen=True, gc=False):
    """`Record` as it is kept in memory.

    A full window holds many of them, and the garbage collector need not walk them: they refer to
    nothing that could refer back.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: ClassVar[Sequence[Header]] = ()


class HeadedRecord(KeptRecord, frozen=True, gc=False):
    """One with headers: most have none, and need no place for them."""

    headers: Sequence[Header]  # type: ignore[misc]  # hides the class's own


class Extra(msgspec.Struct, frozen=True, gc=False):
    """What few calls have."""

    start_day: int | None = None
    """The proleptic ordinal of start-time's day at +05:30; None where the event has none."""
    expires_at: float | None = None
    """Seconds since the epoch after which the call must no longer be sent."""
    attempts: int = 0
    """How often it was in a body that was refused, in batches that are no more: the next body that
    it is in must have bytes of its own."""
    first_failed_ms: int | None = None

    def expired(self, wall: float, today: int) -> bool:
        """True if the call must not be sent at `wall` (seconds), on day `today` (+05:30)."""
        if self.expires_at is not None and wall > self.expires_at:
            return True
        return self.start_day is not None and self.start_day < today


PLAIN = Extra()
"""One object for all that have nothing of it, so that a look at a batch is quick."""


class Call(msgspec.Struct, frozen=True, gc=False):
    """One valid event, ready to be put into a batch of its flow."""

    record: Record
    flow_id: str
    fragment: bytes
    """The exact JSON object that is one element of `calls` (provider-api.md, Request body)."""
    identifier_end: int
    """Where in `fragment` the client-identifier ends; it is read from there, for a window holds
    many."""
    size: int
    """What `bytes_of` its record is."""
    extra: Extra = PLAIN

    @property
    def identifier(self) -> bytes:
        """The client-identifier as the exact JSON that goes out in the body and comes back."""
        return self.fragment[IDENTIFIER_AT : self.identifier_end]

    @property
    def identity(self) -> bytes:
        """Its string form, as JSON: no two calls of a batch may share it."""
        return identity_of(self.identifier)

    @property
    def fill_at(self) -> int:
        """Where in `fragment` the 25 bytes of a start-time to be filled at sealing begin, or -1."""
        return place_to_fill(self.fragment, self.identifier_end)


def identities_of(calls: Iterable[Call]) -> list[bytes]:
    """The `identity` of each, with fewer steps: it is asked for of all that are sent."""
    identifiers = [call.fragment[IDENTIFIER_AT : call.identifier_end] for call in calls]
    if all(map(_is_string, identifiers)):
        return identifiers
    return list(map(identity_of, identifiers))


def special_of(calls: Iterable[Call]) -> list[Call]:
    """Those that have more than most: a date, a history, headers."""
    return [call for call in calls if call.extra is not PLAIN or call.record.headers]


def with_headers(records: Iterable[Record]) -> bool:
    """Whether any of the records has a header."""
    return any(map(_headers, records))


def bytes_of(records: Sequence[Record]) -> int:
    """What of the records' size is upstream's choice."""
    size = sum(map(len, filter(None, map(_value, records))))
    size += sum(map(len, filter(None, map(_key, records))))
    if with_headers(records):
        size += sum(
            len(name) + len(content or b"")
            for record in records
            for name, content in record.headers
        )
    return size
