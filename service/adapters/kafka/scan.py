"""Reads stretches of many partitions once, read_committed, for commands that count what is there.

Knows nothing of what the records mean. An end may lie beyond an open transaction: the scan then
waits until that is settled, so that what was decided by then is seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from service.adapters.kafka.admin import TopicFacts, admin_client, describe_topics
from service.adapters.kafka.connection import answered, goodbye
from service.adapters.kafka.refusal import connecting
from service.errors import BrokerUnavailable, TopicsError
from service.ports import TopicPartition as Partition

FETCH_BYTES_MAX = 16 * 1024 * 1024
"""Of one fetch from one broker; beside it only what is being looked at is held."""
PARTITION_BYTES_MAX = 2 * 1024 * 1024
RECORDS_MAX = 5_000
"""Handed over at once: some 20 ms of work, so that progress is shown."""
POLL_SECONDS = 0.5
STALL_SECONDS = 90.0
"""Without a single record: longer than a transaction may stay open (60 s, writer.py)."""

Span = tuple[int, int]
"""[first, end) of one partition's offsets."""
Told = Callable[[str, int, int], None]
"""Takes what is being read, and how many of how many offsets are done."""


class KafkaScan:
    """Two clients without a group: one reads, one asks where logs really end."""

    def __init__(self, options: dict[str, Any], told: Told) -> None:
        self._options = options
        self._told = told
        self._reader = self._consumer("read_committed")
        self._asker = self._consumer("read_uncommitted")
        self.moved: set[Partition] = set()
        """Partitions of which records were deleted before they could be read."""

    def _consumer(self, isolation_level: str) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._options,
            group_id=None,
            isolation_level=isolation_level,
            auto_offset_reset="none",
            enable_auto_commit=False,
            fetch_max_bytes=FETCH_BYTES_MAX,
            max_partition_fetch_bytes=PARTITION_BYTES_MAX,
        )

    async def __aenter__(self) -> Self:
        try:
            async with connecting(self._options):
                await self._reader.start()
                await self._asker.start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        await goodbye(self._reader.stop())
        await goodbye(self._asker.stop())

    async def topics(self, names: Collection[str]) -> dict[str, TopicFacts]:
        """What the broker says of these topics.

        Raises:
            TopicsError: one of them does not exist.
        """
        async with admin_client(self._options) as client:
            found = await describe_topics(client, names)
        missing = [name for name in names if name not in found]
        if missing:
            raise TopicsError(
                f"topics are missing, or an ACL hides them: {', '.join(missing)}; "
                "correct kafka.topics, or run "
                "`call-dispatcher topics create`"
            )
        return found

    async def starts(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Where the logs begin now."""
        return await self._offsets(self._reader.beginning_offsets, partitions)

    async def committed_ends(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """The offsets after the last records that a read_committed reader sees now."""
        return await self._offsets(self._reader.end_offsets, partitions)

    async def ends(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """The offsets after the last records, open transactions included."""
        return await self._offsets(self._asker.end_offsets, partitions)

    @staticmethod
    async def _offsets(ask: Any, partitions: Collection[Partition]) -> dict[Partition, int]:
        wanted = [TopicPartition(*each) for each in partitions]
        if not wanted:
            return {}
        async with answered("asking where logs begin and end"):
            found = await ask(wanted)
        return {(tp.topic, tp.partition): int(offset) for tp, offset in found.items()}

    async def since(
        self, partitions: Collection[Partition], moment_ms: int
    ) -> dict[Partition, int | None]:
        """The first offset whose record bears this time or a later one; None: there is none."""
        wanted = dict.fromkeys((TopicPartition(*each) for each in partitions), moment_ms)
        if not wanted:
            return {}
        async with answered("asking where a time stands in the logs"):
            found = await self._asker.offsets_for_times(wanted)
        return {
            (tp.topic, tp.partition): None if at is None else int(at.offset)
            for tp, at in found.items()
        }

    async def first(self, partition: Partition, span: Span) -> Any | None:
        """The first record of a stretch; None if nothing visible is in it."""
        async for _, records in self.read("", {partition: span}, records_max=1):
            return records[0]
        return None

    async def read(
        self, what: str, spans: Mapping[Partition, Span], records_max: int = RECORDS_MAX
    ) -> AsyncIterator[tuple[Partition, Sequence[Any]]]:
        """All records of these stretches, in the order of each partition.

        Raises:
            BrokerUnavailable: nothing came for longer than a transaction may stay open.
        """
        left = {TopicPartition(*tp): span for tp, span in spans.items() if span[0] < span[1]}
        total = sum(end - first for first, end in left.values())
        self._reader.assign(list(left))
        for tp, (first, _) in left.items():
            self._reader.seek(tp, first)
        loop = asyncio.get_running_loop()
        news_at = loop.time()
        while left:
            runs = await self._fetch(list(left), records_max)
            for tp, records in runs.items():
                end = left[tp][1]
                inside = records if records[-1].offset < end else _before(records, end)
                if inside:
                    yield (tp.topic, tp.partition), inside
            came = await self._cross_off(left)
            total_left = sum(end - at for at, end in left.values())
            if what:
                self._told(what, total - total_left, total)
            if came or runs:
                news_at = loop.time()
            elif loop.time() - news_at > STALL_SECONDS:
                raise BrokerUnavailable(
                    f"nothing came from {next(iter(left)).topic} for {STALL_SECONDS:g} s: a "
                    "transaction stays open there, or the broker is in trouble; try again"
                )

    async def _fetch(
        self, partitions: Sequence[TopicPartition], records_max: int
    ) -> Mapping[TopicPartition, Sequence[Any]]:
        try:
            async with answered("reading", seconds=POLL_SECONDS + 30):
                runs: Mapping[TopicPartition, Sequence[Any]] = await self._reader.getmany(
                    *partitions, timeout_ms=int(POLL_SECONDS * 1000), max_records=records_max
                )
                return runs
        except BrokerUnavailable as error:
            if not isinstance(error.__cause__, OffsetOutOfRangeError):
                raise
        await self._skip_what_is_gone(partitions)
        return {}

    async def _skip_what_is_gone(self, partitions: Sequence[TopicPartition]) -> None:
        async with answered("asking where logs begin"):
            starts = await self._reader.beginning_offsets(list(partitions))
            for tp in partitions:
                if await self._reader.position(tp) < starts[tp]:
                    self._reader.seek(tp, starts[tp])
                    self.moved.add((tp.topic, tp.partition))

    async def _cross_off(self, left: dict[TopicPartition, Span]) -> bool:
        """Notes how far each has come; returns whether any has moved."""
        came = False
        async with answered("asking for the positions"):
            for tp, (at, end) in list(left.items()):
                position = await self._reader.position(tp)
                came |= position > at
                if position >= end:
                    del left[tp]
                else:
                    left[tp] = (position, end)
        return came


def _before(records: Sequence[Any], end: int) -> list[Any]:
    return [record for record in records if record.offset < end]
