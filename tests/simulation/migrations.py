"""An operator who raises the number of lanes while the world runs, and is interrupted at it.

Each try is a process of its own, which may die anywhere. Every other try is made with all
dispatchers stopped, as the documents ask. Knows nothing of what a migration writes.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from functools import partial
from typing import TYPE_CHECKING

from service.errors import DispatcherError
from service.pipeline.migration import migrate
from service.settings import Settings
from tests.simulation.clients import SimBroker, SimWriter
from tests.simulation.kafka import SimKafka
from tests.simulation.link import Link
from tests.simulation.loop import NODE, Node

if TYPE_CHECKING:
    from tests.simulation.world import SimWorld

STEPS_TO_CRASH_MAX = 60
CRASHED_SHARE = 0.5
STOP_SECONDS_MAX = 40.0
"""Until all dispatchers are stopped, drains included; then it is tried all the same."""
BREAK_SECONDS = 10.0
BREAK_SECONDS_MAX = 600.0
"""Between two tries, ever longer, for dispatchers to settle what is open."""
NOTICE_SECONDS_MAX = 5.0
"""Until members of the group notice that there are more lanes."""


class SimMigrationBroker(SimBroker):
    """`MigrationBroker` of one process."""

    def __init__(self, kafka: SimKafka, link: Link, settings: Settings, client_id: str) -> None:
        super().__init__(kafka, link, settings, client_id)
        self._migrator = SimWriter(kafka, link, settings, f"{settings.kafka.group_id}.migrate")

    async def add_lanes(self, lanes: int) -> None:
        """See `MigrationBroker.add_lanes`."""
        names = self._settings.kafka.topics
        for topic in (names.parked, names.overflow, names.checkpoints):
            await self._ask(partial(self._grow, topic, lanes))

    def _grow(self, topic: str, lanes: int) -> None:
        kafka = self._kafka
        while kafka.partitions_of(topic) < lanes:
            kafka.add_partition(topic)
        if topic == self._settings.kafka.topics.checkpoints:
            seconds = kafka.rng.random() * NOTICE_SECONDS_MAX
            kafka.loop.after(seconds, kafka.group.grow, lanes)

    def migrator(self) -> SimWriter:
        """See `MigrationBroker.migrator`."""
        return self._migrator


class Migration:
    """Brings one world to more lanes, sooner or later."""

    def __init__(self, world: SimWorld, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self._lanes = world.plan.lanes + rng.choice((1, 2))
        self._tries = 0
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """The next try."""
        world = self._world
        if world.closing:
            return
        world.stops_allowed = True
        self._tries += 1
        node = Node(f"migrate.{self._tries}")
        world.nodes.append(node)
        if self._rng.random() < CRASHED_SHARE and not world.calm:
            node.crash_in = self._rng.randrange(STEPS_TO_CRASH_MAX)
            node.on_crash = lambda: self._die(node)
        context = contextvars.Context()
        context.run(NODE.set, node)
        world.note(node.name, "starts")
        self._task = world.loop.create_task(self._run(node), context=context)

    def _die(self, node: Node) -> None:
        self._world.note(node.name, "is killed")
        node.dead = True
        self._world.paused = False
        self._again()

    def _again(self) -> None:
        """Later; who tries too often keeps the lanes from settling anything."""
        longest = min(BREAK_SECONDS_MAX, BREAK_SECONDS * 2.0**self._tries)
        self._world.loop.after(self._rng.uniform(0.5, 1.0) * longest, self.begin)

    async def _run(self, node: Node) -> None:
        world = self._world
        settings = Settings.model_validate(world.plan.settings)
        link = Link(world.kafka, world.plan.rng(node.name), world.plan.weather)
        broker = SimMigrationBroker(world.kafka, link, settings, node.name)
        if self._tries % 2 == 0:
            await self._stop_all()
        try:
            changed = await migrate(broker, settings, self._lanes)
            world.note(node.name, f"has made {self._lanes} lanes ({changed})")
        except DispatcherError as error:
            world.note(node.name, f"failed: {error}")
            self._again()
        world.paused = False

    async def _stop_all(self) -> None:
        world = self._world
        world.paused = True
        for slot in world.slots:
            world.stop(slot)
        for _ in range(int(STOP_SECONDS_MAX)):
            if not any(slot.process and slot.process.runs for slot in world.slots):
                return
            await asyncio.sleep(1.0)
