"""Live traffic beside a replay: publishes steadily, and takes the time to each committed result.

Knows nothing of replays.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from datetime import datetime
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.support.past import FLOW

TICK_SECONDS = 0.05
POLL_MS = 50
FLOWS = (FLOW, "Live0001", "Live0002")
"""The flow that is replayed too, and others."""


class Live:
    """Publishes while it is open."""

    def __init__(self, bootstrap: str, requests: str, results: str, per_second: float) -> None:
        self.published = 0
        self._requests = requests
        self._per_second = per_second
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
        self._consumer = AIOKafkaConsumer(
            results,
            bootstrap_servers=bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        self._seen: list[tuple[float, float]] = []
        """When it was published, and how long it took to be read."""
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._producer.start()
        await self._consumer.start()
        self._tasks = [asyncio.create_task(self._publish()), asyncio.create_task(self._read())]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._consumer.stop()
        await self._producer.stop()

    async def end(self) -> None:
        """Publish no more, and wait for the last result."""
        self._tasks[0].cancel()
        async with asyncio.timeout(120):
            while len(self._seen) < self.published:  # noqa: ASYNC110 - another task counts
                await asyncio.sleep(TICK_SECONDS)

    def p99(self, since: float, until: float) -> float:
        """Of events that were published in this time."""
        took = [seconds for at, seconds in self._seen if since <= at < until]
        return statistics.quantiles(took, n=100)[98]

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        while True:
            while self.published < (loop.time() - started) * self._per_second:
                number = self.published
                event = {
                    "flow-id": FLOWS[number % len(FLOWS)],
                    "client-identifier": f"live-{number}",
                    "contact-numbers": [f"97{number:08d}"],
                }
                await self._producer.send(self._requests, json.dumps(event).encode())
                self.published += 1
            await asyncio.sleep(TICK_SECONDS)

    async def _read(self) -> None:
        while True:
            for records in (await self._consumer.getmany(timeout_ms=POLL_MS)).values():
                now = time.time()
                for record in records:
                    result = json.loads(record.value)
                    if result["client-identifier"].startswith("live-"):
                        at = datetime.fromisoformat(result["source"]["timestamp"]).timestamp()
                        self._seen.append((at, now - at))
