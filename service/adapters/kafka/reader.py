"""Reads the partitions of a lane by manual assignment, read_committed.

Knows nothing of events. There is no automatic offset reset anywhere: a position outside its log is
reported, and whoever reads decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from service.adapters.kafka import lean
from service.adapters.kafka.connection import answered, goodbye
from service.core.calls import Record
from service.errors import BrokerUnavailable, RecordsGone
from service.ports import TopicPartition as Partition

FETCH_BYTES_MAX = 512 * 1024
"""Of one fetch from one broker; what is prefetched is held beside the window."""
PARTITION_BYTES_MAX = 128 * 1024

WAIT_MS = 500
"""How long a broker keeps a fetch that finds nothing. Meanwhile nothing else is fetched from it, so
it is also how late a partition may be that was just read empty, or sought in."""
SPARSE_WAIT_MS = 2_000
"""The same where nearly always nothing comes: each empty fetch costs an idle lane half a
millisecond of CPU."""
METADATA_MS_MAX = 5_000
"""How late a partition that was added may be noticed."""
SPARSE_METADATA_MS_MAX = 60_000
"""The same where none is ever added; a partition that moves is noticed by its error."""


class KafkaReader:
    """`Reader` on aiokafka."""

    def __init__(self, options: dict[str, Any], *, sparse: bool = False) -> None:
        lean.install()
        self._consumer = AIOKafkaConsumer(
            **options,
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset="none",
            enable_auto_commit=False,
            fetch_max_bytes=FETCH_BYTES_MAX,
            max_partition_fetch_bytes=PARTITION_BYTES_MAX,
            fetch_max_wait_ms=SPARSE_WAIT_MS if sparse else WAIT_MS,
            metadata_max_age_ms=SPARSE_METADATA_MS_MAX if sparse else METADATA_MS_MAX,
        )

        self._read_to: dict[TopicPartition, int] = {}
        """The offset after the last record that was handed out, or where reading began."""
        self._passed: dict[TopicPartition, int] = {}
        """The same with the markers behind it."""

    async def start(self, positions: Mapping[Partition, int]) -> None:
        """See `Reader.start`."""
        async with answered("starting to read the requests"):
            await self._consumer.start()
        await self.add(positions)

    async def add(self, positions: Mapping[Partition, int]) -> None:
        """See `Reader.add`."""
        fresh = {TopicPartition(*tp): offset for tp, offset in positions.items()}
        async with answered("asking for the positions"):
            known = {tp: await self._consumer.position(tp) for tp in self._consumer.assignment()}
        self._consumer.assign([*known, *fresh])
        for tp, offset in (known | fresh).items():
            self._consumer.seek(tp, offset)
        self._read_to |= fresh

    async def fetch(
        self, partitions: Collection[Partition], records_max: int, wait_seconds: float
    ) -> Mapping[Partition, Sequence[Record]]:
        """See `Reader.fetch`."""
        if not partitions:
            await asyncio.sleep(wait_seconds)
            return {}
        try:
            async with answered("reading requests", seconds=wait_seconds + 30):
                batches = await self._consumer.getmany(
                    *(TopicPartition(*tp) for tp in partitions),
                    timeout_ms=int(wait_seconds * 1000),
                    max_records=records_max,
                )
                for tp in (TopicPartition(*each) for each in partitions):
                    self._passed[tp] = await self._consumer.position(tp)
        except BrokerUnavailable as error:
            if isinstance(error.__cause__, OffsetOutOfRangeError):
                raise RecordsGone("a position is outside its log") from error
            raise
        self._read_to |= {tp: records[-1].offset + 1 for tp, records in batches.items()}
        return {(tp.topic, tp.partition): records for tp, records in batches.items()}

    def seek(self, partition: Partition, offset: int) -> None:
        """See `Reader.seek`."""
        self._consumer.seek(TopicPartition(*partition), offset)
        self._read_to[TopicPartition(*partition)] = offset

    async def bounds(
        self, partitions: Collection[Partition]
    ) -> Mapping[Partition, tuple[int, int]]:
        """See `Reader.bounds`."""
        wanted = [TopicPartition(*tp) for tp in partitions]
        async with answered("asking for the ends of the requests' logs"):
            first = await self._consumer.beginning_offsets(wanted)
            last = await self._consumer.end_offsets(wanted)
        return {(tp.topic, tp.partition): (first[tp], last[tp]) for tp in wanted}

    def known_end(self, partition: Partition) -> int | None:
        """See `Reader.known_end`."""
        tp = TopicPartition(*partition)
        if tp not in self._consumer.assignment():
            return None
        high = self._consumer.last_stable_offset(tp)
        if high is None or high < 0:
            return None
        # What was passed and not handed out are markers, which nobody waits for.
        return int(high) if self._passed.get(tp, 0) < high else min(self._read_to[tp], int(high))

    def partition_count(self, topic: str) -> int:
        """See `Reader.partition_count`."""
        return len(self._consumer.partitions_for_topic(topic) or ())

    async def stop(self) -> None:
        """See `Reader.stop`."""
        await goodbye(self._consumer.stop())
