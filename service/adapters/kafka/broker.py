"""`Broker` on Kafka: hands out a lane's clients and answers what is asked before it has any.

Knows nothing of what a checkpoint holds.
"""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import RecordsToDelete

from service.adapters.kafka.admin import (
    add_partitions,
    admin_client,
    describe_topics,
    group_offsets,
    members,
)
from service.adapters.kafka.connection import answered, client_options, goodbye
from service.adapters.kafka.election import KafkaElection
from service.adapters.kafka.reader import KafkaReader
from service.adapters.kafka.writer import FENCE_KEY, KafkaWriter
from service.ports import Stored, Survey
from service.ports import TopicPartition as Partition
from service.settings import Settings

TAIL_RECORDS = 8
"""How far before the end the search for the last checkpoint begins; it doubles from there."""


class KafkaBroker:
    """`Broker` on aiokafka."""

    def __init__(self, settings: Settings, client_id: str) -> None:
        self._settings = settings
        self._options = client_options(settings.kafka)
        self._client_id = client_id
        self._writers: dict[int, KafkaWriter] = {}
        """The last one of each lane."""

    async def survey(self) -> Survey:
        """See `Broker.survey`."""
        kafka = self._settings.kafka
        async with admin_client(self._options) as client:
            topics = await describe_topics(client, list(kafka.topics.model_dump().values()))
            offsets = await group_offsets(client, kafka.group_id, kafka.topics.requests)
        return Survey(
            {name: facts.partitions for name, facts in topics.items()},
            {name: int(facts.settings["max.message.bytes"]) for name, facts in topics.items()},
            offsets,
        )

    async def last_checkpoint(self, lane: int) -> Stored | None:
        """See `Broker.last_checkpoint`."""
        tp = TopicPartition(self._settings.kafka.topics.checkpoints, lane)
        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=8 * 1024 * 1024,
        )
        try:
            async with answered("starting to read the checkpoints"):
                await consumer.start()
                consumer.assign([tp])
            async with answered("reading the checkpoints", seconds=60):
                writer = self._writers.get(lane)
                return await self._last(consumer, tp, writer.fence_offset if writer else -1)
        finally:
            await goodbye(consumer.stop())

    @staticmethod
    async def _last(
        consumer: AIOKafkaConsumer, tp: TopicPartition, fence_offset: int
    ) -> Stored | None:
        first = (await consumer.beginning_offsets([tp]))[tp]
        end = max((await consumer.end_offsets([tp]))[tp], fence_offset + 1)
        back = TAIL_RECORDS
        while True:
            start = max(first, end - back)
            consumer.seek(tp, start)
            last = None
            while await consumer.position(tp) < end:
                batches = await consumer.getmany(tp, timeout_ms=200)
                for record in batches.get(tp, ()):
                    if record.key != FENCE_KEY:
                        last = Stored(record.value, record.timestamp)
            if last is not None or start == first:
                return last
            back *= 16

    async def delete_records(self, partition: Partition, before: int) -> None:
        """See `Broker.delete_records`."""
        async with (
            admin_client(self._options) as client,
            answered(f"deleting what is done of {partition[0]}"),
        ):
            await client.delete_records({TopicPartition(*partition): RecordsToDelete(before)})

    async def owns(self, lane: int) -> bool:
        """See `Broker.owns`."""
        kafka = self._settings.kafka
        async with admin_client(self._options) as client:
            owned = await members(client, kafka.group_id)
        return (kafka.topics.checkpoints, lane) in owned.get(self._client_id, set())

    def writer(self, lane: int) -> KafkaWriter:
        """See `Broker.writer`."""
        kafka = self._settings.kafka
        transactional_id = f"{kafka.group_id}.{kafka.topics.checkpoints}.{lane}"
        writer = self._writers[lane] = self._writer(transactional_id, lane)
        return writer

    def migrator(self) -> KafkaWriter:
        """See `MigrationBroker.migrator`."""
        return self._writer(f"{self._settings.kafka.group_id}.migrate", None)

    def _writer(self, transactional_id: str, lane: int | None) -> KafkaWriter:
        kafka = self._settings.kafka
        return KafkaWriter(
            self._options, transactional_id, kafka.group_id, kafka.topics.checkpoints, lane
        )

    async def add_lanes(self, lanes: int) -> None:
        """See `MigrationBroker.add_lanes`."""
        names = self._settings.kafka.topics
        async with admin_client(self._options) as client:
            for name in (names.parked, names.overflow, names.checkpoints):
                await add_partitions(client, name, lanes)

    def reader(self, *, sparse: bool = False) -> KafkaReader:
        """See `Broker.reader`."""
        return KafkaReader(self._options, sparse=sparse)

    def election(self) -> KafkaElection:
        """The lane election of this process."""
        return KafkaElection(self._options, self._settings.kafka, self._client_id)

    @property
    def options(self) -> dict[str, Any]:
        """Client options, for those who only make or check topics."""
        return self._options
