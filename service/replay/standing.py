"""What the replays topic says: where each replay stands, and whether anybody runs one.

Knows nothing of plans' files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from service.adapters.kafka.admin import admin_client, members
from service.adapters.kafka.connection import client_options
from service.adapters.kafka.replayer import group_of
from service.adapters.kafka.scan import KafkaScan
from service.core.replay_words import Replay, State, decode_replay
from service.errors import BrokerUnavailable
from service.settings import KafkaSettings, Settings


@dataclass(frozen=True, slots=True)
class Standing:
    """One replay as of now."""

    replay: Replay
    state: State
    """As noted; but `interrupted` if nobody runs any replay."""


@dataclass(slots=True)
class Noted:
    """The replays topic, read to its end."""

    last: dict[str, Replay]
    """The last record of each replay."""
    newest: dict[str, int]
    """Where the last record of each id stands, also of those that cannot be read."""

    def others_since(self, replay_id: str, offset: int) -> bool:
        """Whether another replay may have sent something since."""
        return any(at >= offset for each, at in self.newest.items() if each != replay_id)


async def noted(scan: KafkaScan, kafka: KafkaSettings) -> Noted:
    """Read the topic; what was open when this began is settled first.

    Raises:
        BrokerUnavailable: the broker did not answer.
    """
    tp, found = (kafka.topics.replays, 0), Noted({}, {})
    spans = {tp: ((await scan.starts([tp]))[tp], (await scan.ends([tp]))[tp])}
    async for _, records in scan.read("", spans):
        for record in records:
            key = (record.key or b"").decode(errors="replace")
            found.newest[key] = record.offset
            replay = _replay(record)
            if replay is not None:
                found.last[key] = replay
    return found


def _replay(record: Any) -> Replay | None:
    try:
        return decode_replay(record.value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


async def replays(settings: Settings) -> list[Standing]:
    """All replays that are noted, the newest first.

    Raises:
        TopicsError: the topic is missing.
        BrokerUnavailable: the broker did not answer.
    """
    kafka, options = settings.kafka, client_options(settings.kafka)
    async with admin_client(options) as client:
        try:
            runs = any((await members(client, group_of(kafka))).values())
        except BrokerUnavailable:
            # Somebody joins or leaves at this moment.
            runs = True
    async with KafkaScan(options, lambda *_: None) as scan:
        await scan.topics([kafka.topics.replays])
        found = (await noted(scan, kafka)).last.values()
    newest = sorted(found, key=lambda each: each.started_at, reverse=True)
    return [Standing(each, _state(each, runs=runs)) for each in newest]


def _state(replay: Replay, *, runs: bool) -> State:
    if replay.state is State.RUNNING and not runs:
        return State.INTERRUPTED
    return replay.state
