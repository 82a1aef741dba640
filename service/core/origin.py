"""Where a replayed event came from, as its headers say, if they may be believed.

Knows nothing of replays themselves. Anyone can write such headers; they are believed only if the
replay's id stands in the replays topic, where a replay is noted before its first event is sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from service.core.calls import Header, Record

REPLAY_ID = "dispatch.replay-id"
REPLAY_COUNT = "dispatch.replay-count"
TOPIC = "dispatch.origin-topic"
PARTITION = "dispatch.origin-partition"
OFFSET = "dispatch.origin-offset"
TIMESTAMP = "dispatch.origin-timestamp"
HEADERS = frozenset({REPLAY_ID, REPLAY_COUNT, TOPIC, PARTITION, OFFSET, TIMESTAMP})


class Origin(msgspec.Struct, frozen=True):
    """The first life of an event that was replayed."""

    topic: str
    partition: int
    offset: int
    timestamp: int | None
    """Milliseconds since the epoch; None if whoever replayed it did not tell."""
    replay_id: str
    count: int
    """How often it was replayed by now."""

    def headers(self) -> list[Header]:
        """What a replay writes, and what is read back."""
        known = [] if self.timestamp is None else [(TIMESTAMP, str(self.timestamp).encode())]
        return [
            (TOPIC, self.topic.encode()),
            (PARTITION, str(self.partition).encode()),
            (OFFSET, str(self.offset).encode()),
            *known,
            (REPLAY_ID, self.replay_id.encode()),
            (REPLAY_COUNT, str(self.count).encode()),
        ]


def claimed(records: Iterable[Record]) -> set[str]:
    """The replay ids that these events name."""
    found = set[str]()
    for record in records:
        if record.headers:
            found.update(_text(content) for name, content in record.headers if name == REPLAY_ID)
    return found


def origin_of(record: Record | None, known: Collection[str]) -> Origin | None:
    """The event's origin; None if it names none, or a replay that is not in `known`."""
    if record is None or not record.headers:
        return None
    return named_in(record.headers, known)


def named_in(headers: Sequence[Header], known: Collection[str]) -> Origin | None:
    """The origin that headers name, under a replay that is in `known`."""
    named = {name: _text(content) for name, content in headers if name in HEADERS}
    if named.get(REPLAY_ID) not in known:
        return None
    try:
        return Origin(
            named[TOPIC],
            int(named[PARTITION]),
            int(named[OFFSET]),
            int(named[TIMESTAMP]) if TIMESTAMP in named else None,
            named[REPLAY_ID],
            int(named[REPLAY_COUNT]),
        )
    except (KeyError, ValueError):
        return None


def without(headers: Sequence[Header]) -> list[Header]:
    """The headers that upstream chose itself."""
    return [header for header in headers if header[0] not in HEADERS]


def _text(content: bytes | None) -> str:
    return (content or b"").decode(errors="replace")
