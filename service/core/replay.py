"""Which dead letters may be sent again, as what, how fast, and when to stop.

Knows nothing of files, topics or clients. A replayed event is a new one: its bytes at the provider
differ from those of its first life, because batches with such events end in a tail (codec.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from service.core import origin as origins
from service.core.calls import Call, Header
from service.core.letters import Letter, own_headers
from service.core.origin import Origin
from service.core.times import day_of, start_time_at
from service.errors import EventRefused

IN_DOUBT = frozenset({"duplicate", "unconfirmed"})
"""The provider has taken these calls, or may have: to send them again may phone somebody twice."""
ENDED_MIN = (5, 50)
"""So many outcomes, a tenth of what is planned within these, before a share says anything."""
FENCE_KEY = b"fence"
"""Key of a record without a value that is written to be waited for; it names no replay."""


class Why(StrEnum):
    """Why a dead letter is left out of a plan."""

    IN_DOUBT = "perhaps placed already: look it up in the provider's reports, then --force"
    OVERSIZE = "too large for any request"
    REPLAYED = "replayed already"
    TOO_OFTEN = "replayed --max-replays times"
    EXPIRED = "its time has passed: --set-start-time now, --drop-expires-at"
    INVALID = "still invalid"
    OMITTED = "its value did not fit into the dead letter"


class Terms(msgspec.Struct, frozen=True, rename="kebab"):
    """What somebody asks of a replay."""

    force: bool = False
    set_start_time: bool = False
    """To the time of sending, where an event has one."""
    drop_expires_at: bool = False
    replays_max: int = 3


class ReplayState(msgspec.Struct, rename="kebab", omit_defaults=False):
    """What stands in the replays topic under a replay's id, anew with each step."""

    id: str
    who: str
    began_at: str
    """RFC 3339, as `updated_at`."""
    filter: dict[str, Any]
    terms: Terms
    planned: int
    state: str = "running"
    """`running` (interrupted, if nobody holds the lock), `aborted` or `done`."""
    sent: int = 0
    left_out: int = 0
    """Planned ones that another replay had sent by then, or that are gone."""
    accepted: int = 0
    failed: int = 0
    """Outcomes of this replay's events, as far as they were seen."""
    positions: dict[int, int] = {}
    """By partition of the dead letters: all planned ones before this offset are done."""
    updated_at: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ReplayState)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encode(state: ReplayState) -> bytes:
    """A state as the value of its record."""
    return _encoder.encode(state)


def decode(value: bytes) -> ReplayState | None:
    """The state in a record; None if it is none."""
    try:
        return _decoder.decode(value)
    except msgspec.MsgspecError:
        return None


def left_out(
    letter: Letter, value: bytes | None, terms: Terms, accept: Callable[[bytes], Call], wall: float
) -> Why | None:
    """Why a dead letter is not sent again; None if it is.

    Args:
        letter: which one; whether it was replayed since is not asked here.
        value: the event's.
        terms: what somebody asks.
        accept: makes an event a call by the rules of now, or raises EventRefused.
        wall: seconds since the epoch.
    """
    if letter.reason in IN_DOUBT and not terms.force:
        return Why.IN_DOUBT
    if letter.replay_count >= terms.replays_max:
        return Why.TOO_OFTEN
    if "value" in letter.omitted or value is None:
        return Why.INVALID if letter.reason == "invalid" and value is None else Why.OMITTED
    try:
        call = accept(reworked(value, terms, wall))
    except EventRefused as refused:
        return Why.OVERSIZE if refused.reason == "oversize" else Why.INVALID
    return Why.EXPIRED if call.expired(wall, day_of(wall)) else None


def reworked(value: bytes, terms: Terms, wall: float) -> bytes:
    """The event as it is sent again: only the fields that the terms name are touched."""
    if not (terms.set_start_time or terms.drop_expires_at):
        return value
    try:
        fields = _fields.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return value
    before = dict(fields)
    if terms.drop_expires_at:
        fields.pop("expires-at", None)
    if terms.set_start_time and "start-time" in fields:
        fields["start-time"] = msgspec.Raw(msgspec.json.encode(start_time_at(wall)))
    return value if fields == before else _encoder.encode(fields)


def headers_of(letter: Letter, headers: Sequence[Header], replay_id: str) -> list[Header]:
    """Headers of the new event: those that upstream chose, and where it came from."""
    upstream, _ = own_headers(headers)
    return [*origins.without(upstream), *origin_of(letter, replay_id).headers()]


def origin_of(letter: Letter, replay_id: str) -> Origin:
    """The first life of a dead letter's event, once this replay has sent it again."""
    before = letter.origin
    if before is not None:
        return msgspec.structs.replace(before, replay_id=replay_id, count=before.count + 1)
    topic, partition, offset = letter.source
    return Origin(topic, partition, offset, _epoch_ms(letter.published_at), replay_id, 1)


def _epoch_ms(text: str) -> int:
    """Milliseconds of an RFC 3339 time; 0 where it is not known."""
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return 0


def digest_of(key: bytes | None, value: bytes | None, headers: Sequence[Header]) -> str:
    """What binds a plan to a record: sha256 of all that it holds, 32 hex digits of it."""
    digest = hashlib.sha256()
    named = [(name.encode(), content) for name, content in headers]
    for part in (key, value, *(each for header in named for each in header)):
        # With its length, so that no two records come to the same bytes.
        digest.update(b"-" if part is None else b"%d:" % len(part))
        digest.update(part or b"")
    return digest.hexdigest()[:32]


def spare(calls_per_minute: int, backlog: int, seconds: float) -> int:
    """How many events the live traffic leaves room for in the next `seconds`; one if none waits.

    What waits for an outcome already, live or replayed, comes first: as much as goes out in twice
    that time leaves no room.
    """
    some = calls_per_minute / 60 * seconds
    return max(0 if backlog else 1, round(min(some, 2 * some - backlog)))


def too_many_failed(state: ReplayState, ratio: float) -> bool:
    """Whether so many of a replay's events have failed again that it must stop."""
    ended, (least, most) = state.accepted + state.failed, ENDED_MIN
    return ended >= min(most, max(least, state.planned // 10)) and state.failed > ratio * ended


def names_replay(key: bytes | None, value: bytes | None) -> bool:
    """Whether a record of the replays topic is one of a replay."""
    return bool(key) and key != FENCE_KEY and value is not None


def latest(records: Sequence[tuple[bytes | None, bytes | None]]) -> Mapping[str, ReplayState]:
    """The last state of each replay, from keys and values in their order."""
    found: dict[str, ReplayState] = {}
    for key, value in records:
        state = decode(value or b"") if names_replay(key, value) else None
        if state is not None:
            found[state.id] = state
    return found
