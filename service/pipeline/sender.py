"""Sends sealed batches: their order, the lease, the limiter, and the flight itself.

Knows nothing of what an answer means (settling.py) or of who may go (permits.py). One coroutine
waits for the limiter, for aiolimiter serves its smallest waiter first: with a single waiter the
order is the scheduler's. A flight goes on with a batch that has to wait for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from service.core.facts import LimiterWaited
from service.core.verdicts import Answer, NotSent
from service.pipeline.batch import Batch
from service.pipeline.bell import Bell
from service.pipeline.landings import Landings, Settle
from service.pipeline.permits import NEVER, Permits
from service.pipeline.review import Review
from service.pipeline.state import LaneState
from service.pipeline.turns import Turns
from service.pipeline.window import Grant, Window
from service.ports import Clock, Provider

OPEN_BATCHES_MAX = 2000
"""So that a checkpoint never outgrows its record; beyond it there are only resends."""
CLOCK_STEP_SECONDS = 0.01
"""A sleep may end early by the resolution of the loop's clock."""
AHEAD_AT_THE_LIMIT = 2
"""Batches sealed before their grant is certain: one waits while the next one's turn commits."""
AHEAD_GENERATIONS = 10
"""So many times `concurrency` may be sealed beyond the free slots, at most."""
AHEAD_CALLS_MAX = 5_000
"""While so many calls are sealed and unsent, none are beyond the free slots: one turn has their
results."""


class Sender:
    """Sends the batches of one lane."""

    def __init__(
        self,
        state: LaneState,
        permits: Permits,
        window: Window,
        provider: Provider,
        clock: Clock,
        review: Review,
        settle: Settle,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        """Nothing is sent yet.

        Args:
            state: of the lane.
            permits: who may go; it knows what waits and what flies.
            window: the limit.
            provider: where to.
            clock: for the lease.
            review: takes out what must not go any more.
            settle: told how each attempt ended.
            spawn: starts a task that ends with the lane.
        """
        self.bell = Bell()
        self.circuit_until = 0.0
        """Loop time before which nothing is sent: the provider cannot be reached, or asked to."""
        self.circuit_reason = ""
        """Why, in one line for the operator."""
        self._state = state
        self._permits = permits
        self._window = window
        self._provider = provider
        self._clock = clock
        self._review = review
        self._landings = Landings(state, max(1, permits.concurrency // 2), settle)
        self._spawn = spawn
        self._time = asyncio.get_running_loop().time
        self._flights: set[asyncio.Task[None]] = set()
        self._draining = False
        self._asking = False
        """Whether a batch waits for the limiter: none may overtake it."""
        self._calls_max = state.settings.batching.calls_max
        self._landed = 0
        """Flights that ended since the last turn."""
        self._ahead = 0
        """Flights that will probably end while the next turn commits: their slots are free then."""

    async def run(self, turns: Turns, send_after: float) -> None:
        """Send until cancelled; nothing before `send_after` (CLOCK_BOOTTIME)."""
        await self._window.start()
        wait = send_after - self._clock.boot()
        if wait > 0:
            # CLOCK_BOOTTIME is never slower than the loop's clock, so one sleep is enough.
            await asyncio.sleep(wait + CLOCK_STEP_SECONDS)
        try:
            while True:
                if self._landings.due_in() == 0:
                    self._landings.settle()
                if self._review.waiting():
                    turns.bell.ring()
                batch = self._next(turns)
                if batch is None:
                    await self.bell.wait(self._wait_seconds(turns))
                else:
                    await self._send(batch, turns)
        finally:
            self._landings.settle()

    # What waits

    def release(self, batch: Batch) -> None:
        """A turn has made the batch durable: it may be sent from `batch.due` on."""
        self._permits.waiting.append(batch)
        self.bell.ring()

    def unqueue(self, batch: Batch) -> bool:
        """Take a batch out that is no more, or changes its form; False if it is under way."""
        if batch not in self._permits.waiting:
            return False
        self._permits.waiting.remove(batch)
        return True

    def rest(self, seconds: float, reason: str) -> None:
        """Send nothing at all for a while."""
        until = self._time() + seconds
        if until > self.circuit_until:
            self.circuit_until, self.circuit_reason = until, reason

    def pause(self, seconds: float, reason: str) -> None:
        """The provider asks the whole budget to rest: that of all lanes, if they share one."""
        self.rest(seconds, reason)
        self._window.rest(seconds)

    def answered(self) -> None:
        """The provider can be reached, and asks for no rest any more."""
        self.circuit_reason = ""

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self._permits.in_flight

    def turned(self) -> None:
        """A turn is committed. What landed meanwhile is the guess of what will during the next."""
        self._ahead = min(self._landed, AHEAD_GENERATIONS * self._permits.concurrency)
        self._landed = 0
        self.bell.ring()

    def has_plenty(self, now: float) -> bool:
        """Whether the limit has room for as many full batches as may be unsent at all."""
        batches = self._permits.concurrency * (1 + AHEAD_GENERATIONS)
        return self._window.has_room(batches * self._calls_max, batches, now)

    def room_to_seal(self, now: float, unsent: int, calls: int, *, plenty: bool = False) -> bool:
        """Whether one more batch may be sealed beside `unsent` others of so many calls.

        `plenty`: what `has_plenty` said just now, for the limit need not be asked again then.
        """
        state, slots = self._state, self._permits.slots_left()
        if self._draining or now < self.circuit_until:
            return False
        if len(state.open) >= OPEN_BATCHES_MAX or state.checkpoint_full(0.6):
            return False
        if unsent < AHEAD_AT_THE_LIMIT:
            return True
        if unsent >= slots + (self._ahead if calls < AHEAD_CALLS_MAX else 0):
            return False
        return plenty or self._window.has_room(calls + self._calls_max, unsent + 1, now)

    def supplied(self) -> bool:
        """Whether more waits for a slot than half of what a turn seals.

        The flights go on for a while then: a turn for each of their answers would cost more than
        the answers.
        """
        if self._draining or self._state.holds:
            # What waits may be waiting for a hold's end.
            return False
        return 2 * len(self._permits.waiting) > self._permits.slots_left() + self._ahead

    def _due(self, batch: Batch) -> float:
        return max(self._permits.due(batch), self.circuit_until)

    def _next(self, turns: Turns) -> Batch | None:
        if self._permits.slots_left() <= 0:
            return None
        now = self._time()
        for batch in self._permits.waiting:
            if (
                batch.durable_turn <= turns.committed
                and self._due(batch) <= now
                and self._permits.slot(batch)
            ):
                return batch
        return None

    def _next_in(self, turns: Turns) -> float | None:
        """Seconds until a batch that waits may go; None: not before the bell rings."""
        if self._permits.slots_left() <= 0:
            return None
        now = self._time()
        dues = [
            due
            for b in self._permits.waiting
            if b.durable_turn <= turns.committed
            and (due := self._due(b)) != NEVER
            and (due > now or self._permits.slot(b))
        ]
        probe_at = self._state.holds.next_probe_at()
        if probe_at is not None and probe_at > now and self._permits.waiting:
            # Then a canary may have to be cut off a batch that waits for the hold's end.
            dues.append(probe_at)
        return max(0.0, min(dues) - now) if dues else None

    def _wait_seconds(self, turns: Turns) -> float | None:
        """Seconds until there is something to do; None: not before the bell rings."""
        waits = [self._next_in(turns), self._landings.due_in()]
        return min((wait for wait in waits if wait is not None), default=None)

    # The way to the wire

    async def _send(self, batch: Batch, turns: Turns) -> None:
        self._landings.settle()
        started, self._asking = self._time(), True
        grant = await self._window.ask(len(batch.calls), turns)
        self._asking = False
        turns.bell.ring()
        if not self._may_go(batch, turns):
            self._window.give_back(grant)
            return
        self._state.observer.tell(LimiterWaited(self._time() - started))
        self._take_off(batch, turns)
        task = self._spawn(self._fly(batch, grant, turns))
        self._flights.add(task)
        task.add_done_callback(self._flights.discard)

    def _may_go(self, batch: Batch, turns: Turns) -> bool:
        """Whether what was true before the limiter's wait still is."""
        now = self._time()
        return (
            not self._draining
            and batch in self._permits.waiting
            and batch.durable_turn <= turns.committed
            and self._due(batch) <= now
            and self._permits.slot(batch)
            and not self._review.leaving(batch)
        )

    def _take_off(self, batch: Batch, turns: Turns) -> None:
        """Its POST begins now."""
        self._permits.took_off(batch)
        if not self.supplied():
            turns.needed.ring()
            turns.bell.ring()
        batch.sent = batch.tried = True
        timeout = self._state.settings.provider.timeout_seconds
        until = self._time() + timeout
        batch.canary = self._state.holds.probing(batch.flow_id, batch.account, until)

    async def _fly(self, batch: Batch, grant: Grant, turns: Turns) -> None:
        """Send a batch and, in the slot that it leaves, those that may go at once."""
        while True:
            await self._post(batch, grant, turns)
            follower = await self._follower(turns)
            if follower is None or self._permits.slots_left() > 0:
                self.bell.ring()
            if follower is None:
                return
            batch, grant = follower

    async def _post(self, batch: Batch, grant: Grant, turns: Turns) -> None:
        started = self._time()
        answer: Answer = NotSent("cancelled")
        try:
            answer = await self._provider.post(
                batch.body, lambda: turns.leased() and self._review.may_begin(batch)
            )
        finally:
            self._window.end(grant)
            self._permits.landed(batch)
            self._landed += 1
        landing = (batch, answer, self._time() - started, self._clock.wall())
        if self._landings.add(landing, may_wait=self.supplied() and not self._asking):
            self.bell.ring()

    async def _follower(self, turns: Turns) -> tuple[Batch, Grant] | None:
        """The next batch, taking off, if all that it needs is there; nothing is awaited for it.

        Whatever has to be looked at more closely is left to `run`, as is who waits for the limit.
        """
        state = self._state
        if self._draining or self._asking or state.holds or state.cancels:
            return None
        batch = self._next(turns)
        if batch is None or self._review.leaving(batch):
            return None
        grant = await self._window.grab(len(batch.calls), turns)
        if grant is None:
            return None
        assert batch in self._permits.waiting, "nothing else ran meanwhile"
        state.observer.tell(LimiterWaited(0.0))
        self._take_off(batch, turns)
        return batch, grant

    # The end

    async def drain(self, seconds: float) -> bool:
        """Send nothing more, await the flights; True if none had to be given up."""
        self._draining = True
        if self._flights:
            await asyncio.wait(self._flights, timeout=seconds)
        late = list(self._flights)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        self._landings.settle()
        return not late

    def unseal(self) -> None:
        """What was never in a body before needs no trace: its calls will be batched afresh."""
        waiting = self._permits.waiting
        for batch in list(waiting):
            if not batch.sent and not batch.attempts_made:
                waiting.remove(batch)
                self._state.close_batch(batch)
