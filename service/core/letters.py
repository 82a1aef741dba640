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
    """The source and the reason alone, as fast as can be; None if it is no dead letter."""
    for index in range(len(headers) - 1, -1, -1):
        if headers[index][0] == FIRST_HEADER:
            break
    else:
        return None
    said = dict(headers[index:])
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
    found = source_of(ours)
    if found is None:
        return None
    source, reason = found
    said = {name: (content or b"").decode(errors="replace") for name, content in ours}
    return Letter(
        place=(record.topic, record.partition, record.offset),
        written_ms=record.timestamp,
        source=source,
        reason=reason,
        code=said.get("dispatch.code", ""),
        flow_id=said.get("dispatch.flow-id", ""),
        batch_id=said.get("dispatch.batch-id", ""),
        request_id=said.get("dispatch.request-id", ""),
        attempts=_number(said.get("dispatch.attempts")) or 0,
        message=said.get("__dlq.errors.message", ""),
        first_failed_at=said.get("dispatch.first-failed-at", ""),
        failed_at=said.get("dispatch.failed-at", ""),
        published_at=said.get("dispatch.timestamp", ""),
        payload_sha256=said.get("dispatch.payload-sha256", ""),
        omitted=tuple(
            what for what in ("value", "headers", "key") if f"dispatch.{what}-omitted" in said
        ),
        value_bytes=_number(said.get("dispatch.value-bytes")),
        origin=_origin(ours, said),
    )


def _origin(ours: Sequence[Header], said: dict[str, str]) -> Origin | None:
    """The dispatcher has believed it, or it would not stand among its own headers."""
    replay_id = said.get(origins.REPLAY_ID)
    return None if replay_id is None else origins.named_in(ours, (replay_id,))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
