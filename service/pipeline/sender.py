"""Sends sealed batches: order, slots, holds, expiry, lease, limiter, and the flight itself.

Knows nothing of what an answer means (settling.py). One coroutine asks the limiter, for aiolimiter
serves its smallest waiter first: with a single waiter the order is the scheduler's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from aiolimiter import AsyncLimiter

from service.core.facts import LimiterWaited
from service.core.holds import Holds
from service.core.outcomes import Failure
from service.core.rate import Wait
from service.core.times import day_of
from service.core.verdicts import Answer, NotSent
from service.pipeline.batch import Batch
from service.pipeline.bell import Bell
from service.pipeline.flows import Flows
from service.pipeline.sealing import with_history
from service.pipeline.state import LaneState
from service.pipeline.turns import Turns
from service.ports import Clock, Provider

OPEN_BATCHES_MAX = 2000
"""So that a checkpoint never outgrows its record; beyond it there are only resends."""
FRESH_CANARY_SECONDS = 1.0
"""For a canary in no doubt to be sealed, if there is a call for it, when it is its turn."""
CLOCK_STEP_SECONDS = 0.01
"""A sleep may end early by the resolution of the loop's clock."""
AHEAD_AT_THE_LIMIT = 2
"""Batches sealed before their grant is certain: one waits while the next one's turn commits."""


class Sender:
    """Sends the batches of one lane."""

    def __init__(
        self,
        state: LaneState,
        flows: Flows,
        provider: Provider,
        clock: Clock,
        shed: Callable[[Batch], Batch | None],
        settle: Callable[[Batch, Answer, float], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self.bell = Bell()
        self.in_flight = 0
        self.circuit_until = 0.0
        """Loop time before which nothing is sent: the provider cannot be reached, or asked to."""
        self._state = state
        self._flows = flows
        self._provider = provider
        self._clock = clock
        self._shed = shed
        self._settle = settle
        self._spawn = spawn
        self._waiting: list[Batch] = []
        self._flights: set[asyncio.Task[None]] = set()
        self._flying_of: dict[str, int] = {}
        self._draining = False
        provider_settings = state.settings.provider
        self._concurrency = provider_settings.concurrency
        self._calls_max = state.settings.batching.calls_max
        guard = state.guard
        self._calls_bucket = AsyncLimiter(
            2 * self._calls_max, 120 * self._calls_max / guard.calls_max
        )
        self._requests_bucket = AsyncLimiter(2, 120 / guard.requests_max)

    async def run(self, turns: Turns, send_after: float) -> None:
        """Send until cancelled; nothing before `send_after` (CLOCK_BOOTTIME)."""
        # The bucket starts empty: the predecessor may have used what it held.
        await self._calls_bucket.acquire(2 * self._calls_max)
        await self._requests_bucket.acquire(2)
        wait = send_after - self._clock.boot()
        if wait > 0:
            # CLOCK_BOOTTIME is never slower than the loop's clock, so one sleep is enough.
            await asyncio.sleep(wait + CLOCK_STEP_SECONDS)
        while True:
            batch = self._next(turns)
            if batch is None:
                await self.bell.wait(self._next_at(turns))
            elif self._expire(batch):
                turns.bell.ring()
            else:
                await self._send(batch, turns)

    # What waits

    def release(self, batch: Batch) -> None:
        """A turn has made the batch durable: it may be sent from `batch.due` on."""
        self._waiting.append(batch)
        self.bell.ring()

    def may_seal(self, flow_id: str) -> bool:
        """Whether the flow's next batch may be sealed: its flow is not held, or it is the canary.

        A canary is made only where the hold has no open batch that could be it, or has only
        doubtful ones and it is the turn of another.
        """
        holds, account = self._state.holds, self._flows.account(flow_id)
        if not holds.holds(flow_id, account):
            return account in self._state.proven or self._may_try(account)
        if holds.probe_at(flow_id, account) > asyncio.get_running_loop().time():
            return False
        fresh_turn, account_held = holds.fresh_turn(flow_id, account), holds.holds("", account)
        return not any(
            (batch.flow_id == flow_id or (batch.account == account and account_held))
            and not (fresh_turn and batch.in_doubt)
            for batch in self._state.open.values()
        )

    def _may_try(self, account: str) -> bool:
        """Whether an unproven account may have another batch: one flies while one backs off."""
        tried = 0
        for batch in self._state.open.values():
            if batch.account == account:
                if not batch.sent:
                    return False
                tried += batch.tried
        return self._flying_of.get(account, 0) == 0 and tried <= 1

    def room_to_seal(self, now: float, sealing: Sequence[Batch]) -> bool:
        """Whether one more batch may be sealed beside `sealing` (design.md, A call's way)."""
        state = self._state
        if self._draining or now < self.circuit_until:
            return False
        if len(state.open) >= OPEN_BATCHES_MAX or state.checkpoint_full(0.6):
            return False
        unsent = [b for b in self._waiting if not b.sent and not self._held(b)]
        unsent += sealing
        if len(unsent) < AHEAD_AT_THE_LIMIT:
            return True
        if len(unsent) >= self._concurrency - self.in_flight:
            return False
        calls = sum(len(b.calls) for b in unsent) + self._calls_max
        return not isinstance(
            state.guard.ask(calls, now, len(unsent) + 1), Wait
        ) and self._calls_bucket.has_capacity(min(calls, 2 * self._calls_max))

    def _held(self, batch: Batch) -> bool:
        return self._state.holds.holds(batch.flow_id, batch.account)

    def _due(self, batch: Batch) -> float:
        """Loop time from which the batch may be sent."""
        holds: Holds = self._state.holds
        due = max(batch.due, self.circuit_until)
        if self._held(batch):
            due = max(due, holds.probe_at(batch.flow_id, batch.account))
            if batch.in_doubt and holds.fresh_turn(batch.flow_id, batch.account):
                due += FRESH_CANARY_SECONDS
        return due

    def _slot(self, batch: Batch) -> bool:
        if batch.account not in self._state.proven or self._held(batch):
            return self._flying_of.get(batch.account, 0) == 0
        return self.in_flight < self._concurrency

    def _next(self, turns: Turns) -> Batch | None:
        now = asyncio.get_running_loop().time()
        for batch in self._waiting:
            if (
                batch.durable_turn <= turns.committed
                and self._due(batch) <= now
                and self._slot(batch)
            ):
                return batch
        return None

    def _next_at(self, turns: Turns) -> float | None:
        now = asyncio.get_running_loop().time()
        dues = [
            self._due(b)
            for b in self._waiting
            if b.durable_turn <= turns.committed and self._slot(b)
        ]
        return max(0.0, min(dues) - now) if dues else None

    def _expire(self, batch: Batch) -> bool:
        """End a batch, or those of its calls, that must no longer be sent; True if it is gone."""
        state, wall = self._state, self._clock.wall()
        now_ms = int(wall * 1000)
        first_ms = batch.saved.first_possible_ms
        memory_ms = state.settings.provider.checksum_memory_seconds * 1000
        if batch.expired(wall, day_of(wall)):
            failure = Failure(
                "unconfirmed",
                "its time went by while an earlier send was in doubt; look it up in the "
                "provider's reports",
                now_ms,
            )
        elif batch.in_doubt and first_ms is not None and now_ms - first_ms > memory_ms:
            failure = Failure(
                "unconfirmed",
                "the provider may have forgotten the checksum of an earlier send that is in doubt; "
                "look it up in the provider's reports",
                now_ms,
            )
        else:
            return False
        self._waiting.remove(batch)
        if batch.in_doubt:
            state.failed(batch.flow_id, batch.calls, with_history(failure, batch))
            state.close_batch(batch)
        elif (rest := self._shed(batch)) is not None:
            self._waiting.append(rest)
        return True

    # The way to the wire

    async def _send(self, batch: Batch, turns: Turns) -> None:
        loop, guard, calls = asyncio.get_running_loop(), self._state.guard, len(batch.calls)
        started = loop.time()
        await turns.lease()
        await self._calls_bucket.acquire(min(calls, 2 * self._calls_max))
        await self._requests_bucket.acquire()
        while True:
            match guard.ask(calls, loop.time()):
                case Wait(seconds):
                    await self.bell.wait(seconds)
                case _ if turns.leased():
                    break
                case _:
                    await turns.lease()
        turns.bell.ring()
        if not self._may_go(batch, turns):
            return
        self._state.observer.tell(LimiterWaited(loop.time() - started))
        self._launch(batch, guard.grant(calls), turns)

    def _may_go(self, batch: Batch, turns: Turns) -> bool:
        """Whether what was true before the limiter's wait still is."""
        now = asyncio.get_running_loop().time()
        return (
            not self._draining
            and batch in self._waiting
            and batch.durable_turn <= turns.committed
            and self._due(batch) <= now
            and not self._expire(batch)
        )

    def _launch(self, batch: Batch, token: int, turns: Turns) -> None:
        self._waiting.remove(batch)
        batch.sent = batch.tried = True
        self.in_flight += 1
        self._flying_of[batch.account] = self._flying_of.get(batch.account, 0) + 1
        if self._held(batch):
            timeout = self._state.settings.provider.timeout_seconds
            until = asyncio.get_running_loop().time() + timeout
            self._state.holds.probing(batch.flow_id, batch.account, until)
        task = self._spawn(self._fly(batch, token, turns))
        self._flights.add(task)
        task.add_done_callback(self._flights.discard)

    async def _fly(self, batch: Batch, token: int, turns: Turns) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        answer: Answer = NotSent("cancelled")
        try:
            answer = await self._provider.post(batch.body, turns.leased)
        finally:
            self._state.guard.end(token, loop.time())
            self.in_flight -= 1
            self._flying_of[batch.account] -= 1
            self.bell.ring()
        self._settle(batch, answer, loop.time() - started)

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
        return not late

    def unseal(self) -> None:
        """What was never in a body before needs no trace: its calls will be batched afresh."""
        for batch in list(self._waiting):
            if not batch.sent and not batch.attempts_made:
                self._waiting.remove(batch)
                self._state.close_batch(batch)
