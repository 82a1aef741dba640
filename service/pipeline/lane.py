"""One owned lane: takeover, then reading, turns and sending side by side, until stopped or fenced.

Knows nothing of elections: it is told to run because the lane was assigned.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.core.batching import Batcher
from service.core.checkpoint import Checkpoint
from service.core.facts import LaneChanged
from service.core.holds import Holds
from service.core.intake import Intake
from service.errors import DispatcherError, TopicsError
from service.pipeline.batch import Batch
from service.pipeline.flows import Flows
from service.pipeline.reading import Reading
from service.pipeline.sealing import Sealer
from service.pipeline.sender import Sender
from service.pipeline.settling import Settler
from service.pipeline.state import LaneState, Targets
from service.pipeline.takeover import Taken, count_what_was_sent, take_over
from service.pipeline.turns import TurnHooks, Turns
from service.ports import Broker, Clock, Observer, Provider, Reader, Survey
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class World:
    """All that a lane needs of the outside, and what all lanes of a process share."""

    settings: Settings
    broker: Broker
    provider: Provider
    clock: Clock
    observer: Observer
    rng: random.Random
    owner: str
    intake: Intake
    flows: Flows


class Lane:
    """One life of a lane in this process; not used again after `run` has ended."""

    def __init__(self, lane: int, world: World) -> None:
        self.lane = lane
        self.state: LaneState | None = None
        self.sender: Sender | None = None
        self._world = world
        self._turns: Turns | None = None
        self._stop = asyncio.Event()
        self._drain_seconds = 0.0
        self._quiet_at = 0.0
        """Loop time from which no POST of an earlier owner can be under way."""

    def stop(self, drain_seconds: float) -> None:
        """Drain and release the lane; `run` returns when that is done."""
        self._drain_seconds = drain_seconds
        self._stop.set()

    async def run(self) -> None:
        """Own the lane until it is stopped, cancelled or lost.

        Raises:
            LaneFenced: it is another's; come back only by a new assignment.
            BrokerUnavailable, CommitUnknown: the takeover failed; try again.
            TopicsError, CheckpointUnreadable: it must not run; the text names the way out.
        """
        world = self._world
        reader = world.broker.reader()
        self._tell("taking")
        try:
            taken = await take_over(
                self.lane,
                world.broker,
                reader,
                world.settings,
                world.flows,
                world.clock,
                self._make_state,
            )
            await self._own(taken, reader)
        except BaseExceptionGroup as group:
            raise first_error(group) from group
        finally:
            self.state = self.sender = None
            if self._turns is not None:
                await self._turns.close()
            await reader.stop()

    def _tell(self, state: str, recovered: int = 0, *, was_released: bool = False) -> None:
        self._world.observer.tell(
            LaneChanged(self.lane, state, recovered_batches=recovered, was_released=was_released)
        )

    def _make_state(self, survey: Survey, predecessor: Checkpoint | None) -> LaneState:
        settings, now = self._world.settings, asyncio.get_running_loop().time()
        names = settings.kafka.topics
        missing = [name for name in names.model_dump().values() if name not in survey.partitions]
        if missing:
            raise TopicsError(
                f"topics are missing: {', '.join(missing)}; run `call-dispatcher topics create`"
            )
        lanes = survey.partitions[names.checkpoints]
        targets = Targets(
            names.results,
            survey.partitions[names.results],
            names.dead_letters,
            survey.partitions[names.dead_letters],
            survey.record_bytes_max[names.dead_letters],
            survey.record_bytes_max[names.checkpoints],
            settings.kafka.group_id,
        )
        state = LaneState(
            self.lane,
            lanes,
            settings,
            targets,
            Batcher(self._world.flows.bounds),
            Holds(predecessor.holds if predecessor else (), now),
            self._world.clock,
            self._world.observer,
        )
        guard = state.guard
        if guard.calls_max < settings.batching.calls_max or guard.requests_max < 1:
            raise TopicsError(
                f"{lanes} lanes leave each a share of {guard.calls_max} calls and "
                f"{guard.requests_max} requests a minute, less than one full batch: use fewer "
                "lanes, smaller batches (batching.calls_max), or a higher limit"
            )
        return state

    async def _own(self, taken: Taken, reader: Reader) -> None:
        world, state, predecessor = self._world, taken.state, taken.predecessor
        async with asyncio.TaskGroup() as group:
            sealer = Sealer(state, world.flows, world.clock, world.rng)
            settler = Settler(state, world.flows, sealer, world.clock, world.rng)

            def spawn(flight: Any) -> asyncio.Task[None]:
                return group.create_task(flight)

            sender = self.sender = Sender(
                state, world.flows, world.provider, world.clock, sealer.shed, settler.settle, spawn
            )

            def recovered(batch: Batch) -> None:
                batch.due = self._quiet_at
                sender.release(batch)

            turns = self._turns = Turns(
                state,
                world.broker,
                taken.writer,
                world.owner,
                world.clock,
                (predecessor.owner, predecessor.turn) if predecessor else None,
                TurnHooks(
                    lambda: self._pick(state, sealer, sender),
                    lambda: self._next_pick_at(state, sender),
                    sender.release,
                    lambda: self._after_turn(sender, reading),
                ),
            )
            settler.connect(sender, turns)
            reading = Reading(
                state, reader, world.intake, sealer, changed=turns.bell.ring, recovered=recovered
            )
            send_after = await self._first_turn(taken, turns)
            self.state = state
            was_released = predecessor is not None and predecessor.released
            self._tell("owned", len(state.open), was_released=was_released)
            loops = [
                group.create_task(turns.run()),
                group.create_task(reading.run()),
                group.create_task(sender.run(turns, send_after)),
            ]
            await self._stop.wait()
            await self._drain(loops, sender, turns)

    async def _first_turn(self, taken: Taken, turns: Turns) -> float:
        """Step 3: make the takeover durable; returns when (CLOCK_BOOTTIME) a send may start."""
        predecessor = taken.predecessor
        stamp = await turns.commit()
        if predecessor is None or predecessor.released:
            send_after = taken.fenced_at
        else:
            send_after = taken.fenced_at + predecessor.lease_seconds
        quiet_seconds = self._quiet_seconds(taken, send_after)
        self._quiet_at = asyncio.get_running_loop().time() + quiet_seconds
        count_what_was_sent(taken, stamp, quiet_seconds)
        return send_after

    def _quiet_seconds(self, taken: Taken, send_after: float) -> float:
        """From now until no POST of an earlier owner can be under way."""
        predecessor = taken.predecessor
        if predecessor is None or predecessor.released:
            return 0.0
        timeout = max(predecessor.timeout_seconds, self._world.settings.provider.timeout_seconds)
        return max(0.0, send_after - self._world.clock.boot()) + timeout

    @staticmethod
    def _pick(state: LaneState, sealer: Sealer, sender: Sender) -> Sequence[Batch]:
        now, sealed = asyncio.get_running_loop().time(), list[Batch]()
        while sender.room_to_seal(now, sealed):
            draft = state.batcher.take(now, sender.may_seal)
            if draft is None:
                break
            batch = sealer.seal(draft)
            if batch is not None:
                sealed.append(batch)
        return sealed

    @staticmethod
    def _next_pick_at(state: LaneState, sender: Sender) -> float | None:
        now = asyncio.get_running_loop().time()
        if now < sender.circuit_until:
            return sender.circuit_until
        if not sender.room_to_seal(now, ()):
            return None
        ready_at, probe_at = state.batcher.next_ready_at(), state.holds.next_probe_at()
        # A canary that is due but has nothing to go with waits for the next event.
        times = [ready_at, probe_at if probe_at is not None and probe_at > now else None]
        return min((at for at in times if at is not None), default=None)

    @staticmethod
    def _after_turn(sender: Sender, reading: Reading) -> None:
        sender.bell.ring()
        reading.bell.ring()

    async def _drain(
        self, loops: Sequence[asyncio.Task[None]], sender: Sender, turns: Turns
    ) -> None:
        """Stop reading and sending, await answers, write what is known, release the lane."""
        turning, reading, sending = loops
        reading.cancel()
        sending.cancel()
        all_landed = await sender.drain(self._drain_seconds)
        turns.stop()
        await turning
        sender.unseal()
        quiet = asyncio.get_running_loop().time() >= self._quiet_at
        await turns.commit(released=all_landed and quiet)
        self._tell("released")


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that says what happened: one of ours if there is one, else the first."""
    leaves: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop()
        if isinstance(error, BaseExceptionGroup):
            pending += error.exceptions
        else:
            leaves.append(error)
    return next((leaf for leaf in leaves if isinstance(leaf, DispatcherError)), leaves[-1])
