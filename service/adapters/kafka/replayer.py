"""What a replay needs of Kafka: to be the only one, and to commit events with its progress.

Knows nothing of dead letters. Membership of a group of its own is the lock, one partition of the
replays topic what is owned; the transactional id, the same for all replays, fences one that lost
the lock and does not know it yet.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from service.adapters.kafka.connection import client_options
from service.adapters.kafka.election import KafkaElection
from service.adapters.kafka.writer import KafkaWriter
from service.errors import (
    BrokerUnavailable,
    CommitUnknown,
    DispatcherError,
    LaneFenced,
    TopicsError,
)
from service.ports import Outgoing, TopicPartition, Write
from service.settings import KafkaSettings

PARTITION = 0
"""The replays topic has only this one."""
TRANSACTION_SECONDS_MAX = 20.0
"""So long a killed replay keeps readers of live traffic waiting: above the time of a commit."""
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
        self._election = KafkaElection(
            client_options(kafka),
            kafka,
            f"replay-{secrets.token_hex(4)}",
            group_of(kafka),
            kafka.topics.replays,
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
        self._requests = kafka.topics.requests
        name = group_of(kafka)
        self._writer = KafkaWriter(
            client_options(kafka),
            name,
            name,
            kafka.topics.replays,
            None,
            TRANSACTION_SECONDS_MAX,
        )

    async def __aenter__(self) -> Self:
        """Fence every other replay, and abort what it left open.

        Raises:
            BrokerUnavailable: the broker did not answer.
        """
        try:
            await self._writer.start()
        except BaseException:
            await self._writer.stop()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._writer.stop()

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
            await self._writer.commit(Outgoing(events, {}, PARTITION, note, replay_id.encode()))
        except LaneFenced as error:
            raise DispatcherError("another process replays now: this one stops") from error
        except TopicsError as error:
            raise TopicsError(
                "the broker refused an event as too large: raise max.message.bytes of topic "
                f"{self._requests} to 1048588 or more"
            ) from error
        except CommitUnknown as error:
            raise BrokerUnavailable(str(error)) from error
