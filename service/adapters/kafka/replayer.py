"""What a replay needs of Kafka: to be the only one, and to commit events with its progress.

Knows nothing of dead letters. Membership of a group of its own is the lock, one partition of the
replays topic what is owned; the transactional id, the same for all replays, fences one that lost
the lock and does not know it yet.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
)

from service.adapters.kafka.connection import answered, client_options, describe, goodbye
from service.adapters.kafka.election import KafkaElection
from service.errors import BrokerUnavailable, DispatcherError, TopicsError
from service.ports import TopicPartition, Write
from service.settings import KafkaSettings

BATCH_BYTES_MAX = 512 * 1024
"""Of one produced batch: below every usual `max.message.bytes`."""
COMMIT_SECONDS = 15.0
"""A broker that restarts needs some of it to come back."""
TRANSACTION_SECONDS_MAX = 20
"""So long a killed replay's open transaction keeps readers waiting; above `COMMIT_SECONDS`."""
JOIN_SECONDS = 10.0
"""To be given the lock beyond the time after which a dead owner loses it."""


def group_of(kafka: KafkaSettings) -> str:
    """The group of all replays; also their transactional id."""
    return f"{kafka.group_id}.replay"


class ReplayLock:
    """Held while the context is open; `lost` is set if another process is given it."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._seconds = kafka.session_timeout_seconds + JOIN_SECONDS
        self.lost = asyncio.Event()
        self._owned = asyncio.Event()
        # The election is by membership on whatever topic stands for the checkpoints.
        topics = kafka.topics.model_copy(update={"checkpoints": kafka.topics.replays})
        group = {"group_id": group_of(kafka), "topics": topics}
        self._election = KafkaElection(
            client_options(kafka), kafka.model_copy(update=group), f"replay-{secrets.token_hex(4)}"
        )

    async def __aenter__(self) -> Self:
        """Wait until a dead owner is forgotten.

        Raises:
            DispatcherError: another replay lives.
            BrokerUnavailable: the broker did not answer.
        """
        try:
            await self._election.join(self._on_lanes)
            async with asyncio.timeout(self._seconds):
                await self._owned.wait()
        except TimeoutError as error:
            await self._election.leave()
            raise DispatcherError(
                "another replay is running: wait for its end, or stop it and execute again"
            ) from error
        except BaseException:
            await self._election.leave()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._election.leave()

    def _on_lanes(self, lanes: frozenset[int]) -> None:
        if lanes:
            self._owned.set()
        elif self._owned.is_set():
            self.lost.set()


class KafkaReplayer:
    """The transactional producer of all replays; starting one ends every other."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._producer = AIOKafkaProducer(
            **client_options(kafka),
            transactional_id=group_of(kafka),
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES_MAX,
            transaction_timeout_ms=TRANSACTION_SECONDS_MAX * 1000,
        )

    async def __aenter__(self) -> Self:
        """Fence every other replay, and abort what it left open.

        Raises:
            BrokerUnavailable: the broker did not answer.
        """
        try:
            async with answered("starting the producer"):
                await self._producer.start()
        except BaseException:
            await goodbye(self._producer.stop())
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await goodbye(self._producer.stop())

    async def commit(
        self, events: Mapping[TopicPartition, Sequence[Write]], replay_id: str, note: bytes
    ) -> None:
        """Write events, and the record that says how far the replay is: all or nothing.

        Raises:
            TopicsError: an event is too large for the topic; nothing was committed.
            DispatcherError: another process replays now; nothing was committed.
            BrokerUnavailable: it may be committed or not; the replays topic tells.
        """
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await self._commit(events, replay_id, note)
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise DispatcherError("another process replays now: this one stops") from error
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise TopicsError(
                "the broker refused an event as too large: raise max.message.bytes of topic "
                f"{self._kafka.topics.requests} to 1048588 or more"
            ) from error
        except (TimeoutError, KafkaError, OSError, AssertionError) as error:
            raise BrokerUnavailable(
                f"Kafka did not confirm a transaction: {describe(error)}"
            ) from error

    async def _commit(
        self, events: Mapping[TopicPartition, Sequence[Write]], replay_id: str, note: bytes
    ) -> None:
        producer, now_ms = self._producer, int(time.time() * 1000)
        note_tp: TopicPartition = (self._kafka.topics.replays, 0)
        note_write: Write = (replay_id.encode(), note, [])
        await producer.begin_transaction()
        sent: list[asyncio.Future[Any]] = []
        try:
            for (topic, partition), writes in {**events, note_tp: [note_write]}.items():
                for key, value, headers in writes:
                    sent.append(
                        await producer.send(
                            topic, value, key, partition, timestamp_ms=now_ms, headers=headers
                        )
                    )
        finally:
            # A commit succeeds although a send in it failed, unless every future is looked at.
            await asyncio.gather(*sent)
        await producer.commit_transaction()
