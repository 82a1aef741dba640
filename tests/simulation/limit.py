"""A world of lanes that only send: the real way to a grant, against a provider that counts.

Kafka is left out, so that minutes of a busy limit take seconds. Lanes are busy or idle, their
owners are killed, replaced and go on as zombies for as long as their lease lasts; Redis fails as
shared.py says. Knows nothing of what a request holds.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from dataclasses import dataclass, field
from typing import Any

from service.core.batching import Batcher
from service.core.facts import Fact
from service.core.holds import Holds
from service.core.rate import WINDOW_SECONDS
from service.pipeline.flows import Flows
from service.pipeline.outbox import Targets
from service.pipeline.sharing import Sharing
from service.pipeline.state import LaneState
from service.pipeline.window import Grant
from service.settings import Settings
from service.twin.ledger import SlidingWindow
from tests.simulation.loop import NODE, Node, VirtualLoop
from tests.simulation.plan import SECURITY_IDS, URL
from tests.simulation.process import SimClock
from tests.simulation.shared import RedisFaults, SimRedis, SimWindow

LEASE_SECONDS = 4.0
IDLE_SECONDS_MAX = 90.0


@dataclass(slots=True)
class Course:
    """What one world is made of."""

    lanes: int
    calls_max: int
    limit: int
    timeout_seconds: float
    redis_down: str = "share"
    seconds: float = 600.0
    faults: bool = True
    answer_seconds_max: float | None = None
    """None: up to the timeout."""
    busy: frozenset[int] | None = None
    """The lanes that always want to send; None: all do by turns."""


def draw(seed: int) -> Course:
    """The course of a seed."""
    rng = random.Random(f"{seed}/limit")
    lanes, calls_max = rng.choice((1, 2, 2, 3, 4)), rng.choice((1, 5))
    return Course(
        lanes,
        calls_max,
        limit=10 * calls_max * rng.choice((lanes, 2 * lanes, 7)),
        timeout_seconds=rng.choice((1.0, 5.0, 20.0)),
        redis_down=rng.choice(("share", "share", "stop")),
    )


class Silent:
    """`Observer` that listens only."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def tell(self, fact: Fact) -> None:
        """See `Observer.tell`."""
        self.facts.append(fact)


class SimLease:
    """`Lease` that runs out some time after a successor began."""

    def __init__(self) -> None:
        self.ends = float("inf")
        self._never = asyncio.Event()

    def leased(self) -> bool:
        """See `Lease.leased`."""
        return asyncio.get_running_loop().time() < self.ends

    async def lease(self) -> None:
        """See `Lease.lease`."""
        if not self.leased():
            await self._never.wait()


@dataclass(slots=True)
class Owner:
    """One life of a lane."""

    lane: int
    node: Node
    lease: SimLease
    state: LaneState
    window: Sharing
    flying: dict[int, tuple[Grant, int]] = field(default_factory=dict)


class LimitWorld:
    """Everything of one seed."""

    def __init__(self, seed: int, course: Course | None = None) -> None:
        self.course = course or draw(seed)
        self.loop = VirtualLoop()  # type: ignore[abstract]  # the rest is IO
        self.violations: list[str] = []
        self.arrivals: list[tuple[float, int, int]] = []
        """(time, lane, calls)"""
        self.redis = SimRedis(self.loop, random.Random(f"{seed}/redis"), lambda: self.loop.now)
        self._rng = random.Random(f"{seed}/world")
        self._seed = seed
        self._settings = self._configured()

        self._calls, self._requests = SlidingWindow(), SlidingWindow()
        self._owners: dict[int, Owner] = {}
        self._nodes: list[Node] = []
        self._lives: list[asyncio.Task[None]] = []

    def _configured(self) -> Settings:
        course = self.course
        provider: dict[str, Any] = {
            "url": URL,
            "security_id": SECURITY_IDS[0],
            "timeout_seconds": course.timeout_seconds,
            "calls_per_minute": course.limit,
            "limit_scope": "redis",
            "redis_url": "redis://127.0.0.1:9",
            "redis_down": course.redis_down,
        }
        batching = {"calls_max": course.calls_max}
        return Settings.model_validate({"provider": provider, "batching": batching})

    def run(self) -> None:
        """The whole course."""
        self.loop.run(self._main())
        self.loop.reap(self._nodes)
        self.loop.close()
        self.violations += self.loop.failures

    async def _main(self) -> None:
        for lane in range(self.course.lanes):
            self.loop.after(self._rng.random(), self._begin, lane)
        if self.course.faults:
            faults = RedisFaults(self.redis, self.course.seconds, lambda _who, _what: None)
            faults.schedule(
                lambda: [owner.node.name for owner in self._owners.values()],
                random.Random(f"{self._seed}/faults"),
            )
            for _ in range(self._rng.randint(0, 3)):
                self.loop.after(self._rng.random() * self.course.seconds, self._replace)
        await asyncio.sleep(self.course.seconds)

    def _begin(self, lane: int) -> None:
        """A lane's next owner; the one before has its lease, and what flies of it still counts."""
        before = self._owners.get(lane)
        node = Node(f"lane{lane}.{len(self._nodes)}")
        self._nodes.append(node)
        context = contextvars.Context()
        context.run(NODE.set, node)
        life = self._live(lane, node, before)
        self._lives.append(self.loop.create_task(life, context=context))

    async def _live(self, lane: int, node: Node, before: Owner | None) -> None:
        state = self._state(lane)
        clock = SimClock(lambda: self.loop.now, lambda: self.loop.now)
        lease = SimLease()

        async def owns() -> bool:
            return self._owners[lane].lease is lease

        window = Sharing(state, SimWindow(self.redis), clock, owns, LEASE_SECONDS)
        owner = self._owners[lane] = Owner(lane, node, lease, state, window)
        renewing = self.loop.create_task(window.run(lease))
        if before is not None:
            before.lease.ends = self.loop.time() + LEASE_SECONDS
            await asyncio.sleep(LEASE_SECONDS)
            self._inherit(owner, before)
        await window.start()
        rng = random.Random(f"{self._seed}/{node.name}")
        try:
            await self._send(owner, rng)
        finally:
            renewing.cancel()

    def _state(self, lane: int) -> LaneState:
        observer = Silent()
        return LaneState(
            lane,
            self.course.lanes,
            self._settings,
            Targets("results", 1, "dead", 1, 10**6, 10**6, "group"),
            Batcher(Flows(self._settings).bounds),
            Holds((), 0.0),
            SimClock(lambda: self.loop.now, lambda: self.loop.now),
            observer,
        )

    def _inherit(self, owner: Owner, before: Owner) -> None:
        """What the checkpoint would tell: the tally, and batches that may be under way."""
        now = self.loop.time()
        for seconds, calls, requests in before.state.guard.tally(now):
            owner.state.guard.count_until(calls, requests, now + seconds)
        for _, calls in before.flying.values():
            until = now + self.course.timeout_seconds + WINDOW_SECONDS
            owner.state.guard.count_until(calls, 1, until)

    async def _send(self, owner: Owner, rng: random.Random) -> None:
        always = self.course.busy is None or owner.lane in self.course.busy
        while True:
            if not always or (self.course.busy is None and rng.random() < 0.02):
                await asyncio.sleep(rng.random() * IDLE_SECONDS_MAX)
                if not always:
                    continue
            calls = (
                self.course.calls_max if self.course.busy else rng.randint(1, self.course.calls_max)
            )
            grant = await owner.window.ask(calls, owner.lease)
            if rng.random() < 0.02 and self.course.busy is None:
                owner.window.give_back(grant)
                continue
            self._fly(owner, grant, calls, rng)

    def _fly(self, owner: Owner, grant: Grant, calls: int, rng: random.Random) -> None:
        most = self.course.answer_seconds_max or self.course.timeout_seconds
        answered = rng.random() * most
        owner.flying[grant.token] = (grant, calls)
        self.loop.after(rng.random() * answered, self._arrive, owner.lane, calls)
        self.loop.call_later(answered, self._end, owner, grant)

    def _end(self, owner: Owner, grant: Grant) -> None:
        del owner.flying[grant.token]
        owner.window.end(grant)

    def _arrive(self, lane: int, calls: int) -> None:
        now = self.loop.now
        self.arrivals.append((now, lane, calls))
        in_window, requests = self._calls.add(now, calls), self._requests.add(now, 1)
        if in_window > self.course.limit or requests > self.course.limit:
            self.violations.append(f"{now:.3f}: {in_window} calls, {requests} requests in a minute")

    def set_limit(self, calls_per_minute: int) -> None:
        """An operator's command reaches all lanes."""
        for owner in self._owners.values():
            owner.state.set_limit(calls_per_minute)
            owner.window.shape()

    def _replace(self) -> None:
        """A lane is given to another process; the old one hears of it late, or is killed."""
        lane = self._rng.randrange(self.course.lanes)
        owner = self._owners.get(lane)
        if owner is None or owner.lease.ends != float("inf"):
            return
        if self._rng.random() < 0.5:
            owner.node.dead = True
        self._begin(lane)
