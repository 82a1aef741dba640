"""The load: small bursts of events without a pause, and the wait for their outcomes.

Knows nothing of faults. It reaches the broker directly, and sits out its absence.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError

from service.adapters.kafka.connection import goodbye
from service.demo.events import Planned
from service.demo.evidence import Outcomes
from service.demo.oracle import ACCEPTED, INVALID, Published, Source
from service.errors import BrokerUnavailable
from tests.support.kafka import read_all

FLOWS = tuple(f"Chaos{number:03d}" for number in range(1, 9))
BUSY_SHARE = 0.4
"""Of the first flow, so that its batches are full while others are small."""
MALFORMED_SHARE = 0.01
BURST_SECONDS = 0.2
"""The mean time between bursts."""
ACKNOWLEDGED_SECONDS_MAX = 60.0
"""For the broker to come back and take what it was sent meanwhile."""


class Load:
    """Publishes events that nobody has published before."""

    def __init__(self, bootstrap: str, topic: str, outcomes: Outcomes, rng: random.Random) -> None:
        self.published: list[Published] = []
        self._topic = topic
        self._outcomes = outcomes
        self._rng = rng
        self._count = 0
        self._sent: list[tuple[Planned, float, asyncio.Future[Any]]] = []
        self._ended: set[Source] = set()
        self._read = 0
        self._bootstrap = bootstrap
        self._producer = _producer(bootstrap)

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Disconnect; what is not acknowledged yet is given up."""
        await goodbye(self._producer.stop())

    async def publish(self, events_per_second: int, until: asyncio.Event) -> None:
        """Publish bursts until `until` is set; never cut short, or what was sent is not known."""
        while not until.is_set():
            await asyncio.sleep(self._rng.expovariate(1 / BURST_SECONDS))
            for _ in range(self._rng.randint(1, int(2 * events_per_second * BURST_SECONDS))):
                await self.publish_one()

    async def publish_one(self, flow_id: str | None = None) -> None:
        """Hand one event to the producer; of `flow_id` if one is given."""
        self._count += 1
        event = _event(self._count, flow_id, self._rng)
        with suppress(KafkaTimeoutError):
            # A full producer that a broker's end has left stuck takes no event any more.
            future = await self._producer.send(self._topic, event.value, event.key)
            self._sent.append((event, time.time(), future))

    async def acknowledged(self) -> None:
        """Wait until the broker has everything, and note where it stands."""
        sent, self._sent = self._sent, []
        in_doubt: dict[bytes, tuple[Planned, float]] = {}
        if sent:
            await asyncio.wait([each[2] for each in sent], timeout=ACKNOWLEDGED_SECONDS_MAX)
        for event, at, future in sent:
            if future.done() and not future.cancelled() and future.exception() is None:
                place = future.result()
                source = (place.topic, place.partition, place.offset)
                self.published.append(event.published(source, at))
            else:
                in_doubt[event.value] = (event, at)
        if in_doubt:
            await self._look_up(in_doubt)

    async def _look_up(self, in_doubt: dict[bytes, tuple[Planned, float]]) -> None:
        """What a stuck producer has written or not, the topic tells; another one goes on."""
        await self.stop()
        self._producer = _producer(self._bootstrap)
        await self._producer.start()
        known = {event.source for event in self.published}
        for record in await read_all(self._bootstrap, self._topic):
            source = (record.topic, record.partition, record.offset)
            if record.value in in_doubt and source not in known:
                event, at = in_doubt[record.value]
                self.published.append(event.published(source, at))

    async def read(self) -> None:
        """Read outcomes until cancelled, through the broker's absences."""
        while True:
            try:
                await self._outcomes.read_some()
            except BrokerUnavailable:
                await asyncio.sleep(1.0)

    def missing(self) -> list[Published]:
        """What was acknowledged and has no outcome yet."""
        found = self._outcomes.found
        self._ended.update(outcome.source for outcome in found[self._read :])
        self._read = len(found)
        return [event for event in self.published if event.source not in self._ended]


def _producer(bootstrap: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        enable_idempotence=True,
        linger_ms=5,
        request_timeout_ms=int(ACKNOWLEDGED_SECONDS_MAX * 1000),
    )


def _event(number: int, flow_id: str | None, rng: random.Random) -> Planned:
    """The event `number`; now and then a malformed one."""
    if flow_id is None:
        flow_id = FLOWS[0] if rng.random() < BUSY_SHARE else rng.choice(FLOWS[1:])
    identifier = f"order-{number:07d}"
    event = {
        "flow-id": flow_id,
        "client-identifier": identifier,
        "contact-numbers": [f"9{rng.randrange(10**9):09d}"],
        "keys": [{"name": "$flow.key.name", "value": f"Customer {number}"}],
    }
    expected = ACCEPTED
    if flow_id in FLOWS and rng.random() < MALFORMED_SHARE:
        event["contact-numbers"], expected = ["98XXXXXX21"], INVALID
    value = json.dumps(event, separators=(",", ":")).encode()
    key = f"customer-{rng.randrange(1000)}".encode()
    return Planned(key, value, flow_id, json.dumps(identifier), expected)
