"""Counts how a replay's events end, while it goes on.

Knows nothing of what is sent.
"""

from __future__ import annotations

from typing import Any

import msgspec

from service.adapters.kafka.scan import KafkaScan, Span
from service.core.letters import letter_of
from service.letters import reading
from service.ports import TopicPartition
from service.settings import TopicsSettings


class _Origin(msgspec.Struct, rename="kebab"):
    replay_id: str


class _Result(msgspec.Struct):
    origin: _Origin | None


_decode = msgspec.json.Decoder(_Result).decode


class Outcomes:
    """Results and dead letters of one replay."""

    def __init__(self, scan: KafkaScan, names: TopicsSettings, replay_id: str) -> None:
        self.accepted = 0
        self.failed = 0
        self._scan = scan
        self._names = names
        self._id = replay_id
        self._spans: dict[TopicPartition, Span] = {}

    async def since(self, began_ms: int) -> None:
        """Count from the replay's begin on."""
        for topic in (self._names.results, self._names.dead_letters):
            self._spans |= await reading.spans(self._scan, topic, began_ms - reading.CLOCKS_MS)

    async def look(self) -> None:
        """Count what has come since the last look.

        Raises:
            BrokerUnavailable: the broker did not answer.
        """
        ends = await self._scan.committed_ends(list(self._spans))
        spans = {tp: (self._spans[tp][0], end) for tp, end in ends.items()}
        async for (topic, _), records in self._scan.read("", spans):
            for record in records:
                if topic == self._names.results:
                    self.accepted += self._is_result(record.value or b"")
                else:
                    self.failed += self._is_letter(record)
        self._spans = {tp: (end, end) for tp, end in ends.items()}

    def _is_result(self, value: bytes) -> bool:
        # Most results are of live traffic: only those that name the replay are read.
        if self._id.encode() not in value:
            return False
        try:
            origin = _decode(value).origin
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return False
        return origin is not None and origin.replay_id == self._id

    def _is_letter(self, record: Any) -> bool:
        letter = letter_of(record)
        return bool(letter and letter.origin and letter.origin.replay_id == self._id)
