"""One run at the limit: plain, a kill, a handover, failures, slow answers, a stalled link.

Knows nothing of figures: it notes when what happened, and the twin's log says what arrived.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bench.load import Loader, flow_ids
from service.adapters.kafka.admin import NewTopicPlan, admin_client, create_topics
from service.core.shared import REGISTERED_SECONDS, stay_seconds
from service.demo.evidence import TwinPages
from service.demo.stage import Dispatcher, Stage
from service.twin.ledger import RequestSeen, Summary
from tests.chaos.proxy import Link
from tests.support.dispatcher import the_lane
from tests.support.redis import RedisServer, redis_server

LIMIT = 30_000
FLOWS = 12
PARTITIONS = 8
STRETCH_SECONDS = 30.0
QUIET_SECONDS = 60.0
"""After a kill, until its requests cannot arrive any more: before, nobody can hand over at once."""
STALL_SECONDS = 10.0
TIMEOUT_SECONDS = 30.0
SESSION_SECONDS = 10.0
STANDSTILL_SECONDS_MAX = 240.0
"""For sending to go on: a takeover, or a new window in Redis, which is full at first."""
LANES_THAT_LOSE_REDIS = 2
"""A run with so many goes on with what befalls Redis: ten minutes more."""
CUT_SECONDS = 150.0
"""Longer than a lane is silent before it goes on alone."""
POLL_SECONDS = 0.5
QUICK = {"latency-ms-min": 10, "latency-ms-max": 90}
SLOW = {"latency-ms-min": 1, "latency-ms-max": 5000}
FAILING = [
    {"fault": "http-503-after", "share": 0.1},
    {"fault": "http-502-before", "share": 0.1},
    {"fault": "code-205-inside", "share": 0.05, "attempt": 1},
]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    scope: str
    lanes: int
    minutes: float
    """Of the plain stretch that is measured."""
    flows: int = FLOWS
    settle_minutes: float = 1.0
    """After the start, left out: the window fills for the first time, and over many flows batches
    are fuller once each flow had its turn."""
    plain: bool = False
    """Nothing goes wrong, and the run ends after the plain stretch."""


@dataclass(slots=True)
class Course:
    """What happened, by the wall clock, and what the twin saw of it."""

    plain_from: float = 0.0
    plain_to: float = 0.0
    killed_at: float = 0.0
    stopped_at: float = 0.0
    failing_from: float = 0.0
    requests: list[RequestSeen] = field(default_factory=list)
    summary: Summary | None = None
    logs: list[str] = field(default_factory=list)
    """The text of each process's log."""


class Run:
    """One scope and number of lanes."""

    def __init__(self, plan: Plan, bootstrap: str, tell: Callable[[str], None]) -> None:
        self.course = Course()
        self._plan = plan
        self._scope = plan.scope
        self._lanes = plan.lanes
        self._settle_seconds = plan.settle_minutes * 60
        self._plain_seconds = plan.minutes * 60
        self._bootstrap = bootstrap
        self._tell = tell
        self._link = Link()
        self._redis: RedisServer | None = None
        self._to_redis: list[Link] = []
        """Each process's way to Redis."""
        self._running: list[Dispatcher] = []
        self._started: list[Dispatcher] = []

    async def run(self) -> Course:
        """Play it."""
        async with AsyncExitStack() as exits:
            stage = await exits.enter_async_context(Stage("limit"))
            stage.bootstrap = self._bootstrap
            if self._scope == "redis":
                self._redis = await exits.enter_async_context(redis_server())
            url = await stage.start_twin("--limit", str(LIMIT), "--latency-ms", "10-90")
            twin = await exits.enter_async_context(TwinPages(url))
            await self._link.start()
            exits.push_async_callback(self._link.stop)
            parts = urlsplit(url)
            self._link.upstream_port = parts.port or 0
            await self._load(stage)
            through = parts._replace(netloc=f"127.0.0.1:{self._link.port}").geturl()
            for _ in range(max(2, self._lanes)):
                await self._start(stage, through)
            await self._play(stage, twin, through)
            self.course.requests = await twin.requests()
            self.course.summary = await twin.summary()
            for dispatcher in self._running:
                await dispatcher.stop()
            await asyncio.gather(*(link.stop() for link in self._to_redis))
            self.course.logs = [each.process.log_file.read_text() for each in self._started]
        return self.course

    async def _configured(self) -> dict[str, dict[str, Any]]:
        provider: dict[str, Any] = {
            "calls_per_minute": LIMIT,
            "timeout_seconds": TIMEOUT_SECONDS,
            "limit_scope": self._scope,
        }
        if self._redis is not None:
            link = Link(self._redis.port)
            await link.start()
            self._to_redis.append(link)
            provider["redis_url"] = f"redis://127.0.0.1:{link.port}/0"
        return {
            "kafka": {"session_timeout_seconds": SESSION_SECONDS},
            "provider": provider,
            "retry": {"attempts_max": 50, "backoff_seconds": 0.2, "backoff_max_seconds": 2.0},
            "log": {"level": "debug"},
        }

    async def _load(self, stage: Stage) -> None:
        """Lanes, and more events than the limit lets through meanwhile."""
        topics = stage.names.topics
        seconds = self._settle_seconds + self._plain_seconds + QUIET_SECONDS + 6 * STRETCH_SECONDS
        if self._breaks_redis:
            seconds += 2 * CUT_SECONDS + 4 * STRETCH_SECONDS
        events = int(LIMIT / 60 * (seconds + 60.0))
        plans = [NewTopicPlan(topics["requests"], PARTITIONS)]
        settings = {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"}
        plans.append(NewTopicPlan(topics["checkpoints"], self._lanes, settings))
        async with admin_client({"bootstrap_servers": stage.bootstrap}) as admin:
            await create_topics(admin, plans)
        async with Loader(stage.bootstrap, topics["requests"], PARTITIONS) as loader:
            await loader.write(range(events), flow_ids(self._plan.flows))
            await loader.commit()
        self._tell(f"{events:,} events wait")

    async def _start(self, stage: Stage, url: str) -> None:
        name = f"dispatcher-{len(self._started)}"
        dispatcher = await stage.start_dispatcher(url, await self._configured(), name=name)
        self._running.append(dispatcher)
        self._started.append(dispatcher)

    async def _play(self, stage: Stage, twin: TwinPages, url: str) -> None:
        course = self.course
        await self._sends(twin)
        settle, plain = self._settle_seconds, self._plain_seconds
        self._tell(f"plain: {settle:.0f} s to settle, {plain:.0f} s measured")
        await asyncio.sleep(settle)
        course.plain_from = time.time()
        await asyncio.sleep(self._plain_seconds)
        course.plain_to = time.time()
        if not self._plan.plain:
            await self._break(stage, twin, url)

    async def _break(self, stage: Stage, twin: TwinPages, url: str) -> None:
        course = self.course
        owner = await self._owner()
        self._tell(f"kill -9 of {owner.process.name}")
        course.killed_at = time.time()
        await self._kill(owner)
        await self._sends(twin)
        await self._start(stage, url)
        await asyncio.sleep(QUIET_SECONDS)
        owner = await self._owner()
        self._tell(f"SIGTERM to {owner.process.name}")
        course.stopped_at = time.time()
        self._running.remove(owner)
        await owner.stop()
        await self._sends(twin)
        await self._start(stage, url)
        await asyncio.sleep(STRETCH_SECONDS / 2)
        self._tell("failing answers")
        course.failing_from = time.time()
        await twin.program({"rules": FAILING, "switches": QUICK})
        await asyncio.sleep(STRETCH_SECONDS)
        self._tell("answers after 1 ms to 5 s")
        await twin.program({"rules": [], "switches": SLOW})
        await asyncio.sleep(STRETCH_SECONDS)
        self._tell(f"a link that stalls for {STALL_SECONDS:.0f} s")
        await twin.program({"rules": [], "switches": QUICK})
        self._link.stall("both", late=True)
        await asyncio.sleep(STALL_SECONDS)
        self._link.release()
        await asyncio.sleep(STRETCH_SECONDS)
        if self._breaks_redis:
            await self._break_redis(twin)

    @property
    def _breaks_redis(self) -> bool:
        return self._redis is not None and self._lanes == LANES_THAT_LOSE_REDIS

    async def _break_redis(self, twin: TwinPages) -> None:
        assert self._redis is not None
        owners = [self._started.index(dispatcher) for dispatcher in self._running]
        for what, links in (("one lane", owners[:1]), ("all lanes", owners)):
            self._tell(f"{what} cut off from Redis for {CUT_SECONDS:.0f} s")
            for number in links:
                self._to_redis[number].stall("both", late=False)
            await asyncio.sleep(CUT_SECONDS)
            for number in links:
                self._to_redis[number].release()
            await asyncio.sleep(STRETCH_SECONDS)
        self._tell("FLUSHALL")
        await self._redis.flush()
        await asyncio.sleep(1.0)
        await self._sends(twin)
        await asyncio.sleep(STRETCH_SECONDS)
        self._tell("kill -9 of Redis, back after 5 s")
        await self._redis.kill()
        await asyncio.sleep(5.0)
        await self._redis.start()
        await self._sends(twin)
        await asyncio.sleep(STRETCH_SECONDS)

    async def _owner(self) -> Dispatcher:
        """Who has a lane, the longest-running first."""
        for dispatcher in self._running:
            if await the_lane(dispatcher):
                return dispatcher
        raise AssertionError("nobody owns a lane")

    async def _kill(self, dispatcher: Dispatcher) -> None:
        self._running.remove(dispatcher)
        os.kill(dispatcher.process.pid, signal.SIGKILL)
        while dispatcher.process.exit_code is None:  # noqa: ASYNC110 - another process ends
            await asyncio.sleep(0.05)

    async def _sends(self, twin: TwinPages) -> None:
        """Wait until a request arrives that was sent from now on."""
        before = (await twin.summary()).requests
        async with asyncio.timeout(STANDSTILL_SECONDS_MAX + _closed_seconds()):
            while (await twin.summary()).requests <= before:  # noqa: ASYNC110 - in another process
                await asyncio.sleep(POLL_SECONDS)


def _closed_seconds() -> float:
    return REGISTERED_SECONDS + stay_seconds(TIMEOUT_SECONDS)
