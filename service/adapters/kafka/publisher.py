"""Publishes events in transactions, each of which also says how far its run has come.

Knows nothing of files, or of what an event is. The progress of a run is a committed offset of a
consumer group that nobody joins: the offset is the number of lines done, its metadata their
digest. It is committed in the same transaction as the events, so what a killed run has done is
known exactly, from any machine, without a file.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
)
from aiokafka.partitioner import murmur2

from service.adapters.kafka.admin import admin_client, describe_topics, group_progress
from service.adapters.kafka.connection import answered, describe, goodbye
from service.errors import BrokerUnavailable, DispatcherError, TopicsError

BATCH_BYTES_MAX = 512 * 1024
"""Of one produced batch: below every usual `max.message.bytes`."""
COMMIT_SECONDS = 15.0
"""A broker that restarts needs some of it to come back."""
TRANSACTION_SECONDS_MAX = 20
"""After a run was killed, its open transaction keeps readers of these partitions waiting so long
unless it is resumed. Longer than `COMMIT_SECONDS`, so that it never ends one that goes well."""

Event = tuple[bytes | None, bytes]
"""(key, value)"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come: `digest` is of its first `lines` lines."""

    lines: int
    digest: str


class KafkaPublisher:
    """The transactional producer of one run; `name` is its transactional id and its group."""

    def __init__(self, options: dict[str, Any], topic: str, name: str) -> None:
        self._options = options
        self._topic = topic
        self._name = name
        self._partitions = 0
        self._producer: AIOKafkaProducer | None = None

    async def progress(self) -> Progress | None:
        """What the run has committed; None if it is not known.

        Raises:
            TopicsError: the topic does not exist.
            BrokerUnavailable: the broker did not answer.
        """
        async with admin_client(self._options) as client:
            topics = await describe_topics(client, [self._topic])
            if self._topic not in topics:
                raise TopicsError(
                    f"topic {self._topic} does not exist: run `call-dispatcher topics create`, "
                    "or correct kafka.topics.requests"
                )
            self._partitions = topics[self._topic].partitions
            found = await group_progress(client, self._name, self._topic)
        return Progress(*found) if found else None

    async def start(self) -> None:
        """Fence every other process of this run, and abort what it left open.

        Raises:
            BrokerUnavailable: the broker did not answer.
        """
        self._producer = AIOKafkaProducer(
            **self._options,
            transactional_id=self._name,
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES_MAX,
            transaction_timeout_ms=TRANSACTION_SECONDS_MAX * 1000,
        )
        async with answered("starting the producer"):
            await self._producer.start()

    async def commit(self, events: Sequence[Event], progress: Progress) -> None:
        """Write the events and the progress with them: all or nothing.

        Raises:
            TopicsError: an event is too large for the topic; nothing was committed.
            DispatcherError: another process has taken the run over; nothing was committed.
            BrokerUnavailable: it may be committed or not; `progress` tells.
        """
        assert self._producer is not None, "commit() before start()"
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await self._commit(self._producer, events, progress)
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise DispatcherError("another process publishes the same: this one stops") from error
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise TopicsError(
                f"the broker refused an event as too large: raise max.message.bytes of topic "
                f"{self._topic} to 1048588 or more"
            ) from error
        except (TimeoutError, KafkaError, OSError, AssertionError) as error:
            raise BrokerUnavailable(
                f"Kafka did not confirm a transaction: {describe(error)}"
            ) from error

    async def _commit(
        self, producer: AIOKafkaProducer, events: Sequence[Event], progress: Progress
    ) -> None:
        await producer.begin_transaction()
        by_partition: dict[int, list[Event]] = defaultdict(list)
        for number, event in enumerate(events, progress.lines):
            by_partition[self._partition(event[0], number)].append(event)
        sent: list[asyncio.Future[Any]] = []
        try:
            for partition, run in by_partition.items():
                sent += await self._send(producer, partition, run)
        finally:
            # A commit succeeds although a send in it failed, unless every future is looked at.
            await asyncio.gather(*sent)
        await producer.send_offsets_to_transaction(
            {TopicPartition(self._topic, 0): (progress.lines, progress.digest)}, self._name
        )
        await producer.commit_transaction()

    def _partition(self, key: bytes | None, number: int) -> int:
        """As Kafka's own producers: by the key's murmur2; in turns where there is no key."""
        return (number if key is None else murmur2(key) & 0x7FFFFFFF) % self._partitions

    async def _send(
        self, producer: AIOKafkaProducer, partition: int, events: Sequence[Event]
    ) -> list[asyncio.Future[Any]]:
        now_ms, sent = int(time.time() * 1000), []
        builder = producer.create_batch()
        for key, value in events:
            if builder.append(timestamp=now_ms, key=key, value=value) is None:
                sent.append(await producer.send_batch(builder, self._topic, partition=partition))
                builder = producer.create_batch()
                builder.append(timestamp=now_ms, key=key, value=value)
        builder.close()
        sent.append(await producer.send_batch(builder, self._topic, partition=partition))
        return sent

    async def stop(self) -> None:
        """Give up the connection, whatever state it is in; bounded in time, never raises."""
        if self._producer is not None:
            await goodbye(self._producer.stop())
            self._producer = None
