"""Where the port laws are tried: the simulator's broker, and a real one.

Knows nothing of the laws.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from service.adapters.kafka.broker import KafkaBroker
from service.adapters.kafka.topics import PARTITIONS_DEFAULT, ensure_topics
from service.ports import Broker, Election
from service.settings import Settings
from tests.simulation.clients import SimBroker
from tests.simulation.kafka import MARKER_SECONDS_MAX, SimKafka
from tests.simulation.link import Link
from tests.simulation.log import Fate, Transaction
from tests.simulation.loop import VirtualLoop
from tests.support.kafka import Names, produce, producer, read_all
from tests.support.settings import settings_for

LANES = 2


class ElectingBroker(Broker, Protocol):
    """What a process is given: the port, and its part in the election."""

    def election(self) -> Election:
        """The process's lane election."""
        ...


class Bench(Protocol):
    """A broker to try a law on, and upstream's side of it."""

    settings: Settings

    def process(self, name: str) -> ElectingBroker:
        """The ports of one process."""
        ...

    async def publish(self, values: Sequence[bytes]) -> None:
        """Upstream writes to partition 0 of the requests topic, outside of transactions."""
        ...

    def transaction(self, values: Sequence[bytes], *, commit: bool) -> Any:
        """Upstream's transaction of these values, open inside the context."""
        ...

    async def results(self) -> list[bytes | None]:
        """What read_committed shows of the results topic."""
        ...


class MemoryBench:
    """The simulator's broker."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.settings = settings_for("127.0.0.1:9", Names())
        names = self.settings.kafka.topics
        partitions = dict.fromkeys(names.model_dump().values(), 1)
        partitions |= {names.requests: PARTITIONS_DEFAULT, names.checkpoints: LANES}
        self._kafka = SimKafka(loop, random.Random(1), partitions, lambda: loop.now + 1e9)
        self._kafka.group.partitions = LANES

    def process(self, name: str) -> ElectingBroker:
        """See `Bench.process`."""
        link = Link(self._kafka, random.Random(name))
        return SimBroker(self._kafka, link, self.settings, name)

    async def publish(self, values: Sequence[bytes]) -> None:
        """See `Bench.publish`."""
        for value in values:
            self._kafka.publish((self.settings.kafka.topics.requests, 0), (None, value, ()))

    @contextlib.asynccontextmanager
    async def transaction(self, values: Sequence[bytes], *, commit: bool) -> AsyncIterator[None]:
        """See `Bench.transaction`."""
        transaction = Transaction("upstream", 0)
        for value in values:
            tp = (self.settings.kafka.topics.requests, 0)
            self._kafka.publish(tp, (None, value, ()), transaction)
        yield
        self._kafka.decide(transaction, Fate.COMMITTED if commit else Fate.ABORTED)
        await asyncio.sleep(MARKER_SECONDS_MAX)

    async def results(self) -> list[bytes | None]:
        """See `Bench.results`."""
        await asyncio.sleep(1.0)
        log = self._kafka.logs[self.settings.kafka.topics.results, 0]
        return [record.value for record in log.read(0, 10**6)]


class KafkaBench:
    """A real broker."""

    def __init__(self, bootstrap: str, names: Names) -> None:
        self.settings = settings_for(bootstrap, names)
        self._bootstrap = bootstrap
        self._names = names

    async def make(self) -> KafkaBench:
        """Create the topics."""
        broker = KafkaBroker(self.settings, self._names("maker"))
        await ensure_topics(self.settings, broker.options, lanes=LANES, create=True)
        return self

    def process(self, name: str) -> ElectingBroker:
        """See `Bench.process`."""
        return KafkaBroker(self.settings, self._names(name))

    async def publish(self, values: Sequence[bytes]) -> None:
        """See `Bench.publish`."""
        await produce(self._bootstrap, self.settings.kafka.topics.requests, values, partition=0)

    @contextlib.asynccontextmanager
    async def transaction(self, values: Sequence[bytes], *, commit: bool) -> AsyncIterator[None]:
        """See `Bench.transaction`."""
        topic = self.settings.kafka.topics.requests
        async with producer(self._bootstrap, transactional_id=self._names("upstream")) as client:
            await client.begin_transaction()
            for value in values:
                await client.send_and_wait(topic, value, partition=0)
            yield
            await (client.commit_transaction() if commit else client.abort_transaction())

    async def results(self) -> list[bytes | None]:
        """See `Bench.results`."""
        return [
            r.value for r in await read_all(self._bootstrap, self.settings.kafka.topics.results)
        ]
