"""A replay's own clients: the lock that only one holds, and the transactions that send events.

Knows nothing of plans. Events and how far the replay has come are written in one transaction, so
that a replay that was killed goes on exactly where it ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka.partitioner import murmur2

from service.adapters.kafka.admin import admin_client, members
from service.adapters.kafka.connection import client_options
from service.adapters.kafka.election import KafkaElection
from service.adapters.kafka.scan import KafkaScan
from service.adapters.kafka.writer import KafkaWriter
from service.core.replay import ReplayState, encode, latest
from service.errors import BrokerUnavailable, CommitUnknown, DispatcherError, LaneFenced
from service.ports import Outgoing, TopicPartition, Write
from service.settings import Settings

PARTITION = 0
"""The replays topic has only this one."""
SETTLE_SECONDS = 5.0
"""For the group to notice that a member is gone, beyond its session timeout."""

Event = tuple[int, Write]
"""The partition of the event's first life, and its record: key, value, headers."""


async def read_states(scan: KafkaScan, topic: str, beyond: int = -1) -> Mapping[str, ReplayState]:
    """The last state of each replay, by its id; waits until offset `beyond` is in sight.

    Raises:
        TopicsError: the topic does not exist.
        BrokerUnavailable: the broker did not answer.
    """
    await scan.topics([topic])
    tp = (topic, PARTITION)
    start, end = (await scan.starts([tp]))[tp], (await scan.committed_ends([tp]))[tp]
    found: list[tuple[bytes | None, bytes | None]] = []
    async for _, records in scan.read("replays", {tp: (start, max(end, beyond + 1))}):
        found += ((record.key, record.value) for record in records)
    return latest(found)


async def is_busy(settings: Settings) -> bool:
    """Whether a replay is under way, or was within the session timeout.

    Raises:
        BrokerUnavailable: the broker did not answer.
    """
    kafka = settings.kafka
    async with admin_client(client_options(kafka)) as client:
        return any((await members(client, name_of(settings))).values())


def name_of(settings: Settings) -> str:
    """The group that is the lock, and the transactional id."""
    return f"{settings.kafka.group_id}.replay"


class KafkaReplay:
    """The clients of the one replay that may run."""

    def __init__(self, settings: Settings, client_id: str) -> None:
        kafka = settings.kafka
        options = client_options(kafka)
        self._names = kafka.topics
        name, topic = name_of(settings), self._names.replays
        self._election = KafkaElection(options, kafka, client_id, name, topic)
        self._writer = KafkaWriter(options, name, name, topic, PARTITION)
        self._wait_seconds = kafka.session_timeout_seconds + SETTLE_SECONDS
        self._mine = asyncio.Event()
        self._partitions = 0

    async def start(self, scan: KafkaScan) -> Mapping[str, ReplayState]:
        """Take the lock, fence whoever had it, and read how far each replay has come.

        Raises:
            DispatcherError: another replay is under way.
            BrokerUnavailable: the broker did not answer.
        """
        await self._election.join(self._own)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._mine.wait()
        except TimeoutError:
            raise DispatcherError(
                "another replay is under way, and only one may be at a time: wait for its end, or "
                "stop it; `dead-letters replay --status` shows it"
            ) from None
        self._partitions = (await scan.topics([self._names.requests]))[
            self._names.requests
        ].partitions
        await self._writer.start()
        return await read_states(scan, self._names.replays, self._writer.fence_offset)

    def _own(self, partitions: frozenset[int]) -> None:
        if PARTITION in partitions:
            self._mine.set()
        else:
            self._mine.clear()

    async def commit(self, events: Sequence[Event], state: ReplayState) -> None:
        """Write events and the state with them: all or nothing.

        Raises:
            DispatcherError: another replay has begun; nothing was committed.
            TopicsError: an event is too large for the topic.
            BrokerUnavailable: it may be committed or not; the next start tells.
        """
        if not self._mine.is_set():
            raise DispatcherError(
                "the lock was lost, another replay may have begun: this one stops"
            )
        writes: dict[TopicPartition, list[Write]] = {}
        for partition, write in events:
            at = (self._names.requests, self._partition(partition, write[0]))
            writes.setdefault(at, []).append(write)
        outgoing = Outgoing(writes, {}, PARTITION, encode(state), state.id.encode())
        try:
            await self._writer.commit(outgoing)
        except LaneFenced as error:
            raise DispatcherError("another replay has begun: this one stops") from error
        except CommitUnknown as error:
            raise BrokerUnavailable(str(error)) from error

    def _partition(self, first: int, key: bytes | None) -> int:
        """That of the first life; by the key if the topic has not so many any more."""
        if first < self._partitions:
            return first
        return int((murmur2(key or b"") & 0x7FFFFFFF) % self._partitions)

    async def stop(self) -> None:
        """Give up lock and producer; bounded in time."""
        await self._writer.stop()
        await self._election.leave()
