"""What the broker says of topics and groups, and the making of topics.

Knows nothing of which topics this program needs, nor of which of their settings matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupIdNotFound,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.structs import OffsetAndMetadata

from service.adapters.kafka.connection import answered, describe, goodbye
from service.adapters.kafka.refusal import connecting
from service.errors import BrokerUnavailable

Answer = TypeVar("Answer")

NO_COORDINATOR = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)
COORDINATOR_RETRY_SECONDS = 0.1
NEWS_SECONDS = 0.05
"""Between two looks for a new topic."""


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic as the broker describes it."""

    partitions: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NewTopicPlan:
    """A topic to be made; the broker's default replication factor is taken."""

    name: str
    partitions: int
    settings: Mapping[str, str] = field(default_factory=dict)


@asynccontextmanager
async def admin_client(options: dict[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client.

    Raises:
        BrokerUnavailable: the broker did not answer.
    """
    client = AIOKafkaAdminClient(**options)
    try:
        async with connecting(options):
            await client.start()
        yield client
    finally:
        await goodbye(client.close())


async def describe_topics(
    client: AIOKafkaAdminClient, names: Collection[str]
) -> dict[str, TopicFacts]:
    """Those of `names` that exist, with partitions and effective settings.

    Raises:
        BrokerUnavailable: the broker did not answer, or refused to tell.
    """
    async with answered("describing topics"):
        # Asking for a topic by name would make it, on a broker with auto.create.topics.enable.
        there = set(await client.list_topics())
        described = await client.describe_topics([name for name in names if name in there])
        partitions = {
            topic["topic"]: len(topic["partitions"])
            for topic in described
            if topic["error_code"] == 0
        }
        if not partitions:
            return {}
        responses = await client.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name) for name in partitions]
        )
    settings: dict[str, dict[str, str]] = {}
    for response in responses:
        for code, message, _, name, entries in response.resources:
            if code != 0:
                raise BrokerUnavailable(
                    f"the settings of topic {name} cannot be read: "
                    f"{describe(for_code(code)(message or ''))}"
                )
            settings[name] = {entry[0]: entry[1] for entry in entries}
    return {name: TopicFacts(count, settings[name]) for name, count in partitions.items()}


async def create_topics(client: AIOKafkaAdminClient, plans: Collection[NewTopicPlan]) -> None:
    """Make the topics, and wait until they are known; one that exists by now is left alone.

    Raises:
        BrokerUnavailable: the broker did not answer, or refused one.
    """
    async with answered("creating topics"):
        response = await client.create_topics([_new_topic(plan) for plan in plans])
    for name, code, message in response.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):
            error = for_code(code)(message or "")
            raise BrokerUnavailable(f"topic {name} cannot be created: {describe(error)}")
    names = [plan.name for plan in plans]
    async with answered("waiting for the new topics"):
        # The controller answers before the brokers have heard of a new topic.
        while len(await describe_topics(client, names)) < len(names):  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(NEWS_SECONDS)


def _new_topic(plan: NewTopicPlan) -> NewTopic:
    topic = NewTopic(plan.name, plan.partitions, 1, topic_configs=dict(plan.settings))
    # The broker's own default (KIP-464), which the constructor does not let through.
    topic.replication_factor = -1
    return topic


async def add_partitions(client: AIOKafkaAdminClient, name: str, count: int) -> None:
    """Give a topic `count` partitions if it has fewer, and wait until they are known.

    Raises:
        BrokerUnavailable: the broker did not answer, or refused.
    """
    if (await describe_topics(client, [name]))[name].partitions >= count:
        return
    async with answered(f"adding partitions to {name}"):
        await client.create_partitions({name: NewPartitions(count)})
        while (await describe_topics(client, [name]))[name].partitions < count:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(NEWS_SECONDS)


REBALANCING = {"PreparingRebalance", "CompletingRebalance"}
"""States of a group in which the coordinator names no assignments."""


async def members(client: AIOKafkaAdminClient, group_id: str) -> dict[str, set[tuple[str, int]]]:
    """The partitions that the group's coordinator counts as each client-id's, asked just now.

    Raises:
        BrokerUnavailable: the broker did not answer, or the group is rebalancing.
    """

    async def ask() -> Any:
        responses = await client.describe_consumer_groups([group_id])
        [group] = responses[0].groups
        if group[0] not in (0, GroupIdNotFound.errno):
            raise for_code(group[0])
        return group

    async with answered("asking for the group's members"):
        group = await _from_coordinator(ask)
    if group[2] in REBALANCING:
        raise BrokerUnavailable("the group is rebalancing: nobody's lanes are settled")
    owned: dict[str, set[tuple[str, int]]] = {}
    for member in group[5]:
        client_id, assignment = member[1], member[4]
        if assignment:
            decoded = ConsumerProtocolMemberAssignment.decode(assignment)
            owned[client_id] = {(tp.topic, tp.partition) for tp in decoded.partitions()}
    return owned


async def group_offsets(
    client: AIOKafkaAdminClient, group_id: str, topic: str
) -> dict[tuple[str, int], int]:
    """The group's committed offsets of one topic.

    Raises:
        BrokerUnavailable: the broker did not answer.
    """
    topics = await describe_topics(client, [topic])
    count = topics[topic].partitions if topic in topics else 0
    found = await _committed(client, group_id, topic, range(count))
    return {(topic, partition): meta.offset for partition, meta in found.items()}


async def group_progress(
    client: AIOKafkaAdminClient, group_id: str, topic: str
) -> tuple[int, str] | None:
    """Offset and metadata that the group has committed for the topic's first partition.

    Raises:
        BrokerUnavailable: the broker did not answer.
    """
    found = (await _committed(client, group_id, topic, [0])).get(0)
    return None if found is None else (found.offset, found.metadata)


async def _committed(
    client: AIOKafkaAdminClient, group_id: str, topic: str, partitions: Collection[int]
) -> dict[int, OffsetAndMetadata]:
    """What is committed, by partition; those without a commit are left out."""
    wanted = [TopicPartition(topic, partition) for partition in partitions]

    async def ask() -> dict[TopicPartition, OffsetAndMetadata]:
        found: dict[TopicPartition, OffsetAndMetadata] = (
            await client.list_consumer_group_offsets(group_id, partitions=wanted) if wanted else {}
        )
        # aiokafka passes over an error that speaks of the group: nothing is answered then, while
        # a partition that was asked for and has no commit is answered with -1.
        if any(tp not in found for tp in wanted):
            raise GroupCoordinatorNotAvailableError
        return found

    async with answered("asking for the group's offsets"):
        found = await _from_coordinator(ask)
    return {tp.partition: meta for tp, meta in found.items() if meta.offset >= 0}


async def _from_coordinator(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask until the group has a coordinator; the caller bounds the time.

    A fresh cluster makes it at the first question, and after a broker's end it moves.
    """
    while True:
        try:
            return await ask()
        except NO_COORDINATOR:
            await asyncio.sleep(COORDINATOR_RETRY_SECONDS)
