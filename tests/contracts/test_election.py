"""The lane election on a real broker."""

from __future__ import annotations

import asyncio
import time

from service.adapters.kafka.broker import KafkaBroker
from service.adapters.kafka.election import KafkaElection
from service.adapters.kafka.topics import ensure_topics
from tests.support.kafka import Names
from tests.support.settings import settings_for

ELECTION_SECONDS = 30.0
POLL_INTERVAL_MS_MAX = 3000
IDLE_SECONDS = 8.0
"""More than twice the interval: an owner that is not polled would have left by then."""


async def test_an_idle_owner_outlives_the_poll_interval(kafka: str, names: Names) -> None:
    """Kafka puts members out that do not poll: a night without calls would cost a lane's owner."""
    settings = settings_for(kafka, names)
    broker = KafkaBroker(settings, names("idle"))
    await ensure_topics(settings, broker.options, lanes=1, create=True)
    options = {**broker.options, "max_poll_interval_ms": POLL_INTERVAL_MS_MAX}
    election = KafkaElection(options, settings.kafka, names("idle"))
    told: asyncio.Queue[frozenset[int]] = asyncio.Queue()
    await election.join(told.put_nowait)
    try:
        async with asyncio.timeout(ELECTION_SECONDS):
            assert await told.get() == {0}
        until = time.monotonic() + IDLE_SECONDS
        while time.monotonic() < until:
            assert await broker.owns(0)
            await asyncio.sleep(0.5)
        assert told.empty(), "there was another rebalance"
    finally:
        await election.leave()
