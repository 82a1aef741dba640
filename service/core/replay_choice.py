"""Which dead letters may be sent again, and the event that each becomes.

Knows nothing of where letters lie. What an event asks for is judged by the intake that will read
it, so that nothing is sent which is sure to fail again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from service.core.calls import Header, Record
from service.core.intake import Intake
from service.core.letters import Letter, own_headers
from service.core.origin import Origin, without
from service.core.times import day_of
from service.errors import EventRefused

START_TIME = "start-time"
EXPIRES_AT = "expires-at"
SEPARATOR_BYTES = 4

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class LeftOut(StrEnum):
    """Why a dead letter is no part of a plan."""

    DUPLICATE = "duplicate: the provider probably has it; --force sends it all the same"
    UNCONFIRMED = "unconfirmed: it may have been placed; look it up, then --force"
    OVERSIZE = "oversize: it fits no request"
    INVALID = "invalid still: it breaks the contract as it did; upstream has to send it anew"
    EXPIRED_DATE = "expired: its start-time is of a past date; --set-start-time now"
    EXPIRED = "expired: its expires-at is over; --drop-expires-at"
    REPLAYED = "replayed already since it failed so"
    TOO_OFTEN = "replayed as often as is allowed (--max-replays)"
    GONE = "its value is gone: it did not fit, or its record was deleted"
    NAMED_TWICE = "another dead letter of the same event is in the plan"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator allows."""

    force: bool
    """Also `duplicate` and `unconfirmed`: a customer may be called twice."""
    replays_max: int
    start_time_now: bool
    """Events whose start-time is of a past date lose it: they are for now."""
    drop_expires_at: bool
    """Events whose expires-at is over lose it."""


@dataclass(frozen=True, slots=True)
class Chooser:
    """Chooses by rules."""

    intake: Intake
    rules: Rules

    def drops(self, letter: Letter, record: Record, wall: float) -> tuple[str, ...] | LeftOut:
        """The fields that the event must lose to be sent at `wall` (seconds), or why it is not."""
        fault = self._fault(letter)
        if fault is not None:
            return fault
        if record.value is None or letter.omitted or not letter.published_at:
            return LeftOut.GONE
        try:
            call = self.intake.accept_value(record.value, record.key)
        except EventRefused as error:
            return LeftOut.OVERSIZE if error.reason == "oversize" else LeftOut.INVALID
        dropped = list[str]()
        if call.extra.start_day is not None and call.extra.start_day < day_of(wall):
            if not self.rules.start_time_now:
                return LeftOut.EXPIRED_DATE
            dropped.append(START_TIME)
        if call.extra.expires_at is not None and call.extra.expires_at < wall:
            if not self.rules.drop_expires_at:
                return LeftOut.EXPIRED
            dropped.append(EXPIRES_AT)
        return tuple(dropped)

    def _fault(self, letter: Letter) -> LeftOut | None:
        match letter.reason:
            case "duplicate" if not self.rules.force:
                return LeftOut.DUPLICATE
            case "unconfirmed" if not self.rules.force:
                return LeftOut.UNCONFIRMED
            case "oversize":
                return LeftOut.OVERSIZE
        return LeftOut.TOO_OFTEN if letter.replay_count >= self.rules.replays_max else None


def event_of(
    letter: Letter, record: Record, drops: tuple[str, ...], replay_id: str
) -> tuple[bytes | None, bytes, list[Header]]:
    """Key, value and headers of the event that is sent again; its other bytes are unchanged."""
    assert record.value is not None, "planned without a value"
    value = record.value
    if drops:
        fields = _decode(value)
        value = msgspec.json.encode({k: v for k, v in fields.items() if k not in drops})
    upstream, _ = own_headers(record.headers)
    return record.key, value, [*without(upstream), *_origin(letter, replay_id).headers()]


def _origin(letter: Letter, replay_id: str) -> Origin:
    topic, partition, offset = letter.first_source
    if letter.origin is None:
        at = letter.published_at
        began_ms = round(datetime.fromisoformat(at).timestamp() * 1000) if at else None
    else:
        began_ms = letter.origin.timestamp
    return Origin(topic, partition, offset, began_ms, replay_id, letter.replay_count + 1)


def digest_of(record: Record) -> str:
    """What binds a plan to this very dead letter: sha256 of its key, value and headers."""
    digest = hashlib.sha256()
    parts = [record.key, record.value]
    for name, content in record.headers:
        parts += [name.encode(), content]
    for part in parts:
        # None and empty differ, and no two records run into each other.
        size = -1 if part is None else len(part)
        digest.update(size.to_bytes(SEPARATOR_BYTES, "big", signed=True))
        digest.update(part or b"")
    return digest.hexdigest()
