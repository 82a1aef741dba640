"""A dead letter as it is read back: what its headers say of one event's end.

Knows nothing of topics' ends or tables. An event may bring headers of the same names, such as one
that somebody published again with all its headers: only what stands behind the last
`__dlq.errors.topic` is the dispatcher's word, for outcomes.py writes its own last.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from service.core import origin as origins
from service.core.calls import Header, Place, Record
from service.core.origin import Origin

FIRST_HEADER = "__dlq.errors.topic"
OMITTED = ("value", "headers", "key")
"""What may not have fitted."""


class Letter(msgspec.Struct, frozen=True, gc=False):
    """One dead letter."""

    place: Place
    """Where it stands itself."""
    written_ms: int
    source: Place
    reason: str
    code: str
    """As the provider gave it; empty if it gave none. So also the next three."""
    flow_id: str
    batch_id: str
    request_id: str
    attempts: int
    message: str
    first_failed_at: str
    failed_at: str
    """RFC 3339; so also `published_at`, the event's own time, empty if its record was gone."""
    published_at: str
    payload_sha256: str
    omitted: tuple[str, ...]
    """Which of `value`, `headers` and `key` did not fit, or were gone."""
    value_bytes: int | None
    """Of a value that did not fit."""
    origin: Origin | None
    """The first life of an event that was replayed."""

    @property
    def first_source(self) -> Place:
        """The record at which the event's first life began."""
        if self.origin is None:
            return self.source
        return (self.origin.topic, self.origin.partition, self.origin.offset)

    @property
    def replay_count(self) -> int:
        """How often the event had been replayed when it failed."""
        return 0 if self.origin is None else self.origin.count


def own_headers(headers: Sequence[Header]) -> tuple[Sequence[Header], Sequence[Header]]:
    """The event's headers, and the dispatcher's; the latter are empty if it wrote none."""
    for index in range(len(headers) - 1, -1, -1):
        if headers[index][0] == FIRST_HEADER:
            return headers[:index], headers[index:]
    return headers, ()


def source_of(headers: Sequence[Header]) -> tuple[Place, str] | None:
    """The source and the reason alone; None if it is no dead letter."""
    return _source(dict(own_headers(headers)[1]))


def _source(said: dict[str, bytes]) -> tuple[Place, str] | None:
    try:
        place = (
            said[FIRST_HEADER].decode(),
            int(said["__dlq.errors.partition"]),
            int(said["__dlq.errors.offset"]),
        )
        return place, said["dispatch.reason"].decode()
    except (KeyError, ValueError):
        return None


def letter_of(record: Record) -> Letter | None:
    """The dead letter that a record is; None if no dispatcher wrote it."""
    _, ours = own_headers(record.headers)
    said = dict(ours)
    found = _source(said)
    if found is None:
        return None

    def text(name: str) -> str:
        return said.get(name, b"").decode(errors="replace")

    return Letter(
        place=(record.topic, record.partition, record.offset),
        written_ms=record.timestamp,
        source=found[0],
        reason=found[1],
        code=text("dispatch.code"),
        flow_id=text("dispatch.flow-id"),
        batch_id=text("dispatch.batch-id"),
        request_id=text("dispatch.request-id"),
        attempts=_number(text("dispatch.attempts")) or 0,
        message=text("__dlq.errors.message"),
        first_failed_at=text("dispatch.first-failed-at"),
        failed_at=text("dispatch.failed-at"),
        published_at=text("dispatch.timestamp"),
        payload_sha256=text("dispatch.payload-sha256"),
        omitted=tuple(what for what in OMITTED if f"dispatch.{what}-omitted" in said),
        value_bytes=_number(text("dispatch.value-bytes")),
        origin=origins.named_in(ours, (text(origins.REPLAY_ID),))
        if origins.REPLAY_ID in said
        else None,
    )


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
