"""A whole run of chaos: rounds of faults under load, and the oracle's word after each.

Knows nothing of the command line.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

from service.demo.oracle import Verification, verify
from service.demo.processes import ProcessFailed
from service.errors import DispatcherError
from tests.chaos.acting import act
from tests.chaos.arena import Arena
from tests.chaos.faults import SESSION_SECONDS, draw
from tests.chaos.load import Load

WARM_UP_SECONDS = 3.0
LOAD_SECONDS_MIN = 10.0
"""Of a round, so that a takeover meets events that come meanwhile."""
SETTLE_SECONDS_MAX = 150.0
"""From the last fault's end until each event has an outcome: a takeover, the provider's time
limit, and a window that is full of recovered batches."""
TICK_SECONDS = 0.2
MISSING_SHOWN_MAX = 10
MARKED_SECONDS_MAX = 60.0
MARKED_RATE = 40
QUICK = {"latency-ms-min": 10, "latency-ms-max": 80}
"""Answers within 100 ms, for which the time after SIGTERM is promised."""
LEASE_SECONDS = SESSION_SECONDS * 0.9 - 1.0
"""As design.md has it: session timeout less a heartbeat and a second."""
FRESH_AFTER_KILL_SECONDS_MAX = SESSION_SECONDS + LEASE_SECONDS + 5.0
FRESH_AFTER_TERM_SECONDS_MAX = 3.0


@dataclass
class Report:
    """What a run has found."""

    rounds: int = 0
    events: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    windows_above_limit: int = 0
    recovered_batches: int = 0
    takeovers: int = 0
    fresh_after_term_seconds: float | None = None
    """From SIGTERM of the owner to the first fresh batch at the provider; None: not measured."""
    fresh_after_kill_seconds: float | None = None
    """Likewise from kill -9, with this run's session timeout."""

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled or self.wrong or self.windows_above_limit)

    def as_json(self, *, ok: bool = True) -> str:
        """The line that machines read; `ok`: nothing else was wrong either."""
        return json.dumps({"ok": ok and self.clean, **asdict(self)})


class Chaos:
    """One run; `tell` takes a line at a time."""

    def __init__(self, arena: Arena, seed: int, tell: Callable[[str], None]) -> None:
        self.report = Report()
        self.trouble: list[str] = []
        """What else must not be, a line each."""
        self._arena = arena
        self._told: set[str] = set()
        self._seed = seed
        self._tell = tell
        self._rng = random.Random(seed)
        topic = arena.names.topics["requests"]
        self._load = Load(arena.kafka.bootstrap, topic, arena.outcomes, self._rng)

    async def run(self, rounds: int, *, measured: bool = True) -> None:
        """Play the rounds, and stop after the first that breaks a promise."""
        async with self.playing():
            if measured:
                await self._measure()
            for number in range(1, rounds + 1):
                plan = draw(self._seed, number, len(self._arena.replicas), self._arena.brokers)
                self._tell(f"round {number}: {plan}")
                if not await self.under_load(plan.events_per_second, act(self._arena, plan)):
                    break

    async def kept(self, playing: Awaitable[None]) -> None:
        """Await the whole run; what stops it is trouble, and trouble keeps the arena's files."""
        try:
            await playing
        except (DispatcherError, TimeoutError, ExceptionGroup) as error:
            self.trouble.append(f"the run could not go on: {error!r}")
        if self.trouble or not self.report.clean:
            self._arena.keep = True
            self._tell(f"the logs and the brokers' data are in {self._arena.directory}")

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        """Rounds may be played while it lasts; then all replicas end, and all is compared."""
        await self._load.start()
        reading = asyncio.create_task(self._load.read())
        try:
            yield
            await self._end()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await self._load.stop()

    async def under_load(self, events_per_second: int, doing: Awaitable[None]) -> bool:
        """One round: let this be done while events come, and compare; True if all is well."""
        began, before = time.monotonic(), self.report.events
        healed = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._load.publish(events_per_second, healed))
            await asyncio.gather(doing, asyncio.sleep(LOAD_SECONDS_MIN))
            healed.set()
        acting = time.monotonic() - began
        good = await self._settle()
        self.report.rounds += 1
        self._tell(
            f"round {self.report.rounds}: {self.report.events - before} events, "
            f"load {acting:.1f} s, all {time.monotonic() - began:.1f} s, "
            f"so far {self.report.as_json()}"
        )
        return good

    async def _settle(self) -> bool:
        """Wait for every outcome, and compare; True if all is well."""
        await self._load.acknowledged()
        missing = self._load.missing()
        until = time.monotonic() + SETTLE_SECONDS_MAX
        while missing and time.monotonic() < until:
            await asyncio.sleep(TICK_SECONDS)
            missing = self._load.missing()
        if missing:
            await self._tell_missing(until)
        return await self._judge() and not missing

    async def _tell_missing(self, until: float) -> None:
        missing = self._load.missing()
        names = ", ".join("-".join(map(str, each.source)) for each in missing[:MISSING_SHOWN_MAX])
        late = SETTLE_SECONDS_MAX + time.monotonic() - until
        self.trouble.append(f"{len(missing)} events without an outcome after {late:.0f} s: {names}")
        for replica in self._arena.replicas:
            self._tell(f"replica {replica.number}: {await replica.status()}")

    async def _judge(self) -> bool:
        arena, report = self._arena, self.report
        await arena.outcomes.read_to_end()
        placed, summary = await arena.twin.placed(), await arena.twin.summary()
        found = await asyncio.to_thread(
            verify, self._load.published, list(arena.outcomes.found), placed, []
        )
        owned = [each for replica in arena.replicas for each in replica.owned]
        report.events = found.events
        report.lost, report.doubled, report.wrong = found.lost, found.doubled, found.wrong
        report.windows_above_limit = summary.windows_above_limit
        report.recovered_batches = sum(each.recovered_batches for each in owned)
        # The lane's first owner took it over from nobody.
        report.takeovers = max(0, len(owned) - 1)
        for line in _offenders(found):
            if line not in self._told:
                self._told.add(line)
                self._tell(line)
        surprises = [
            line for replica in arena.replicas for line in (*replica.surprises, *replica.tracebacks)
        ]
        self.trouble += [line for line in surprises if line not in self.trouble]
        return report.clean and not self.trouble

    async def _end(self) -> None:
        """Let all replicas end, and compare once more: nothing may come of it."""
        await asyncio.gather(*(replica.retire() for replica in self._arena.replicas))
        await self._judge()
        seen = await self._arena.twin.summary()
        self._tell(
            f"fullest minute at the provider: {seen.calls_per_sliding_minute_max} calls of "
            f"{seen.calls_limit}; resends known by their checksum: {seen.repeats_answered}"
        )

    # How soon a fresh batch goes out

    async def _measure(self) -> None:
        await self._arena.twin.program({"switches": QUICK})
        self.report.fresh_after_term_seconds = await self._measured(
            "SIGTERM", "MarkTerm", FRESH_AFTER_TERM_SECONDS_MAX
        )
        self.report.fresh_after_kill_seconds = await self._measured(
            "kill -9", "MarkKill", FRESH_AFTER_KILL_SECONDS_MAX
        )
        await self._arena.twin.program({})

    async def _measured(self, what: str, mark: str, limit: float) -> float:
        seconds = round(await self._seconds_to_fresh(what, mark), 1)
        self._tell(
            f"from {what} of the owner to the first fresh batch at the provider: "
            f"{seconds} s (at most {limit:.1f} s are promised)"
        )
        return seconds

    async def _seconds_to_fresh(self, what: str, mark: str) -> float:
        """Under load; an event of the flow `mark` is published just after the end's begin."""
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._load.publish(MARKED_RATE, done))
            await asyncio.sleep(WARM_UP_SECONDS)
            owner, began = self._arena.owner, time.time()
            ending = owner.terminate(1.0) if what == "SIGTERM" else owner.kill(1.0)
            group.create_task(ending)
            await asyncio.sleep(0)
            await self._load.publish_one(mark)
            seconds = await self._arrival(mark) - began
            done.set()
        if not await self._settle():
            raise ProcessFailed("what was measured broke a promise")
        return seconds

    async def _arrival(self, flow_id: str) -> float:
        """When (seconds since the epoch) the flow's first request came to the provider."""
        async with asyncio.timeout(MARKED_SECONDS_MAX):
            while True:
                for request in await self._arena.twin.requests():
                    if request.flow_id == flow_id:
                        return request.at
                await asyncio.sleep(TICK_SECONDS)


async def play(
    rounds: int,
    seed: int,
    replicas: int,
    tell: Callable[[str], None],
    *,
    brokers: int = 1,
    measured: bool = True,
) -> Chaos:
    """One run from its begin to its end; leaves its directory if it found something.

    Raises:
        DispatcherError: what it stands on did not start, or went away.
    """
    async with Arena(replicas, brokers) as arena:
        chaos = Chaos(arena, seed, tell)
        await chaos.kept(chaos.run(rounds, measured=measured))
        return chaos


def _offenders(found: Verification) -> list[str]:
    return [
        f"{kind}: {line}"
        for kind, lines in (
            ("lost", found.lost_first),
            ("doubled", found.doubled_first),
            ("wrong", found.wrong_first),
        )
        for line in lines
    ]
