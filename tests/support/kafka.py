"""Short ways to a real broker's topics: create, produce, read back.

Knows nothing of the dispatcher's own Kafka adapter, so that its tests have a second opinion.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError, for_code

ANSWER_SECONDS_MAX = 30.0
KNOWN_LOOKS_MAX = 50
"""For one step with the broker: clients wait for ever while it is away."""
MARKER_SECONDS_MAX = 2.0
"""For the markers of a commit that was answered; a transaction may also be open for long."""


@dataclass(frozen=True, slots=True)
class Names:
    """Names of topics and groups that no other test, worker or run uses."""

    prefix: str = field(default_factory=lambda: f"test-{secrets.token_hex(6)}")

    def __call__(self, name: str) -> str:
        """`name` made unique, e.g. `requests` to `test-0123456789ab.requests`."""
        return f"{self.prefix}.{name}"


@dataclass(frozen=True, slots=True)
class Topic:
    """How a topic is made: partitions, and settings such as `{"cleanup.policy": "compact"}`."""

    partitions: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)


@asynccontextmanager
async def admin_client(bootstrap: str) -> AsyncIterator[Any]:
    """A connected aiokafka admin client."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def create_topics(bootstrap: str, topics: Mapping[str, int | Topic]) -> None:
    """Create topics by name; a number stands for a topic with so many partitions."""
    wanted = {
        name: topic if isinstance(topic, Topic) else Topic(topic) for name, topic in topics.items()
    }
    new = [
        NewTopic(name, topic.partitions, 1, topic_configs=dict(topic.settings))
        for name, topic in wanted.items()
    ]
    async with admin_client(bootstrap) as admin, asyncio.timeout(ANSWER_SECONDS_MAX):
        answer = await admin.create_topics(new)
        for name, code, *_ in answer.topic_errors:
            if code:
                raise for_code(code)(name)


async def delete_topics(bootstrap: str, names: Collection[str]) -> None:
    """Delete topics, as an operator might by mistake; returns when the broker has heard of it."""
    async with admin_client(bootstrap) as admin, asyncio.timeout(ANSWER_SECONDS_MAX):
        await admin.delete_topics(list(names))
        while set(names) & set(await admin.list_topics()):  # noqa: ASYNC110 - the controller knows first
            await asyncio.sleep(0.05)


@asynccontextmanager
async def producer(bootstrap: str, **options: Any) -> AsyncIterator[Any]:
    """A started aiokafka producer; `options` are its constructor's (`transactional_id` …)."""
    client = AIOKafkaProducer(bootstrap_servers=bootstrap, **options)
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        await client.start()
    try:
        yield client
    finally:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await client.stop()


async def produce(
    bootstrap: str,
    topic: str,
    values: Iterable[bytes | None],
    *,
    key: bytes | None = None,
    partition: int | None = None,
    headers: Collection[tuple[str, bytes]] = (),
    **options: Any,
) -> list[Any]:
    """Write records in order; returns where each went (`.partition`, `.offset`, `.timestamp`)."""
    async with producer(bootstrap, **options) as client, asyncio.timeout(ANSWER_SECONDS_MAX):
        sent = [
            await client.send(topic, value, key=key, partition=partition, headers=list(headers))
            for value in values
        ]
        return list(await asyncio.gather(*sent))


async def read_all(bootstrap: str, topic: str, *, committed_only: bool = True) -> list[Any]:
    """All records up to the end as it is now, by partition and offset.

    `committed_only` reads read_committed: up to the first open transaction, without aborted ones.
    A commit is answered before its markers stand everywhere (KIP-98): it waits a moment for them.
    A topic that is not there is an error, never empty.
    """
    partitions = await _partitions(bootstrap, topic)
    isolation = "read_committed" if committed_only else "read_uncommitted"
    async with _consumer(bootstrap, isolation) as consumer, asyncio.timeout(ANSWER_SECONDS_MAX):
        if committed_only:
            await _markers_written(bootstrap, consumer, partitions)
        return await _read_to_end(consumer, partitions)


async def bounds(bootstrap: str, topic: str) -> dict[int, tuple[int, int]]:
    """First offset and end of each partition, markers and all."""
    partitions = await _partitions(bootstrap, topic)
    async with _consumer(bootstrap, "read_uncommitted") as consumer:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            first = await consumer.beginning_offsets(partitions)
            ends = await consumer.end_offsets(partitions)
    return {tp.partition: (first[tp], ends[tp]) for tp in partitions}


@asynccontextmanager
async def _consumer(bootstrap: str, isolation: str) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level=isolation,
        auto_offset_reset="none",
        enable_auto_commit=False,
    )
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _markers_written(bootstrap: str, committed: Any, where: list[TopicPartition]) -> None:
    """Until no transaction of before is open, or MARKER_SECONDS_MAX."""
    async with _consumer(bootstrap, "read_uncommitted") as uncommitted:
        ends = await uncommitted.end_offsets(where)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(MARKER_SECONDS_MAX):
            while True:
                stable = await committed.end_offsets(where)
                if all(stable[one] >= end for one, end in ends.items()):
                    return
                await asyncio.sleep(0.02)


async def _read_to_end(consumer: Any, partitions: list[TopicPartition]) -> list[Any]:
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    for partition, start in (await consumer.beginning_offsets(partitions)).items():
        consumer.seek(partition, start)
    records: list[Any] = []
    while any([await consumer.position(one) < ends[one] for one in partitions]):
        for partition, run in (await consumer.getmany(timeout_ms=200)).items():
            records += [record for record in run if record.offset < ends[partition]]
    return sorted(records, key=lambda record: (record.partition, record.offset))


async def _partitions(bootstrap: str, topic: str) -> list[TopicPartition]:
    async with admin_client(bootstrap) as admin, asyncio.timeout(ANSWER_SECONDS_MAX):
        looks = 1
        while True:
            (described,) = await admin.describe_topics([topic])
            error = for_code(described["error_code"])
            if error is not UnknownTopicOrPartitionError or looks == KNOWN_LOOKS_MAX:
                break
            # One that was just created may not be known everywhere yet.
            looks += 1
            await asyncio.sleep(0.1)
    if described["error_code"]:
        raise error(topic)
    return [TopicPartition(topic, one["partition"]) for one in described["partitions"]]
