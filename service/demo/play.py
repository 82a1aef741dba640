"""Plays the demo: publishes, lets the provider fail for a while, waits for every outcome.

Knows nothing of how progress is shown, nor of how the dispatcher works.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer

from service.adapters.kafka.connection import answered, goodbye
from service.demo.events import BUSY_FLOW, Planned
from service.demo.evidence import Outcomes, TwinPages
from service.demo.oracle import ACCEPTED, Published
from service.demo.processes import Process
from service.twin.ledger import Summary

PUBLISH_SECONDS = 6.0
"""Over so long the events are published, so that the dispatcher is watched at work."""
TICK_SECONDS = 0.1
OUTAGE_AT_SHARE = 0.4
"""The outage begins when so much is accepted."""
OUTAGE_SECONDS = 4.0
OUTAGE: dict[str, Any] = {
    "outages": [{"answer": "503", "from-second": 0, "to-second": OUTAGE_SECONDS}],
    # The dangerous half of an outage: calls are placed, and the answer that says so is lost. Not
    # for flows with calls that are refused: provider-api.md leaves open what becomes of those.
    "rules": [{"fault": "cut-after", "flow": BUSY_FLOW, "times": 2}],
}
WAIT_SECONDS_MIN = 120.0
WAIT_LIMITS_MAX = 3.0
"""Outcomes are awaited for so many times what the limit alone makes them take, and the above."""
WINDOW_SECONDS = 60.0


@dataclass
class Progress:
    """How far it is, for whoever watches."""

    events: int
    published: int = 0
    accepted: int = 0
    """Calls that the provider has, by the twin's ledger."""
    results: int = 0
    dead_letters: int = 0
    requests: int = 0
    calls_in_window: int = 0
    """Calls that arrived at the provider in the last minute, about."""
    limit: int = 1
    outage: bool = False
    outage_over: bool = False
    _arrivals: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def outcomes(self) -> int:
        """Events that have one."""
        return self.results + self.dead_letters

    @property
    def state(self) -> str:
        """What is going on, in a word or two."""
        if self.outage:
            return "provider outage!"
        if self.published < self.events:
            return "publishing"
        return "working off the backlog" if self.outcomes < self.events else "all done"

    def saw(self, summary: Summary, now: float) -> None:
        """Take what the twin's ledger says at `now` (seconds, monotonic)."""
        self.accepted, self.requests = summary.calls_accepted, summary.requests
        self.limit = summary.calls_limit
        self._arrivals.append((now, summary.calls_received))
        while self._arrivals[0][0] < now - WINDOW_SECONDS:
            self._arrivals.popleft()
        self.calls_in_window = summary.calls_received - self._arrivals[0][1]

    def counts(self, outcomes: Outcomes) -> None:
        """Take what the topics hold by now."""
        self.results = sum(1 for outcome in outcomes.found if outcome.kind == ACCEPTED)
        self.dead_letters = len(outcomes.found) - self.results


class Play:
    """One run of the demo over parts that are ready."""

    def __init__(
        self,
        planned: Sequence[Planned],
        outcomes: Outcomes,
        twin: TwinPages,
        dispatcher: Process,
        show: Callable[[Progress], None],
    ) -> None:
        self.published: list[Published] = []
        self.progress = Progress(len(planned))
        self._planned = planned
        self._outcomes = outcomes
        self._twin = twin
        self._dispatcher = dispatcher
        self._show = show
        self._half_way = asyncio.Event()

    async def run(self, bootstrap: str, topic: str) -> str | None:
        """Publish all, and wait until each event has an outcome.

        Returns:
            None, or in one line why the wait was given up.

        Raises:
            BrokerUnavailable, TwinFailed: what the demo stands on has gone.
        """
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read())
            outage = tasks.create_task(self._outage())
            watching = tasks.create_task(self._watch())
            await self._publish(bootstrap, topic)
            trouble = await self._all_ended()
            for task in (reading, outage, watching):
                task.cancel()
        return trouble

    async def _publish(self, bootstrap: str, topic: str) -> None:
        """Send everything, at an even pace; returns once the broker has it."""
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap, enable_idempotence=True, linger_ms=5
        )
        async with answered("connecting to publish"):
            await producer.start()
        try:
            await self._send_all(producer, topic)
        finally:
            await goodbye(producer.stop())

    async def _send_all(self, producer: Any, topic: str) -> None:
        loop = asyncio.get_running_loop()
        began, count = loop.time(), len(self._planned)
        while (done := self.progress.published) < count:
            due = min(count, 1 + int(count * (loop.time() - began) / PUBLISH_SECONDS))
            chunk = self._planned[done:due]
            async with answered("publishing events"):
                sent = [await producer.send(topic, each.value, each.key) for each in chunk]
                at = time.time()
                places = await asyncio.gather(*sent)
            self.published += [
                each.published((place.topic, place.partition, place.offset), at)
                for each, place in zip(chunk, places, strict=True)
            ]
            self.progress.published = due
            await asyncio.sleep(TICK_SECONDS / 2)

    async def _read(self) -> None:
        while True:
            await self._outcomes.read_some()

    async def _watch(self) -> None:
        """Keep the progress true, and shown."""
        while True:
            self.progress.saw(await self._twin.summary(), asyncio.get_running_loop().time())
            self.progress.counts(self._outcomes)
            if self.progress.accepted >= OUTAGE_AT_SHARE * self.progress.events:
                self._half_way.set()
            self._show(self.progress)
            await asyncio.sleep(TICK_SECONDS)

    async def _outage(self) -> None:
        """Let the provider fail once, in the middle of the work."""
        await self._half_way.wait()
        await self._twin.program(OUTAGE)
        self.progress.outage = True
        await asyncio.sleep(OUTAGE_SECONDS)
        self.progress.outage = False
        self.progress.outage_over = True

    async def _all_ended(self) -> str | None:
        events, minute = self.progress.events, 60.0
        at_the_limit = minute * events / self.progress.limit
        seconds_max = WAIT_SECONDS_MIN + WAIT_LIMITS_MAX * at_the_limit
        try:
            async with asyncio.timeout(seconds_max):
                while not (self._every_event_ended() and self.progress.outage_over):
                    if self._dispatcher.exit_code is not None:
                        return f"the dispatcher ended: {self._dispatcher.last_words}"
                    await asyncio.sleep(TICK_SECONDS)
        except TimeoutError:
            return f"not every event had an outcome {seconds_max:.0f} s after publishing"
        return None

    def _every_event_ended(self) -> bool:
        if len(self._outcomes.found) < len(self.published):
            return False
        return {each.source for each in self.published} <= {
            each.source for each in self._outcomes.found
        }
