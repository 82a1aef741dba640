"""Executes a plan: sends its events, each once whatever dies, as fast as it may and no faster.

Knows nothing of how a plan is chosen. Each transaction holds some events and the record that says
how far the plan is done by them, so the one is never true without the other.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from service.adapters.kafka.connection import client_options
from service.adapters.kafka.replayer import KafkaReplayer, ReplayLock
from service.adapters.kafka.scan import KafkaScan
from service.core.outcomes import rfc3339
from service.core.replay_choice import LeftOut, event_of
from service.core.replay_pace import chunk_events, spare_rate, too_many_fail
from service.core.replay_words import PlanHead, Replay, State, encode
from service.errors import ConfigurationError, DispatcherError
from service.letters import reading
from service.ports import TopicPartition, Write
from service.replay.plan_file import PlanFile
from service.replay.planned import Found, planned_letters
from service.replay.standing import noted
from service.replay.watching import Gauge, Outcomes
from service.settings import Settings

GAUGE_SECONDS = 2.0
"""Between two looks at live traffic."""
SETTLE_SECONDS = 5.0
"""At the end, for the last outcomes."""

Told = Callable[[Replay], None]


@dataclass(frozen=True, slots=True)
class How:
    """How somebody wants a plan executed."""

    run_by: str
    rate: float | None = None
    """Events a second; None: below what live traffic leaves of the limit."""
    abort_ratio: float = 0.5
    """Of outcomes that may be failures again."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set it to stop; the replay can go on later."""


async def execute(settings: Settings, path: Path, how: How, told: Told) -> Replay:
    """Execute a plan from where it stopped; a finished one is left alone.

    `told` gets the audit record after each step. Returns the last one: done, interrupted or
    aborted.

    Raises:
        ConfigurationError: the plan is not whole, or not of these topics.
        DispatcherError: another replay is running, or a dead letter is not the one of the plan.
        BrokerUnavailable: the broker did not answer; execute it again.
    """
    kafka = settings.kafka
    async with AsyncExitStack() as exits:
        plan = exits.enter_context(closing(PlanFile(path)))
        if plan.head.topic != kafka.topics.dead_letters:
            raise ConfigurationError(
                f"{path}: is of {plan.head.topic}, and kafka.topics.dead_letters is "
                f"{kafka.topics.dead_letters}"
            )
        scan = await exits.enter_async_context(_scan(settings))
        await scan.topics(list(kafka.topics.model_dump().values()))
        lock = await exits.enter_async_context(ReplayLock(kafka))
        replayer = await exits.enter_async_context(KafkaReplayer(kafka))
        # Nobody else can write by now: what is noted is the truth.
        known = await noted(scan, kafka)
        before = known.last.get(plan.head.id)
        if before is not None and before.plan_sha256 != plan.head.sha256:
            raise ConfigurationError(f"{path}: another plan was executed under its id")
        if before is not None and before.state is State.DONE:
            return before
        replayed = None
        if known.others_since(plan.head.id, plan.head.replays_end):
            replayed = await reading.replayed(scan, kafka.topics, plan.head.since_ms)
            exits.enter_context(closing(replayed))
        run = _Run(settings, how, _begin(plan.head, before, how), told, replayed)
        run.lost = lock.lost
        run.replayer = replayer
        return await run.run(plan, scan, exits)


def _scan(settings: Settings) -> KafkaScan:
    return KafkaScan(client_options(settings.kafka), lambda *_: None)


def _begin(head: PlanHead, before: Replay | None, how: How) -> Replay:
    now = _now()
    if before is not None:
        return msgspec.structs.replace(
            before, state=State.RUNNING, run_by=how.run_by, updated_at=now, note="resumed"
        )
    return Replay(
        id=head.id,
        state=State.RUNNING,
        by=head.by,
        run_by=how.run_by,
        made_at=head.made_at,
        started_at=now,
        updated_at=now,
        plan_sha256=head.sha256,
        filter=head.filter,
        options=head.options,
        planned=head.planned,
        by_reason=head.by_reason,
        done=0,
        sent=0,
        left_out={},
        accepted=0,
        failed=0,
    )


def _now() -> str:
    return rfc3339(int(time.time() * 1000))


class _Run:
    """One run over what is left of a plan."""

    lost: asyncio.Event
    replayer: KafkaReplayer

    def __init__(
        self,
        settings: Settings,
        how: How,
        replay: Replay,
        told: Told,
        replayed: reading.Replayed | None,
    ) -> None:
        self._settings = settings
        self._how = how
        self._replay = replay
        self._told = told
        self._replayed = replayed
        self._requests = settings.kafka.topics.requests
        self._partitions = 0
        self._outcomes = Outcomes(settings, replay.id)
        self._gauge: Gauge | None = None
        self._rate = how.rate or 0.0
        self._looked_at = 0.0
        self._due = 0.0

    async def run(self, plan: PlanFile, scan: KafkaScan, exits: AsyncExitStack) -> Replay:
        self._partitions = (await scan.topics([self._requests]))[self._requests].partitions
        began_ms = int(datetime.fromisoformat(self._replay.started_at).timestamp() * 1000)
        exits.push_async_callback(self._outcomes.stop)
        await self._outcomes.start(scan, began_ms)
        if self._how.rate is None:
            self._gauge = Gauge(self._settings, scan)
        letters = await exits.enter_async_context(_scan(self._settings))
        # Its id is noted before its first event is: the lanes believe no other.
        await self._commit({}, [], Counter())
        queue = list[Found]()
        async for found in planned_letters(letters, plan, self._replay.done):
            queue += found
            while queue:
                rate = await self._allowed()
                if (end := self._end()) is not None:
                    return await self._finish(*end)
                chunk = queue[: chunk_events(rate)]
                del queue[: len(chunk)]
                await self._send(chunk)
        return await self._settle()

    async def _allowed(self) -> float:
        """Wait until some more may be sent; returns at how many a second, or at once at an end."""
        loop = asyncio.get_running_loop()
        while self._end() is None:
            await self._outcomes.look()
            if self._gauge is not None and loop.time() - self._looked_at >= GAUGE_SECONDS:
                self._looked_at = loop.time()
                load = await self._gauge.look()
                self._rate = 0.0 if load is None else spare_rate(load)
            wait = self._due - loop.time() if self._rate > 0 else GAUGE_SECONDS / 4
            if wait <= 0:
                break
            await self._pause(min(wait, GAUGE_SECONDS))
        return self._rate

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._how.stop.wait()
        except TimeoutError:
            return

    def _end(self) -> tuple[State, str] | None:
        """Why to stop before the end."""
        if self.lost.is_set():
            raise DispatcherError("another process replays now: this one stops")
        if self._how.stop.is_set():
            return State.INTERRUPTED, "stopped on request"
        accepted, failed = self._outcomes.accepted, self._outcomes.failed
        if too_many_fail(accepted, failed, self._how.abort_ratio):
            return State.ABORTED, f"{failed} of {accepted + failed} failed again"
        return None

    async def _send(self, chunk: Sequence[Found]) -> None:
        events: dict[TopicPartition, list[Write]] = defaultdict(list)
        left_out = Counter[str](self._replay.left_out)
        for row, letter, record in chunk:
            if self._replayed is not None and self._replayed.since(letter):
                left_out[LeftOut.REPLAYED] += 1
                continue
            write: Write = event_of(letter, record, row.drops, self._replay.id)
            # As upstream placed it: a customer's events stay in one partition.
            events[self._requests, letter.source[1] % self._partitions].append(write)
        await self._commit(events, chunk, left_out)

    async def _commit(
        self,
        events: dict[TopicPartition, list[Write]],
        chunk: Sequence[Found],
        left_out: Counter[str],
    ) -> None:
        sent = sum(map(len, events.values()))
        self._due = max(self._due, asyncio.get_running_loop().time())
        if sent and self._rate:
            self._due += sent / self._rate
        await self._note(
            events,
            done=self._replay.done + len(chunk),
            sent=self._replay.sent + sent,
            left_out=dict(left_out or self._replay.left_out),
        )
        if self._gauge is not None:
            self._gauge.sent(sent, len(events))

    async def _note(self, events: dict[TopicPartition, list[Write]], **more: Any) -> None:
        replay = msgspec.structs.replace(
            self._replay,
            updated_at=_now(),
            accepted=self._outcomes.accepted,
            failed=self._outcomes.failed,
            **more,
        )
        await self.replayer.commit(events, replay.id, encode(replay))
        self._replay = replay
        self._told(replay)

    async def _settle(self) -> Replay:
        """All is sent: the last outcomes are of use to whoever looks on."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SETTLE_SECONDS
        while loop.time() < until and not self._how.stop.is_set():
            if self._outcomes.accepted + self._outcomes.failed >= self._replay.sent:
                break
            await self._outcomes.look(GAUGE_SECONDS / 4)
        return await self._finish(State.DONE, "")

    async def _finish(self, state: State, note: str) -> Replay:
        await self._note({}, state=state, note=note)
        return self._replay
