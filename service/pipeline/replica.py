"""One process's part in the election: runs the lanes that it is assigned.

Knows nothing of a lane's inside. Two replicas never fence each other in turns: whoever is fenced
leaves the group, and comes back only by a new assignment.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from service.core.facts import LaneChanged, Trouble
from service.errors import BrokerUnavailable, CommitUnknown, DispatcherError, LaneFenced
from service.pipeline.bell import Bell
from service.pipeline.lane import Lane, World
from service.ports import Election

RETRY_SECONDS = 1.0
"""Between two tries of a takeover, or of joining the group, while the broker is away."""


class Replica:
    """Joins the election and owns lanes until it is stopped."""

    def __init__(self, world: World, election: Election) -> None:
        self.lanes: dict[int, Lane] = {}
        self.joined = False
        self.draining = False
        self.trouble: str | None = None
        """What keeps it from working, in one line; None while all is well."""
        self._world = world
        self._election = election
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._assigned: frozenset[int] = frozenset()
        self._bell = Bell()
        self._fenced = False

    def stop(self) -> None:
        """Drain all lanes, leave the group, and let `run` return."""
        self.draining = True
        self._bell.ring()

    async def run(self) -> None:
        """Take part until `stop`.

        Raises:
            DispatcherError: a lane must not run; the text names the way out.
        """
        try:
            await self._join()
            while not self.draining:
                await self._supervise()
                await self._bell.wait()
            await self._drain()
        finally:
            await self._drop_all()
            self.joined = False
            await self._election.leave()

    async def _drop_all(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
        self.lanes.clear()

    async def _join(self) -> None:
        while not self.draining:
            try:
                await self._election.join(self._on_lanes)
            except BrokerUnavailable as error:
                self._note(Trouble("election", str(error)))
                await self._election.leave()
                await self._bell.wait(RETRY_SECONDS)
            else:
                self.joined = True
                self.trouble = None
                return

    def _note(self, trouble: Trouble) -> None:
        self.trouble = trouble.message
        self._world.observer.tell(trouble)

    def _on_lanes(self, lanes: frozenset[int]) -> None:
        self._assigned = lanes
        self._bell.ring()

    async def _supervise(self) -> None:
        """Make the lanes that run those that are assigned."""
        for lane, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[lane], self.lanes[lane]
                task.result()
            elif lane not in self._assigned:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                del self._tasks[lane], self.lanes[lane]
                self._world.observer.tell(LaneChanged(lane, "dropped"))
        if self._fenced:
            # Whoever leaves the group gives up all its lanes, not only the one that was fenced.
            await self._drop_all()
            self._fenced = False
            self._assigned = frozenset()
            await self._election.leave()
            await self._join()
        for lane in self._assigned - self._tasks.keys():
            self.lanes[lane] = Lane(lane, self._world)
            task = asyncio.create_task(self._run(lane), name=f"lane-{lane}")
            task.add_done_callback(lambda _: self._bell.ring())
            self._tasks[lane] = task

    async def _run(self, lane: int) -> None:
        while True:
            try:
                await self.lanes[lane].run()
            except LaneFenced as fenced:
                self._world.observer.tell(LaneChanged(lane, "fenced", str(fenced)))
                self._fenced = True
                return
            except (BrokerUnavailable, CommitUnknown) as trouble:
                self._note(Trouble(f"lane {lane}", str(trouble)))
            else:
                return
            if self.draining:
                return
            await asyncio.sleep(RETRY_SECONDS)
            self.lanes[lane] = Lane(lane, self._world)

    async def _drain(self) -> None:
        seconds = self._world.settings.shutdown.drain_seconds
        for lane in self.lanes.values():
            lane.stop(seconds)
        if self._tasks:
            # A lane that is still being taken over has nothing to drain.
            grace = seconds + 10.0
            with suppress(DispatcherError):
                await asyncio.wait(self._tasks.values(), timeout=grace)
