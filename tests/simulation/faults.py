"""Does what a plan's kinds of fault stand for, at times drawn from its seed.

Knows nothing of what the faults lead to.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.simulation.migrations import Migration
from tests.simulation.operators import Operators
from tests.simulation.plan import reconfigured

if TYPE_CHECKING:
    from tests.simulation.process import Process, Slot
    from tests.simulation.world import SimWorld

STEPS_TO_CRASH_MAX = 80
"""A crash comes up to so many callbacks after its time, so at any await."""
STORM_SECONDS = 4.0
"""Between the crashes of a storm."""
OWNERS_SHARE = 0.7
"""Of faults of processes, those that befall one that has lanes, if there is one."""
COMMIT_SECONDS_MAX = 15.0
"""After this a client gives up a commit that is not answered."""


def schedule(world: SimWorld) -> None:
    """Put all faults of the plan into the world's time."""
    Faults(world).schedule()
    Operators(world).schedule()


class Faults:
    """The faults of one world."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._rng = world.plan.rng("faults")
        self._session_seconds = world.plan.settings["kafka"]["session_timeout_seconds"]

    def schedule(self) -> None:
        """See `schedule`."""
        plan, rng = self._world.plan, self._rng
        often: dict[str, tuple[int, Callable[[random.Random], None]]] = {
            "crash": (4, self._crash),
            "storm": (1, self._storm),
            "freeze": (3, self._freeze),
            "suspend": (2, self._suspend),
            "restart": (3, self._restart),
            "reconfigure": (3, self._reconfigure),
            "clock": (3, self._clock),
            "return": (1, self._return),
            "outage": (2, self._outage),
            "partition": (3, self._partition),
            "deaf": (5, self._deaf),
            "compaction": (6, self._compact),
            "down": (3, self._down),
            "retention": (3, self._retention),
            "grow": (1, self._grow),
            "migrate": (1, self._migrate),
            "deleted": (1, self._delete_checkpoints),
            "recreated": (1, self._recreate_requests),
        }
        for kind, (most, act) in often.items():
            times = [rng.random() * plan.fault_seconds for _ in range(rng.randint(1, most))]
            chance = random.Random(rng.getrandbits(64))
            if kind in plan.kinds:
                for at in times:
                    self._world.loop.after(at, self._unless_calm, act, chance)

    def _unless_calm(self, act: Callable[..., None], *args: Any) -> None:
        if not self._world.calm:
            act(*args)

    def _owners(self) -> list[Slot]:
        """Places of processes that have lanes."""
        return [
            slot
            for slot in self._world.slots
            if slot.process and slot.process.replica and slot.process.replica.lanes
        ]

    def _some(self, rng: random.Random) -> Slot:
        """A place, rather of a process that has lanes than of another."""
        return rng.choice((rng.random() < OWNERS_SHARE and self._owners()) or self._world.slots)

    # Processes

    def _crash(self, rng: random.Random) -> None:
        self._crash_one(self._some(rng), rng)

    def _crash_one(self, slot: Slot, rng: random.Random) -> None:
        def arm(process: Process) -> None:
            down = rng.choice((0.05, 1.0, 5.0, 15.0)) * rng.random()
            process.node.on_crash = lambda: self._world.kill(slot, down)
            process.node.crash_in = rng.randrange(STEPS_TO_CRASH_MAX)

        self._world.in_process(slot, arm)

    def _storm(self, rng: random.Random) -> None:
        """One process after the other dies, often in the middle of its takeover."""
        for turn in range(rng.randint(3, 8)):
            seconds = turn * STORM_SECONDS * rng.random()
            self._world.loop.after(seconds, self._unless_calm, self._crash, rng)

    def _freeze(self, rng: random.Random) -> None:
        """SIGSTOP, then SIGCONT: it goes on as a zombie."""
        self._halt(rng, sleeps=False)

    def _suspend(self, rng: random.Random) -> None:
        """Its machine sleeps: the monotonic clock stands still, too."""
        self._halt(rng, sleeps=True)

    def _halt(self, rng: random.Random, *, sleeps: bool) -> None:
        world, slot = self._world, self._some(rng)

        def halt(process: Process) -> None:
            node = process.node
            if node.stopped:
                return
            seconds = (
                self._session_seconds * rng.choice((0.2, 1.0, 1.0, 3.0)) * (0.5 + rng.random())
            )
            world.note(node.name, f"{'sleeps' if sleeps else 'is frozen'} for {seconds:.3f} s")
            node.stopped = True
            world.loop.after(seconds, self._wake, process, seconds if sleeps else 0.0)

        world.in_process(slot, halt)

    def _wake(self, process: Process, slept_seconds: float) -> None:
        if process.node.stopped and not process.node.dead:
            self._world.note(process.node.name, "goes on")
            self._world.loop.resume(process.node, slept_seconds)

    def _return(self, rng: random.Random) -> None:
        """Owners lose Kafka; their successors come, work and die before they are back."""
        world = self._world
        owners = [
            s for s in world.slots if s.process and s.process.replica and s.process.replica.lanes
        ]
        if not owners:
            return
        away, seconds = rng.choice(owners), COMMIT_SECONDS_MAX + 3 * self._session_seconds
        for slot in world.slots:
            if slot is away:
                self._cut_off(slot, seconds)
            else:
                until_dead = seconds - 1.5 * self._session_seconds
                world.loop.after(
                    until_dead, self._unless_calm, world.kill, slot, 2 * self._session_seconds
                )

    def _restart(self, rng: random.Random) -> None:
        self._world.stop(self._some(rng))

    def _reconfigure(self, rng: random.Random) -> None:
        world = self._world
        slot = self._some(rng)
        slot.settings = reconfigured(world.plan.settings, rng)
        if rng.random() < 0.5:
            world.stop(slot)
        else:
            world.kill(slot, rng.random())

    def _clock(self, rng: random.Random) -> None:
        def step(process: Process) -> None:
            process.clock.skew = rng.choice((-2.0, 0.0, 2.0, 60.0)) * rng.random()

        self._world.in_process(rng.choice(self._world.slots), step)

    # Kafka

    def _outage(self, rng: random.Random) -> None:
        world = self._world
        if world.kafka.up:
            world.note("kafka", "is down")
            world.kafka.stop()
            world.loop.after(rng.choice((0.5, 4.0, 12.0, 25.0)), self._back)

    def _back(self) -> None:
        if not self._world.kafka.up:
            self._world.note("kafka", "is back")
            self._world.kafka.start()

    def _partition(self, rng: random.Random) -> None:
        """A process cannot reach Kafka, though the provider it can."""
        seconds = self._session_seconds * rng.choice((0.5, 1.5, 4.0)) * rng.random()
        self._cut_off(self._some(rng), seconds)

    def _cut_off(self, slot: Slot, seconds: float) -> None:
        def cut(process: Process) -> None:
            self._world.note(process.node.name, f"is cut off from Kafka for {seconds:.3f} s")
            process.link.up = False
            self._world.loop.after(seconds, lambda: setattr(process.link, "up", True))

        self._world.in_process(slot, cut)

    def _deaf(self, rng: random.Random) -> None:
        """A process's heartbeats fail while its commits work; perhaps only until it is replaced."""
        seconds = self._session_seconds * rng.uniform(0.8, 3.0)
        slot, then_cut_off = self._some(rng), rng.random() < 0.5

        def deafen(process: Process) -> None:
            self._world.note(process.node.name, f"has no heartbeats for {seconds:.3f} s")
            process.link.heartbeats_up = False
            self._world.loop.after(seconds, lambda: setattr(process.link, "heartbeats_up", True))
            if then_cut_off and process.replica is not None:
                self._cut_off_when_replaced(slot, process, list(process.replica.lanes))

        self._world.in_process(slot, deafen)

    def _cut_off_when_replaced(self, slot: Slot, process: Process, lanes: list[int]) -> None:
        owners = {self._world.kafka.group.owner_of(lane) for lane in lanes}
        if slot.process is not process or process.link.heartbeats_up or self._world.calm:
            return
        if owners - {process.node.name, None}:
            self._cut_off(slot, self._session_seconds * self._rng.uniform(1.0, 4.0))
        else:
            self._world.loop.after(0.01, self._cut_off_when_replaced, slot, process, lanes)

    def _compact(self, _: random.Random) -> None:
        for (topic, _partition), log in self._world.kafka.logs.items():
            if topic == self._world.checkpoints:
                log.compact()

    def _retention(self, rng: random.Random) -> None:
        for (topic, _partition), log in self._world.kafka.logs.items():
            if topic == self._world.requests and rng.random() < 0.5:
                log.delete_before(rng.randint(log.first, log.end))
                self._world.note("kafka", f"{topic}-{log.partition} begins at {log.first}")

    def _grow(self, _: random.Random) -> None:
        self._world.kafka.add_partition(self._world.requests)

    def _migrate(self, rng: random.Random) -> None:
        Migration(self._world, rng).begin()

    def _delete_checkpoints(self, _: random.Random) -> None:
        """Whoever takes a lane over from now on must not begin again."""
        self._world.note("kafka", "has lost the checkpoints")
        self._world.stops_allowed = True
        self._world.kafka.recreate(self._world.checkpoints)

    def _recreate_requests(self, _: random.Random) -> None:
        """Lanes that had read anything must stop."""
        self._world.note("kafka", "has new and empty requests")
        self._world.stops_allowed = True
        self._world.upstream.stop()
        self._world.kafka.recreate(self._world.requests)

    # The provider

    def _down(self, rng: random.Random) -> None:
        network = self._world.internet.network
        network.down = True
        self._world.note("provider", "cannot be reached")
        self._world.loop.after(
            rng.choice((1.0, 5.0, 15.0)), lambda: setattr(network, "down", False)
        )
