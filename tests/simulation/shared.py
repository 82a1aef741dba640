"""The window that lanes share, in memory: a naive model of the script, and a Redis that fails.

Knows nothing of lanes beyond what they say. tests/contracts holds it and the real script to the
same laws, and to the same answers.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from service.core.rate import MARGIN_SECONDS, STEPS_PER_SECOND, WINDOW_SECONDS
from service.core.shared import (
    CALL_SECONDS_MAX,
    REGISTERED_SECONDS,
    WANT_SECONDS,
    Heard,
    Join,
    Place,
    Said,
)
from service.errors import WindowUnavailable
from tests.simulation.loop import NODE, VirtualLoop

STEP_MS = 1000 // STEPS_PER_SECOND
STALL_SECONDS_MAX = 40.0


@dataclass(slots=True)
class _Data:
    """What a loss takes."""

    born: int
    open: int
    rows: list[tuple[int, int]] = field(default_factory=list)
    """(step at which it leaves, calls) of each attempt"""
    until: dict[int, int] = field(default_factory=dict)
    """Registrations."""
    wanted: dict[int, tuple[int, int]] = field(default_factory=dict)
    """(until, calls)"""
    rest: int = 0
    pace: dict[str, int] = field(default_factory=lambda: {"calls": 0, "requests": 0})


class SharedModel:
    """What the script does, without its sums."""

    def __init__(
        self,
        window_seconds: float = WINDOW_SECONDS,
        registered_seconds: float = REGISTERED_SECONDS,
    ) -> None:
        self._window_ms = round((window_seconds + MARGIN_SECONDS) * 1000)
        self._registered_ms = round(registered_seconds * 1000)
        self._data: _Data | None = None

    def flush(self) -> None:
        """FLUSHALL, or a server that comes back empty or with an old copy."""
        self._data = None

    def exchange(self, said: Said, now: int) -> Heard:
        """See `SharedWindow.exchange`; `now` is the server's time in ms."""
        stay = round(said.stay_seconds * 1000)
        data = self._data
        if data is None:
            data = self._data = _Data(now, now + self._registered_ms + stay)
        data.rows = [row for row in data.rows if row[0] * STEP_MS > now]
        self._take_ends(said, data, now)
        registered = self._join(said, data, now)
        if said.rest_seconds:
            data.rest = max(data.rest, now + round(said.rest_seconds * 1000))
        all_registered = all(data.until.get(lane, 0) > now for lane in range(said.lanes))
        step, wait = 0, 0
        if now < data.open:
            wait = data.open - now
        elif said.calls and now < data.rest:
            wait = data.rest - now
        elif said.calls:
            step, wait = self._ask(said, data, now, stay, all_registered=all_registered)
        return Heard(
            now=now,
            registered=registered,
            all_registered=all_registered,
            closed=now < data.open,
            calls=sum(calls for _, calls in data.rows),
            requests=len(data.rows),
            place=Place(data.born, step, said.calls) if step else None,
            wait_seconds=wait / 1000,
        )

    def _take_ends(self, said: Said, data: _Data, now: int) -> None:
        for ended in said.ended:
            place = ended.place
            if place.born != data.born:
                continue
            if place.step * STEP_MS > now:
                data.rows.remove((place.step, place.calls))
            if ended.age_seconds is None:
                self._pace(said, data, 0, -place.calls, -1)
            else:
                leaves = now - int(ended.age_seconds * 1000) + self._window_ms
                step = math.ceil(leaves / STEP_MS)
                if step * STEP_MS > now:
                    data.rows.append((step, place.calls))

    def _join(self, said: Said, data: _Data, now: int) -> bool:
        known = data.until.get(said.lane)
        may = said.join is Join.YES or (
            said.join is Join.IF_KNOWN
            and known is not None
            and now <= known + round(said.known_seconds * 1000)
        )
        if now > said.join_until or not may:
            return False
        data.until[said.lane] = now + self._registered_ms
        return True

    def _ask(
        self, said: Said, data: _Data, now: int, stay: int, *, all_registered: bool
    ) -> tuple[int, int]:
        beyond = (
            said.own_calls + said.calls > said.calls_max // said.lanes
            or said.own_requests + 1 > said.requests_max // said.lanes
        )
        wanted = [
            calls
            for lane, (until, calls) in data.wanted.items()
            if beyond and lane != said.lane and until > now
        ]
        more = (said.calls + sum(wanted), 1 + len(wanted))
        if beyond and not all_registered and said.own_requests:
            return 0, 1000
        early = self._ahead(said, data, now, wanted)
        if not early and (not data.rows or self._fits(said, data.rows, *more)):
            step = math.ceil((now + stay) / STEP_MS)
            data.rows.append((step, said.calls))
            data.wanted.pop(said.lane, None)
            self._pace(said, data, now, said.calls, 1)
            wait = self._wait(said, data, now, *more)
            return step, max(wait, self._ahead(said, data, now, wanted))
        if not beyond:
            data.wanted[said.lane] = (now + round(WANT_SECONDS * 1000), said.calls)
        return 0, max(1, early, self._wait(said, data, now, *more))

    def _pace(self, said: Said, data: _Data, since: int, calls: int, requests: int) -> None:
        most = self._window_ms
        takes = max(-most, min(most, calls * (most / said.calls_max)))
        data.pace["calls"] = round(max(data.pace["calls"], since) + takes)
        share = requests * (most / said.requests_max)
        data.pace["requests"] = round(max(data.pace["requests"], since) + share)

    def _ahead(self, said: Said, data: _Data, now: int, wanted: list[int]) -> int:
        call_ms, request_ms = self._window_ms / said.calls_max, self._window_ms / said.requests_max
        calls = data.pace["calls"] - now + (sum(wanted) - said.burst_calls) * call_ms
        requests = data.pace["requests"] - now + (len(wanted) - 1) * request_ms
        return max(0, math.ceil(max(calls, requests)))

    @staticmethod
    def _fits(said: Said, rows: list[tuple[int, int]], calls: int, requests: int) -> bool:
        used = sum(each for _, each in rows)
        return used + calls <= said.calls_max and len(rows) + requests <= said.requests_max

    def _wait(self, said: Said, data: _Data, now: int, calls: int, requests: int) -> int:
        rows = sorted(data.rows)
        at = now
        while rows and not self._fits(said, rows, calls, requests):
            step = rows[0][0]
            at = step * STEP_MS
            rows = [row for row in rows if row[0] != step]
        return max(0, at - now)


class SimRedis:
    """A server with a network around it."""

    def __init__(self, loop: VirtualLoop, rng: random.Random, wall: Callable[[], float]) -> None:
        self.model = SharedModel()
        self.loop = loop
        self.rng = rng
        self.up = True
        self.stalled_until = 0.0
        self.cut: set[str] = set()
        """Nodes that cannot reach it."""
        self._wall = wall

    def arrive(self, said: Said, answer: asyncio.Future[Heard]) -> None:
        """A command has come; a server that hangs works it off when it goes on."""
        if not self.up:
            return
        if self.loop.now < self.stalled_until:
            self.loop.after(self.stalled_until - self.loop.now, self.arrive, said, answer)
            return
        heard = self.model.exchange(said, int(self._wall() * 1000))
        self.loop.after(self.rng.uniform(0.0002, 0.002), _give, answer, heard)


def _give(answer: asyncio.Future[Heard], heard: Heard) -> None:
    if not answer.done():
        answer.set_result(heard)


class SimWindow:
    """`SharedWindow` of one process."""

    def __init__(self, redis: SimRedis) -> None:
        self._redis = redis

    async def exchange(self, said: Said) -> Heard:
        """See `SharedWindow.exchange`."""
        redis, node = self._redis, NODE.get()
        assert node is not None
        answer: asyncio.Future[Heard] = redis.loop.create_future()
        if node.name in redis.cut or not redis.up:
            await asyncio.sleep(redis.rng.choice((0.001, CALL_SECONDS_MAX)))
            raise WindowUnavailable("Redis cannot be reached")
        redis.loop.after(redis.rng.uniform(0.0002, 0.002), redis.arrive, said, answer)
        try:
            async with asyncio.timeout(CALL_SECONDS_MAX):
                heard = await answer
        except TimeoutError as error:
            raise WindowUnavailable("Redis does not answer") from error
        if node.name in redis.cut:
            raise WindowUnavailable("the answer was lost")
        return heard


class RedisFaults:
    """What befalls the shared window of one world, at times drawn from its seed."""

    def __init__(self, redis: SimRedis, seconds: float, note: Callable[[str, str], None]) -> None:
        self._redis = redis
        self._seconds = seconds
        self._note = note

    def schedule(self, nodes: Callable[[], list[str]], rng: random.Random) -> None:
        """Put them into the world's time; `nodes` are the names of the processes that live."""
        acts = [self._flush, self._stall, self._outage, lambda each: self._cut(nodes, each)]
        for act in acts:
            for _ in range(rng.randint(0, 2)):
                chance = random.Random(rng.getrandbits(64))
                self._redis.loop.after(rng.random() * self._seconds, act, chance)

    def heal(self) -> None:
        """From now on it is well."""
        self._redis.up = True
        self._redis.cut.clear()
        self._redis.stalled_until = min(self._redis.stalled_until, self._redis.loop.now)

    def _flush(self, _: random.Random) -> None:
        self._note("redis", "loses its data")
        self._redis.model.flush()

    def _stall(self, rng: random.Random) -> None:
        seconds = rng.random() * STALL_SECONDS_MAX
        self._note("redis", f"hangs for {seconds:.3f} s")
        self._redis.stalled_until = self._redis.loop.now + seconds

    def _outage(self, rng: random.Random) -> None:
        seconds = rng.choice((1.0, 20.0, 150.0)) * rng.random()
        self._note("redis", f"is down for {seconds:.3f} s")
        self._redis.up = False
        if rng.random() < 0.5:
            self._redis.model.flush()
        self._redis.loop.after(seconds, lambda: setattr(self._redis, "up", True))

    def _cut(self, nodes: Callable[[], list[str]], rng: random.Random) -> None:
        name, seconds = rng.choice(nodes()), rng.choice((5.0, 60.0, 200.0)) * rng.random()
        self._note("redis", f"{name} is cut off for {seconds:.3f} s")
        self._redis.cut.add(name)
        self._redis.loop.after(seconds, self._redis.cut.discard, name)
