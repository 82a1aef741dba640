"""One owned lane: takeover, then reading, turns and sending side by side, until stopped or fenced.

Knows nothing of elections: it is told to run because the lane was assigned.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from service.core.batching import Batcher
from service.core.checkpoint import Checkpoint
from service.core.facts import LaneChanged
from service.core.holds import Holds
from service.core.intake import Intake
from service.errors import DispatcherError, TopicsError
from service.pipeline.arrivals import Arrivals
from service.pipeline.batch import Batch
from service.pipeline.control import Control, Controlled
from service.pipeline.flows import Flows
from service.pipeline.gate import Gate
from service.pipeline.parking import Parking
from service.pipeline.permits import Permits
from service.pipeline.reading import Reading
from service.pipeline.review import Review
from service.pipeline.sealing import Sealer
from service.pipeline.sender import Sender
from service.pipeline.settling import Settler
from service.pipeline.sharing import Sharing
from service.pipeline.state import LaneState, Targets
from service.pipeline.takeover import Taken, count_what_was_sent, take_over
from service.pipeline.trust import Trust
from service.pipeline.turns import TurnHooks, Turns, lease_seconds
from service.pipeline.window import Window
from service.ports import Broker, Clock, Observer, Provider, Reader, SharedWindow, Survey
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
    window: SharedWindow | None = None
    """With `limit_scope: redis`."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The loops of an owned lane."""

    turns: Turns
    reading: Reading
    parking: Parking
    control: Control
    sender: Sender
    window: Window


class Lane:
    """One life of a lane in this process; not used again after `run` has ended."""

    def __init__(self, lane: int, world: World) -> None:
        self.lane = lane
        self.state: LaneState | None = None
        self.sender: Sender | None = None
        self.window: Window | None = None
        self._world = world
        self._turns: Turns | None = None
        self._readers: list[Reader] = []
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
        reader = self._reader()
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
            self.state = self.sender = self.window = None
            if self._turns is not None:
                await self._turns.close()
            await asyncio.gather(*(each.stop() for each in self._readers))

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
        async with asyncio.TaskGroup() as group:
            parts = self._build(taken, reader, group)
            send_after = await self._first_turn(taken, parts.turns)
            await parts.control.catch_up()
            state, predecessor = taken.state, taken.predecessor
            self.state, self.sender, self.window = state, parts.sender, parts.window
            was_released = predecessor is not None and predecessor.released
            self._tell("owned", len(state.open), was_released=was_released)
            turning = group.create_task(parts.turns.run())
            others = [
                group.create_task(parts.reading.run()),
                group.create_task(parts.parking.run()),
                group.create_task(parts.control.run()),
                group.create_task(parts.window.run(parts.turns)),
                group.create_task(parts.sender.run(parts.turns, send_after)),
            ]
            await self._stop.wait()
            await self._drain(turning, others, parts)

    def _build(self, taken: Taken, reader: Reader, group: asyncio.TaskGroup) -> Parts:
        """The lane's loops, joined to each other."""
        world, state, predecessor = self._world, taken.state, taken.predecessor
        gate = Gate(state, world.flows, world.clock)
        sealer = Sealer(state, world.flows, world.clock, world.rng, gate)
        permits = Permits(state, world.flows, gate)
        window = self._make_window(state, predecessor)

        def held(flow_id: str) -> None:
            gate.again(flow_id)
            changed()

        def changed() -> None:
            turns.bell.ring()
            sender.bell.ring()

        def released(_: str | None) -> None:
            parking.wake()
            changed()

        def commanded() -> None:
            parking.wake()
            settler.look()

        def recovered(batch: Batch) -> None:
            batch.due = self._quiet_at
            sender.release(batch)

        def spawn(flight: Any) -> asyncio.Task[None]:
            return group.create_task(flight)

        def after_turn() -> None:
            for loop in (sender, reading, parking):
                loop.bell.ring()

        def release(batch: Batch) -> None:
            sender.release(batch)

        trust = Trust(state, held, released)
        settler = Settler(state, world.flows, sealer, trust, world.clock, world.rng)
        review = Review(state, world.flows, permits, sealer, gate, world.clock, release)
        sender = Sender(
            state, permits, window, world.provider, world.clock, review, settler.settle, spawn
        )
        turns = self._turns = Turns(
            state,
            world.broker,
            taken.writer,
            world.owner,
            world.clock,
            (predecessor.owner, predecessor.turn) if predecessor else None,
            TurnHooks(
                lambda: self._pick(state, sealer, sender, permits),
                lambda: self._next_pick_at(state, sender),
                release,
                after_turn,
            ),
        )
        settler.connect(sender, turns)
        arrivals = Arrivals(state, world.intake, sealer, gate, recovered)
        reading = Reading(state, reader, arrivals, turns.bell.ring)
        parking = Parking(
            state,
            world.broker,
            self._reader(),
            arrivals,
            gate,
            changed=turns.bell.ring,
            committed=lambda: turns.committed,
        )
        hooks = Controlled(commanded, window.shape, lambda: turns.committed)
        control = Control(state, self._reader(), gate, trust, hooks)
        return Parts(turns, reading, parking, control, sender, window)

    def _make_window(self, state: LaneState, predecessor: Checkpoint | None) -> Window:
        world = self._world
        if world.window is None:
            return Window(state)
        lease = lease_seconds(state.settings.kafka.session_timeout_seconds)
        if predecessor is not None:
            lease = max(lease, predecessor.lease_seconds)
        owns = partial(world.broker.owns, self.lane)
        return Sharing(state, world.window, world.clock, owns, lease)

    def _reader(self) -> Reader:
        reader = self._world.broker.reader()
        self._readers.append(reader)
        return reader

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
    def _pick(
        state: LaneState, sealer: Sealer, sender: Sender, permits: Permits
    ) -> Sequence[Batch]:
        now, sealed = asyncio.get_running_loop().time(), list[Batch]()
        while sender.room_to_seal(now, sealed):
            draft = state.batcher.take(now, permits.may_seal, permits.calls_max)
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

    async def _drain(
        self, turning: asyncio.Task[None], others: Sequence[asyncio.Task[None]], parts: Parts
    ) -> None:
        """Stop reading and sending, await answers, write what is known, release the lane."""
        for task in others:
            task.cancel()
        all_landed = await parts.sender.drain(self._drain_seconds)
        await parts.window.close()
        parts.turns.stop()
        await turning
        parts.sender.unseal()
        quiet = asyncio.get_running_loop().time() >= self._quiet_at
        await parts.turns.commit(released=all_landed and quiet)
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
