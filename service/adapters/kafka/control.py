"""The control topic: writes commands, reads them back, and what the lanes' checkpoints say of them.

Knows nothing of what a command does. A command that was given under the same id before is not
written again, so that repeating one is always safe.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from service.adapters.kafka.admin import TopicFacts, admin_client, describe_topics, members
from service.adapters.kafka.broker import KafkaBroker
from service.adapters.kafka.connection import answered, goodbye
from service.adapters.kafka.refusal import connecting
from service.core.checkpoint import decode as decode_checkpoint
from service.core.control import AnyCommand, decode, encode
from service.core.held import Given, LaneSeen
from service.core.orders import same
from service.errors import BrokerUnavailable, ControlUnreadable, OrderRefused, TopicsError
from service.settings import Settings

PARTITION = 0
"""The control topic has only this one, so its order is everybody's."""
READ_SECONDS = 30.0
"""For all commands there ever were; operators give a handful a day."""


class KafkaControl:
    """`Control` on aiokafka; each call has a client of its own, since calls are rare."""

    def __init__(self, settings: Settings, broker: KafkaBroker) -> None:
        self._names = settings.kafka.topics
        self._group_id = settings.kafka.group_id
        self._broker = broker
        self._options = broker.options

    async def write(self, command: AnyCommand, *, given_id: bool) -> Given:
        """See `Control.write`."""
        await self._topic(self._names.control)
        if given_id:
            earlier = await self._given(command.id)
            if earlier is not None and not same(earlier.command, command):
                raise OrderRefused(
                    f"id: {command.id} was given to another command at {earlier.command.at}: "
                    "choose another one"
                )
            if earlier is not None:
                return earlier
        try:
            return Given(await self._produce(command), command)
        except BrokerUnavailable as error:
            raise BrokerUnavailable(
                f"{error}; the command may have been written or not: give it again with the id "
                f"{command.id}, which never does it twice"
            ) from error

    async def _produce(self, command: AnyCommand) -> int:
        producer = AIOKafkaProducer(**self._options, acks="all", enable_idempotence=True)
        try:
            async with answered("writing the command"):
                await producer.start()
                sent = await producer.send_and_wait(
                    self._names.control, encode(command), command.id.encode(), PARTITION
                )
        finally:
            await goodbye(producer.stop())
        return int(sent.offset)

    async def _given(self, command_id: str) -> Given | None:
        for record in await self._records():
            if record.key == command_id.encode() and record.value is not None:
                return Given(record.offset, decode(record.value))
        return None

    async def commands(self) -> tuple[list[Given], int]:
        """All commands in their order, and how many records are none that this release knows.

        Raises:
            TopicsError: the topic does not exist.
            BrokerUnavailable: the broker did not answer.
        """
        await self._topic(self._names.control)
        found, unknown = [], 0
        for record in await self._records():
            if record.value is None:
                continue  # Deleted by hand; compaction will take it.
            try:
                found.append(Given(record.offset, decode(record.value)))
            except ControlUnreadable:
                unknown += 1
        return found, unknown

    async def _records(self) -> Sequence[Any]:
        tp = TopicPartition(self._names.control, PARTITION)
        records: list[Any] = []
        async with (
            self._consumer(auto_offset_reset="earliest") as consumer,
            answered("reading the commands", READ_SECONDS),
        ):
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            end = (await consumer.end_offsets([tp]))[tp]
            while await consumer.position(tp) < end:
                records += (await consumer.getmany(tp, timeout_ms=200)).get(tp, ())
        return records

    async def request_ends(self, before_ms: int | None) -> dict[int, int]:
        """See `Control.request_ends`."""
        facts = await self._topic(self._names.requests)
        wanted = [TopicPartition(self._names.requests, n) for n in range(facts.partitions)]
        async with (
            self._consumer() as consumer,
            answered("asking for the ends of the requests' logs"),
        ):
            ends = dict(await consumer.end_offsets(wanted))
            if before_ms is not None:
                times = await consumer.offsets_for_times(dict.fromkeys(wanted, before_ms))
                ends |= {tp: found.offset for tp, found in times.items() if found is not None}
        return {tp.partition: offset for tp, offset in ends.items()}

    async def lane_count(self) -> int:
        """See `Control.lane_count`."""
        return (await self._topic(self._names.checkpoints)).partitions

    async def lanes(self) -> list[LaneSeen]:
        """What the last checkpoint of each lane says.

        Raises:
            TopicsError: the checkpoints topic does not exist.
            CheckpointUnreadable: one is of a newer release.
            BrokerUnavailable: the broker did not answer.
        """
        return [await self.lane(number) for number in range(await self.lane_count())]

    async def lane(self, number: int) -> LaneSeen:
        """What the last checkpoint of one lane says; `lanes` tells the errors."""
        stored = await self._broker.last_checkpoint(number)
        if stored is None:
            return LaneSeen(number)
        checkpoint = decode_checkpoint(stored.value)
        return LaneSeen(number, checkpoint.control, checkpoint.holds)

    async def owned_lanes(self) -> set[int]:
        """Lanes that a replica owns just now.

        Raises:
            BrokerUnavailable: the broker did not answer, or the group is rebalancing.
        """
        return set(await self.owners())

    async def owners(self) -> dict[int, str]:
        """See `Control.owners`."""
        async with admin_client(self._options) as client:
            owned = await members(client, self._group_id)
        topic = self._names.checkpoints
        return {
            partition: client_id
            for client_id, tps in owned.items()
            for name, partition in tps
            if name == topic
        }

    async def _topic(self, name: str) -> TopicFacts:
        # Asked first: a client that names a topic may make it, on brokers that allow that.
        async with admin_client(self._options) as client:
            topics = await describe_topics(client, [name])
        if name not in topics:
            raise TopicsError(
                f"topic {name} does not exist: run `call-dispatcher topics create`, or correct "
                "kafka.topics"
            )
        return topics[name]

    @asynccontextmanager
    async def _consumer(self, auto_offset_reset: str = "none") -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset=auto_offset_reset,
            enable_auto_commit=False,
        )
        try:
            async with connecting(self._options):
                await consumer.start()
            yield consumer
        finally:
            await goodbye(consumer.stop())
