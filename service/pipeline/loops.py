"""The loops of one owned lane, joined to each other.

Knows nothing of takeovers or of a lane's end (lane.py): what must happen in which order around the
loops is not decided here, only who tells whom.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from service.pipeline.arrivals import Arrivals
from service.pipeline.batch import Batch
from service.pipeline.control import Control, Controlled
from service.pipeline.gate import Gate
from service.pipeline.overflow import Overflow
from service.pipeline.parking import Parking
from service.pipeline.permits import Permits
from service.pipeline.reading import Reading
from service.pipeline.replays import Replays
from service.pipeline.review import Review
from service.pipeline.sealing import Sealer
from service.pipeline.sender import Sender
from service.pipeline.settling import Settler
from service.pipeline.shelf import Shelf
from service.pipeline.trust import Trust
from service.pipeline.turns import TurnHooks, Turns
from service.pipeline.window import Window
from service.ports import Reader, TopicPartition

if TYPE_CHECKING:
    from service.pipeline.lane import World
    from service.pipeline.takeover import Taken


class Loops:
    """Built once for each life of a lane."""

    def __init__(
        self,
        taken: Taken,
        world: World,
        window: Window,
        reader: Reader,
        new_reader: Callable[[], Reader],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        """Nothing runs yet.

        Args:
            taken: the lane's state, its producer, and whom it was taken over from.
            world: what the process has.
            window: the limit as this lane sees it.
            reader: reads the requests, and stands at their positions.
            new_reader: makes one more, for one partition.
            spawn: starts a task that ends with the lane.
        """
        self.quiet_at = 0.0
        """Loop time from which no POST of an earlier owner can be under way."""
        self._state = state = taken.state
        self._world, self._new_reader = world, new_reader
        flows, clock, rng, before = world.flows, world.clock, world.rng, taken.predecessor
        gate = Gate(state, flows, clock)
        self._gate = gate
        self._sealer = Sealer(state, flows, clock, rng, gate)
        self._permits = Permits(state, flows, gate)
        trust = Trust(state, self._held, self._released)
        self._settler = Settler(state, flows, self._sealer, trust, world.heard, rng)
        review = Review(state, flows, self._permits, self._sealer, gate, clock, self._release)
        self.window = window
        settle = self._settler.settle
        self.sender = Sender(
            state, self._permits, window, world.provider, clock, review, settle, spawn
        )
        self.turns = Turns(
            state,
            world.broker,
            taken.writer,
            world.owner,
            clock,
            (before.owner, before.turn) if before else None,
            TurnHooks(
                self._pick,
                self._next_pick_at,
                self._release,
                self._after_turn,
                self.sender.supplied,
            ),
        )
        self._settler.connect(self.sender, self.turns)
        ring = self.turns.bell.ring
        replays = Replays(state, new_reader)
        arrivals = Arrivals(state, world.intake, self._sealer, gate, replays, self._recovered)
        self.parking = Parking(state, self._shelf(state.parked_tp, arrivals), arrivals, gate, ring)
        shelf = self._shelf(state.overflow_tp, arrivals)
        self.overflow = Overflow(state, flows, shelf, arrivals, ring)
        make_room = self.overflow.make_room
        self.reading = Reading(state, reader, arrivals, make_room, self._count_partitions, ring)
        hooks = Controlled(self._commanded, window.shape, self._committed)
        self.control = Control(state, new_reader(), gate, trust, hooks)

    def _shelf(self, tp: TopicPartition, arrivals: Arrivals) -> Shelf:
        broker, reader = self._world.broker, self._new_reader()
        return Shelf(tp, self._state, broker, reader, arrivals, self._committed)

    async def _count_partitions(self) -> int:
        survey = await self._world.broker.survey()
        return survey.partitions.get(self._state.settings.kafka.topics.requests, 0)

    # Who tells whom

    def _committed(self) -> int:
        return self.turns.committed

    def _release(self, batch: Batch) -> None:
        self.sender.release(batch)

    def _recovered(self, batch: Batch) -> None:
        batch.due = self.quiet_at
        self.sender.release(batch)

    def _held(self, flow_id: str) -> None:
        self._gate.again(flow_id)
        self._settler.look()

    def _released(self, _: str | None) -> None:
        self.parking.wake()
        self._settler.look()

    def _commanded(self) -> None:
        self.parking.wake()
        self.overflow.wake()
        self._settler.look()

    def _after_turn(self) -> None:
        self.sender.turned()
        for loop in (self.reading, self.parking, self.overflow):
            loop.bell.ring()

    # What a turn seals

    def _pick(self) -> Sequence[Batch]:
        state, permits, sealed = self._state, self._permits, list[Batch]()
        now = asyncio.get_running_loop().time()
        unsent, calls = permits.unsent()
        plenty = self.sender.has_plenty(now)
        while (
            self.sender.room_to_seal(now, unsent, calls, plenty=plenty) and permits.may_seal_any()
        ):
            draft = state.batcher.take(now, permits.may_seal, permits.calls_max)
            if draft is None:
                break
            batch = self._sealer.seal(draft)
            if batch is not None:
                sealed.append(batch)
                unsent, calls = unsent + 1, calls + len(batch.calls)
        return sealed

    def _next_pick_at(self) -> float | None:
        now = asyncio.get_running_loop().time()
        if now < self.sender.circuit_until:
            return self.sender.circuit_until
        if not self.sender.room_to_seal(now, *self._permits.unsent()):
            return None
        probe_at = self._state.holds.next_probe_at()
        ready_at = self._state.batcher.next_ready_at() if self._permits.may_seal_any() else None
        # A canary that is due but has nothing to go with waits for the next event.
        times = [ready_at, probe_at if probe_at is not None and probe_at > now else None]
        return min((at for at in times if at is not None), default=None)
