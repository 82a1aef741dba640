"""One owned lane: takeover, then reading, turns and sending side by side, until stopped or fenced.

Knows nothing of elections: it is told to run because the lane was assigned.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from service.core.batching import Batcher
from service.core.checkpoint import Checkpoint
from service.core.facts import LaneChanged
from service.core.holds import Holds
from service.core.intake import Intake
from service.errors import DispatcherError, TopicsError
from service.pipeline.flows import Flows
from service.pipeline.heard import Heard
from service.pipeline.loops import Loops
from service.pipeline.outbox import Targets
from service.pipeline.sender import Sender
from service.pipeline.sharing import Sharing
from service.pipeline.state import LaneState
from service.pipeline.takeover import Taken, carry_tally, count_what_was_sent, take_over
from service.pipeline.turns import Turns, lease_seconds
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
    heard: Heard = field(default_factory=Heard)


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
        reader = self._reader(sparse=False)
        self._tell("taking")
        try:
            taken = await take_over(
                self.lane,
                world.broker,
                reader,
                world.settings,
                world.flows,
                world.heard,
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
            window = self._make_window(taken.state, taken.predecessor)
            loops = Loops(taken, self._world, window, reader, self._reader, group.create_task)
            self._turns = loops.turns
            send_after = await self._first_turn(taken, loops)
            await loops.control.catch_up()
            state, predecessor = taken.state, taken.predecessor
            self.state, self.sender, self.window = state, loops.sender, loops.window
            was_released = predecessor is not None and predecessor.released
            self._tell("owned", len(state.open), was_released=was_released)
            turning = group.create_task(loops.turns.run())
            others = [
                group.create_task(loops.reading.run()),
                group.create_task(loops.parking.run()),
                group.create_task(loops.overflow.run()),
                group.create_task(loops.control.run()),
                group.create_task(loops.window.run(loops.turns)),
                group.create_task(loops.sender.run(loops.turns, send_after)),
            ]
            await self._stop.wait()
            await self._drain(turning, others, loops)

    def _make_window(self, state: LaneState, predecessor: Checkpoint | None) -> Window:
        world = self._world
        if world.window is None:
            return Window(state)
        lease = lease_seconds(state.settings.kafka.session_timeout_seconds)
        timeout = state.settings.provider.timeout_seconds
        if predecessor is not None:
            lease = max(lease, predecessor.lease_seconds)
            timeout = max(timeout, predecessor.timeout_seconds)
        owns = partial(world.broker.owns, self.lane)
        return Sharing(state, world.window, world.clock, owns, (lease, timeout))

    def _reader(self, *, sparse: bool = True) -> Reader:
        reader = self._world.broker.reader(sparse=sparse)
        self._readers.append(reader)
        return reader

    async def _first_turn(self, taken: Taken, loops: Loops) -> float:
        """Step 3: make the takeover durable; returns when (CLOCK_BOOTTIME) a send may start."""
        predecessor = taken.predecessor
        send_after = taken.fenced_at
        if predecessor is not None and not predecessor.released:
            send_after += predecessor.lease_seconds
            loops.turns.inherit(send_after, send_after + predecessor.timeout_seconds)
        carry_tally(taken)
        stamp = await loops.turns.commit()
        quiet_seconds = self._quiet_seconds(taken, send_after)
        loops.quiet_at = asyncio.get_running_loop().time() + quiet_seconds
        count_what_was_sent(taken, stamp, quiet_seconds)
        return send_after

    def _quiet_seconds(self, taken: Taken, send_after: float) -> float:
        """From now until no POST of an earlier owner can be under way."""
        predecessor = taken.predecessor
        if predecessor is None or predecessor.released:
            return 0.0
        timeout = max(predecessor.timeout_seconds, self._world.settings.provider.timeout_seconds)
        return max(0.0, send_after - self._world.clock.boot()) + timeout

    async def _drain(
        self, turning: asyncio.Task[None], others: Sequence[asyncio.Task[None]], loops: Loops
    ) -> None:
        """Stop reading and sending, await answers, write what is known, release the lane."""
        for task in others:
            task.cancel()
        all_landed = await loops.sender.drain(self._drain_seconds)
        await loops.window.close()
        loops.turns.stop()
        await turning
        loops.sender.unseal()
        quiet = asyncio.get_running_loop().time() >= loops.quiet_at
        await loops.turns.commit(released=all_landed and quiet)
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
