"""The pipeline's Kafka ports on the simulated Kafka: what a client does, with its retries.

Every request takes its time, may find nobody, or lose its answer; who asks then asks again until
its time is over, as aiokafka does. Knows nothing of what is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from service.core.calls import Record
from service.errors import BrokerUnavailable, CommitUnknown, LaneFenced, RecordsGone
from service.ports import Outgoing, Stored, Survey, TopicPartition
from service.settings import Settings
from tests.simulation.election import SimElection
from tests.simulation.kafka import RECORD_BYTES_MAX, Fenced, SimKafka
from tests.simulation.link import CALL_SECONDS, Link, give

METADATA_SECONDS = 30.0
"""How late a partition that was added may be noticed."""
FETCH_FAILED_SHARE = 0.3
"""Of fetches that cannot reach the broker; the others just find nothing, as in aiokafka."""
BUSY_SECONDS = 0.02
"""aiokafka's wait while an earlier transaction is still ending."""


class SimBroker:
    """`Broker` of one process."""

    def __init__(self, kafka: SimKafka, link: Link, settings: Settings, client_id: str) -> None:
        self._kafka = kafka
        self._link = link
        self._settings = settings
        self._client_id = client_id

    async def _ask(self, request: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await self._link.ask(request)
        except TimeoutError as error:
            raise BrokerUnavailable("Kafka did not answer") from error

    async def survey(self) -> Survey:
        """See `Broker.survey`."""
        return await self._ask(self._describe)  # type: ignore[no-any-return]

    def _describe(self) -> Survey:
        kafka, names = self._kafka, self._settings.kafka.topics
        topics = {topic for topic, _ in kafka.logs}
        known = [name for name in names.model_dump().values() if name in topics]
        return Survey(
            {name: kafka.partitions_of(name) for name in known},
            dict.fromkeys(known, RECORD_BYTES_MAX),
            {tp: at for tp, at in kafka.group_offsets.items() if tp[0] == names.requests},
        )

    async def last_checkpoint(self, lane: int) -> Stored | None:
        """See `Broker.last_checkpoint`."""
        log = self._kafka.logs[self._settings.kafka.topics.checkpoints, lane]
        record = await self._ask(log.last_committed)
        return None if record is None else Stored(record.value, record.timestamp)

    async def delete_records(self, partition: TopicPartition, before: int) -> None:
        """See `Broker.delete_records`."""
        await self._ask(lambda: self._kafka.delete_records(partition, before))

    async def owns(self, lane: int) -> bool:
        """See `Broker.owns`."""
        owner = await self._ask(lambda: self._kafka.group.owner_of(lane))
        return bool(owner == self._client_id)

    def writer(self, lane: int) -> SimWriter:
        """See `Broker.writer`."""
        kafka = self._settings.kafka
        producer = f"{kafka.group_id}.{kafka.topics.checkpoints}.{lane}"
        return SimWriter(self._kafka, self._link, self._settings, producer)

    def reader(self, *, sparse: bool = False) -> SimReader:  # noqa: ARG002 - costs nothing here
        """See `Broker.reader`."""
        return SimReader(self._kafka, self._link)

    def election(self) -> SimElection:
        """The lane election of this process."""
        seconds = self._settings.kafka.session_timeout_seconds
        return SimElection(self._kafka, self._link, self._client_id, seconds)


class SimWriter:
    """`Writer` with one transactional id."""

    def __init__(self, kafka: SimKafka, link: Link, settings: Settings, producer: str) -> None:
        self._kafka = kafka
        self._link = link
        self._id = producer
        self._checkpoints = settings.kafka.topics.checkpoints
        self._epoch: int | None = None
        self._turn = 0

    async def start(self) -> None:
        """See `Writer.start`."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                epoch = None
                while epoch is None:
                    epoch = await self._link.ask(lambda: self._kafka.init(self._id))
                    if epoch is None:
                        await asyncio.sleep(BUSY_SECONDS)
                self._epoch = epoch
        except TimeoutError as error:
            raise BrokerUnavailable("Kafka did not answer") from error

    async def commit(self, outgoing: Outgoing) -> int:
        """See `Writer.commit`."""
        epoch, self._epoch = self._epoch, None
        if epoch is None:
            raise CommitUnknown("the lane's producer is spent, or was not started")
        try:
            async with asyncio.timeout(CALL_SECONDS):
                stamp = await self._commit(epoch, outgoing)
        except TimeoutError as error:
            raise CommitUnknown("the transaction was not confirmed") from error
        except Fenced as error:
            raise LaneFenced("another replica has taken the lane over") from error
        self._epoch = epoch
        return stamp

    async def _commit(self, epoch: int, outgoing: Outgoing) -> int:
        kafka, link = self._kafka, self._link
        self._turn += 1
        turn = self._turn
        key = f"lane-{outgoing.lane}".encode()
        writes: dict[TopicPartition, Iterable[Any]] = {
            **outgoing.writes,
            (self._checkpoints, outgoing.lane): [(key, outgoing.checkpoint, [])],
        }
        lost = self._lost()
        if lost == "partly":
            some = dict(list(writes.items())[: link.rng.randrange(len(writes))])
            kafka.loop.after(link.delay(), self._quietly, kafka.produce, epoch, -turn, some)
            raise TimeoutError
        stamp = None
        while stamp is None:
            stamp = await link.ask(lambda: kafka.produce(self._id, epoch, turn, writes))
            if stamp is None:
                await asyncio.sleep(BUSY_SECONDS)
        if lost == "end":
            late = link.delay() + link.rng.choice((0.0, 0.0, 2.0, 10.0))
            kafka.loop.after(late, self._quietly, kafka.end, epoch, outgoing.offsets)
        if lost:
            raise TimeoutError
        await link.ask(lambda: kafka.end(self._id, epoch, outgoing.offsets))
        return int(stamp)

    def _lost(self) -> str:
        """Where the connection breaks in this commit, if it does."""
        rng, share = self._link.rng, self._link.weather.commit_lost_share
        if not share or rng.random() >= share:
            return ""
        return rng.choice(("partly", "before the end", "end", "end", "end"))

    def _quietly(self, request: Callable[..., Any], epoch: int, *args: Any) -> None:
        """A request that nobody waits for any more."""
        if self._link.open:
            try:
                request(self._id, epoch, *args)
            except Fenced:
                return

    async def stop(self) -> None:
        """See `Writer.stop`."""
        self._epoch = None


class SimReader:
    """`Reader` of one lane."""

    def __init__(self, kafka: SimKafka, link: Link) -> None:
        self._kafka = kafka
        self._link = link
        self._positions: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._counts: dict[str, tuple[float, int]] = {}

    async def start(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `Reader.start`."""
        await self._ask(lambda: None)
        await self.add(positions)

    async def _ask(self, request: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await self._link.ask(request)
        except TimeoutError as error:
            raise BrokerUnavailable("Kafka did not answer") from error

    async def add(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `Reader.add`."""
        self._positions.update(positions)

    async def fetch(
        self, partitions: Collection[TopicPartition], records_max: int, wait_seconds: float
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        """See `Reader.fetch`."""
        if not partitions:
            await asyncio.sleep(wait_seconds)
            return {}
        wanted = sorted(partitions)
        loop = self._kafka.loop
        deadline = loop.time() + wait_seconds
        while True:
            if self._has_news(wanted):
                await asyncio.sleep(self._link.delay())
                if found := self._read(wanted, records_max):
                    return found
            if loop.time() >= deadline:
                if not self._link.open and self._link.rng.random() < FETCH_FAILED_SHARE:
                    raise BrokerUnavailable("Kafka did not answer")
                if self._link.open:
                    self._note_ends(wanted)
                return {}
            news = loop.create_future()
            for tp in wanted:
                self._kafka.logs[tp].waiting[self] = news
            timer = loop.call_at(deadline, give, news, None)
            try:
                await news
            finally:
                timer.cancel()

    def _has_news(self, wanted: Sequence[TopicPartition]) -> bool:
        """Whether there is something to be read, or a position is outside its log."""
        logs, positions = self._kafka.logs, self._positions
        return self._link.open and any(
            not (log := logs[tp]).first <= positions[tp] <= log.end or log.has(positions[tp])
            for tp in wanted
        )

    def _read(
        self, wanted: Sequence[TopicPartition], records_max: int
    ) -> dict[TopicPartition, Sequence[Record]]:
        if not self._link.open:
            return {}
        if self._link.weather.short_reads:
            records_max = min(records_max, self._link.rng.randint(1, 5))
        found: dict[TopicPartition, Sequence[Record]] = {}
        for tp in wanted:
            log, position = self._kafka.logs[tp], self._positions[tp]
            if not log.first <= position <= log.end:
                if found:
                    break
                raise RecordsGone("a position is outside its log")
            records = log.read(position, records_max)
            if records:
                found[tp] = records
                records_max -= len(records)
                self._positions[tp] = records[-1].offset + 1
            if records_max <= 0:
                break
        self._note_ends(wanted)
        return found

    def _note_ends(self, wanted: Sequence[TopicPartition]) -> None:
        for tp in wanted:
            log, position = self._kafka.logs[tp], self._positions[tp]
            self._ends[tp] = log.stable if log.has(position) else min(position, log.stable)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """See `Reader.seek`."""
        self._positions[partition] = offset

    async def bounds(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, tuple[int, int]]:
        """See `Reader.bounds`."""
        logs = self._kafka.logs
        return dict(
            await self._ask(lambda: {tp: (logs[tp].first, logs[tp].stable) for tp in partitions})
        )

    def known_end(self, partition: TopicPartition) -> int | None:
        """See `Reader.known_end`."""
        return self._ends.get(partition)

    def partition_count(self, topic: str) -> int:
        """See `Reader.partition_count`."""
        now = self._kafka.loop.now
        seen_at, number = self._counts.get(topic, (-METADATA_SECONDS, 0))
        if self._link.open and now - seen_at >= METADATA_SECONDS:
            number = self._kafka.partitions_of(topic)
            self._counts[topic] = (now, number)
        return number

    async def stop(self) -> None:
        """See `Reader.stop`."""
