"""What a running replay looks at: outcomes of what it sent, and what live traffic leaves it.

Knows nothing of what follows from it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from service.adapters.kafka.broker import KafkaBroker
from service.adapters.kafka.connection import client_options
from service.adapters.kafka.reader import KafkaReader
from service.adapters.kafka.scan import KafkaScan
from service.core.origin import REPLAY_ID
from service.core.replay_pace import Load
from service.letters.reading import CLOCKS_MS, open_work
from service.ports import TopicPartition
from service.settings import Settings

FETCH_RECORDS_MAX = 5_000


class _Origin(msgspec.Struct, rename="kebab"):
    replay_id: str


class _Result(msgspec.Struct):
    origin: _Origin | None = None


_decode = msgspec.json.Decoder(_Result).decode


class Outcomes:
    """Counts the outcomes of one replay's events, from its beginning."""

    def __init__(self, settings: Settings, replay_id: str) -> None:
        self.accepted = 0
        self.failed = 0
        self._names = settings.kafka.topics
        self._id = replay_id.encode()
        self._reader = KafkaReader(client_options(settings.kafka))
        self._tps: list[TopicPartition] = []

    async def start(self, scan: KafkaScan, since_ms: int) -> None:
        """Begin at what was written since.

        Raises:
            BrokerUnavailable: the broker did not answer.
        """
        names = (self._names.results, self._names.dead_letters)
        facts = await scan.topics(names)
        self._tps = [(name, number) for name in names for number in range(facts[name].partitions)]
        ends = await scan.committed_ends(self._tps)
        since = await scan.since(self._tps, since_ms - CLOCKS_MS)
        starts = {tp: ends[tp] if (at := since[tp]) is None else at for tp in self._tps}
        await self._reader.start(starts)

    async def look(self, wait_seconds: float = 0.0) -> int:
        """Count what has come; returns how many records that was, of whatever origin."""
        found = await self._reader.fetch(self._tps, FETCH_RECORDS_MAX, wait_seconds)
        for (topic, _), records in found.items():
            if topic == self._names.results:
                self.accepted += sum(self._is_result(record.value) for record in records)
            else:
                self.failed += sum(self._is_letter(record.headers) for record in records)
        return sum(map(len, found.values()))

    def _is_result(self, value: bytes | None) -> bool:
        if value is None or self._id not in value:
            return False
        try:
            origin = _decode(value).origin
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return False
        return origin is not None and origin.replay_id.encode() == self._id

    def _is_letter(self, headers: Any) -> bool:
        return any(name == REPLAY_ID and content == self._id for name, content in headers)

    async def stop(self) -> None:
        """Leave the broker."""
        await self._reader.stop()


class Gauge:
    """Measures, from the requests' ends and the lanes' checkpoints, what else there is to do."""

    def __init__(self, settings: Settings, scan: KafkaScan) -> None:
        self._names = settings.kafka.topics
        self._limit = settings.provider.calls_per_minute
        self._scan = scan
        self._broker = KafkaBroker(settings, "replay-gauge")
        self._last: tuple[float, int] | None = None
        self._ours = 0

    def sent(self, events: int, partitions: int) -> None:
        """So many of the offsets to come are ours: events, and a marker on each partition."""
        self._ours += events + partitions

    async def look(self) -> Load | None:
        """What it is now; None the first time, for a rate takes two looks.

        Raises:
            BrokerUnavailable: the broker did not answer.
        """
        names = self._names
        facts = await self._scan.topics([names.requests, names.checkpoints])
        tps = [(names.requests, number) for number in range(facts[names.requests].partitions)]
        ends, starts = await self._scan.ends(tps), await self._scan.starts(tps)
        work = await open_work(self._broker, facts[names.checkpoints].partitions)
        backlog = sum(work.backlog(tp, starts[tp], ends[tp]) for tp in tps)
        now, end = asyncio.get_running_loop().time(), sum(ends.values())
        last, self._last = self._last, (now, end)
        ours, self._ours = self._ours, 0
        if last is None:
            return None
        live = max(0, end - last[1] - ours) / max(0.001, now - last[0])
        return Load((work.limit or self._limit) / 60, live, backlog)
