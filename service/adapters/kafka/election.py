"""Lane election: membership of the consumer group on the checkpoints topic.

Knows nothing of what an owner does. Callbacks return at once, for no heartbeats are sent while
`on_partitions_assigned` runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError

from service.adapters.kafka.connection import answered, goodbye
from service.settings import KafkaSettings

POLL_SECONDS = 1.0
"""A consumer that is never polled leaves its group after `max_poll_interval_ms`."""


def _assignor() -> type[StickyPartitionAssignor]:
    """A sticky assignor that remembers for one member only, and says how old its memory is.

    aiokafka keeps the memory on the class and leaves its generation at -1 for ever, so a member
    that was away for long claims its former lanes like their true owner does, and chance decides.
    Seconds since the epoch grow from assignment to assignment as generations do.
    """

    class Assignor(StickyPartitionAssignor):  # type: ignore[misc]  # aiokafka is untyped here
        member_assignment = None
        generation = StickyPartitionAssignor.DEFAULT_GENERATION_ID

        @classmethod
        def on_assignment(cls, assignment: Any) -> None:
            super().on_assignment(assignment)
            cls.generation = int(time.time())

    return Assignor


class KafkaElection(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped here
    """`Election` on aiokafka's group coordinator, with sticky assignment."""

    def __init__(
        self,
        options: dict[str, Any],
        settings: KafkaSettings,
        client_id: str,
        group_id: str | None = None,
        topic: str | None = None,
    ) -> None:
        """Other elections than that of the lanes have a `group_id` and a `topic` of their own."""
        self._options = options
        self._session_seconds = settings.session_timeout_seconds
        self._client_id = client_id
        self._group_id = group_id or settings.group_id
        self._topic = topic or settings.topics.checkpoints
        self._consumer: AIOKafkaConsumer | None = None
        self._poller: asyncio.Task[None] | None = None
        self._on_lanes: Callable[[frozenset[int]], None] | None = None

    async def join(self, on_lanes: Callable[[frozenset[int]], None]) -> None:
        """See `Election.join`."""
        self._on_lanes = on_lanes
        session_ms = int(self._session_seconds * 1000)
        self._consumer = AIOKafkaConsumer(
            **self._options,
            client_id=self._client_id,
            group_id=self._group_id,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // 10,
            rebalance_timeout_ms=max(session_ms, 60_000),
            partition_assignment_strategy=(_assignor(),),
            enable_auto_commit=False,
            auto_offset_reset="latest",
        )
        self._consumer.subscribe([self._topic], listener=self)
        async with answered("joining the group"):
            await self._consumer.start()
        self._poller = asyncio.create_task(self._poll(self._consumer), name="election-poll")

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            consumer.pause(*consumer.assignment())
            with suppress(KafkaError):
                await consumer.getmany(timeout_ms=int(POLL_SECONDS * 1000))
            await asyncio.sleep(POLL_SECONDS)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Nothing: a rebalance that gives the lane back is no handover."""

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Tell the whole set of lanes that are this process's from now on."""
        if self._consumer is not None:
            self._consumer.pause(*assigned)
        if self._on_lanes is not None:
            self._on_lanes(frozenset(tp.partition for tp in assigned))

    async def leave(self) -> None:
        """See `Election.leave`."""
        self._on_lanes = None
        if self._poller is not None:
            self._poller.cancel()
            self._poller = None
        if self._consumer is not None:
            await goodbye(self._consumer.stop())
            self._consumer = None
