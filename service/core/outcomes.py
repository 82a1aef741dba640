"""The bytes of results and dead letters, exactly as the contract has them.

Knows nothing of topics' partitions or transactions. What the results of a batch share is rendered
once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from service.core.calls import Call, Header, Place, Record
from service.core.codec import IDENTIFIER_AT
from service.core.origin import origin_of, without

RECORD_OVERHEAD_BYTES = 1024
"""Of one record and its batch beside key, value and headers, with room to spare."""
MESSAGE_CHARACTERS_MAX = 500
"""Of the text that explains a dead letter; a header is no place for more."""

NULL = b"null"
NO_HEADERS: list[Header] = []
"""One for all records without headers; nobody changes it."""

Written = tuple[bytes | None, bytes | None, list[Header]]


_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=1024)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=4096)
def _rfc3339(milliseconds: int) -> bytes:
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z".encode()


def rfc3339(milliseconds: int) -> str:
    """A time since the epoch as RFC 3339 in UTC, with milliseconds."""
    return _rfc3339(milliseconds).decode()


class Acceptance(msgspec.Struct, frozen=True):
    """What the results of one batch share."""

    batch_id: str
    flow_id: str
    request_id: str | None
    code: int
    confirmation: str
    """`response` or `checksum`."""
    attempts: int
    accepted_ms: int


Entry = tuple[bytes, Call, str | None]
"""One accepted call: what its batch's results share (`template_of`), the call, its uuid if any."""


class Results:
    """Results of accepted calls: one record each, in their order.

    They are rendered each time they are iterated. A turn writes thousands, and what is made while
    it is written need neither be held nor fetched from memory again.
    """

    __slots__ = ("_entries", "_replays")

    def __init__(self, entries: Sequence[Entry], replays: Collection[str] = ()) -> None:
        """Nothing is rendered yet; `replays` are those whose events' origin is believed."""
        self._entries = entries
        self._replays = replays

    def __iter__(self) -> Iterator[Written]:
        replays = self._replays
        topic, partition, timestamp, place, stamp = "", -1, -1, b"", b""
        for template, call, uuid in self._entries:
            record = call.record
            headers = record.headers
            # Neighbours mostly have these alike, and as the same objects.
            if record.partition is not partition or record.topic is not topic:
                topic, partition = record.topic, record.partition
                place = _place(topic, partition)
            if record.timestamp is not timestamp:
                timestamp = record.timestamp
                stamp = _rfc3339(timestamp)
            value = template % (
                call.fragment[IDENTIFIER_AT : call.identifier_end],
                NULL if uuid is None else _encode(uuid),
                place,
                record.offset,
                stamp,
                _origin(record, replays) if headers else NULL,
            )
            kept = [each for each in headers if each[0] == "traceparent"] if headers else NO_HEADERS
            yield record.key, value, kept


def template_of(acceptance: Acceptance) -> bytes:
    """The bytes that the results of one batch share, and places for what is each one's own."""
    common = {
        "flow-id": acceptance.flow_id,
        "status": "accepted",
        "confirmation": acceptance.confirmation,
        "request-id": acceptance.request_id,
        "api-response-code": acceptance.code,
        "batch-id": acceptance.batch_id,
        "attempts": acceptance.attempts,
        "accepted-at": rfc3339(acceptance.accepted_ms),
    }
    return (
        b'{"client-identifier":%%b,%b,"phonon-uuid":%%b,"source":{%%b,"offset":%%d,'
        b'"timestamp":"%%b"},"origin":%%b}'
    ) % _encode(common)[1:-1].replace(b"%", b"%%")


@lru_cache(maxsize=1024)
def _place(topic: str, partition: int) -> bytes:
    return b'"topic":%b,"partition":%d' % (_encode(topic), partition)


def _origin(record: Record, replays: Collection[str]) -> bytes:
    origin = origin_of(record, replays)
    if origin is None:
        return b"null"
    told = {
        "topic": origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
        "timestamp": None if origin.timestamp is None else rfc3339(origin.timestamp),
        "replay-id": origin.replay_id,
    }
    return _encode(told)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call, or an event that never became one, ends as a dead letter."""

    reason: str
    message: str
    failed_ms: int
    code: int | None = None
    flow_id: str | None = None
    batch_id: str | None = None
    request_id: str | None = None
    attempts: int = 0
    first_failed_ms: int | None = None


def dead_letter(
    source: Place,
    record: Record | None,
    failure: Failure,
    group_id: str,
    bytes_max: int,
    replays: Collection[str] = (),
) -> Written:
    """The event's own key, value and headers, and why it failed.

    Args:
        source: where the event stood.
        record: the event; None if its log no longer holds it.
        group_id: of the dispatcher.
        bytes_max: what the topic takes; value, headers and key are left out in this order if the
            record would not fit.
        replays: the ids of replays whose events' origin is believed.
    """
    value = record.value if record else None
    headers = list(record.headers) if record else []
    origin = origin_of(record, replays)
    key = record.key if record else None
    ours = _headers(source, record, failure, group_id)
    if origin is not None:
        headers = without(headers)
        ours += origin.headers()
    room = bytes_max - RECORD_OVERHEAD_BYTES - _size(ours)
    value_bytes = len(value) if value is not None else 0
    key_bytes = len(key) if key is not None else 0
    if record is None or value_bytes + key_bytes + _size(headers) > room:
        value = None
        ours.append(("dispatch.value-omitted", b"true"))
        if record is not None:
            ours.append(("dispatch.value-bytes", str(value_bytes).encode()))
    if key_bytes + _size(headers) > room:
        headers = []
        ours.append(("dispatch.headers-omitted", b"true"))
    if key_bytes > room:
        key = None
        ours.append(("dispatch.key-omitted", b"true"))
    return key, value, headers + ours


def _headers(source: Place, record: Record | None, failure: Failure, group_id: str) -> list[Header]:
    first_ms = failure.failed_ms if failure.first_failed_ms is None else failure.first_failed_ms
    texts: list[tuple[str, str | int | None]] = [
        ("__dlq.errors.topic", source[0]),
        ("__dlq.errors.partition", source[1]),
        ("__dlq.errors.offset", source[2]),
        ("__dlq.errors.group", group_id),
        ("__dlq.errors.delivery.count", max(1, failure.attempts)),
        ("__dlq.errors.message", failure.message[:MESSAGE_CHARACTERS_MAX]),
        ("dispatch.reason", failure.reason),
        ("dispatch.code", failure.code),
        ("dispatch.flow-id", failure.flow_id),
        ("dispatch.batch-id", failure.batch_id),
        ("dispatch.request-id", failure.request_id),
        ("dispatch.attempts", failure.attempts),
        ("dispatch.first-failed-at", rfc3339(first_ms)),
        ("dispatch.failed-at", rfc3339(failure.failed_ms)),
    ]
    if record is not None:
        texts.append(("dispatch.timestamp", rfc3339(record.timestamp)))
        if record.value is not None:
            sha256 = hashlib.sha256(record.value).hexdigest()
            texts.append(("dispatch.payload-sha256", sha256))
    return [(name, str(text).encode()) for name, text in texts if text is not None]


def _size(headers: Sequence[Header]) -> int:
    return sum(len(name) * 4 + len(value or b"") + 10 for name, value in headers)
