"""What stands for one process, and for the place that a deployment keeps filled with one.

Knows nothing of the world around it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from service.core.facts import Fact
from service.pipeline.lane import World
from service.pipeline.replica import Replica
from tests.simulation.link import Link
from tests.simulation.loop import Node

BOOT_SECONDS = 1_000.0
"""What CLOCK_BOOTTIME shows when a world begins."""


class SimClock:
    """`Clock` of one process; `skew` is how wrong its wall clock is."""

    def __init__(self, now: Callable[[], float], wall: Callable[[], float]) -> None:
        self.skew = 0.0
        self._now = now
        self._wall = wall

    def boot(self) -> float:
        """See `Clock.boot`."""
        return self._now() + BOOT_SECONDS

    def wall(self) -> float:
        """See `Clock.wall`."""
        return self._wall() + self.skew


@dataclass(slots=True)
class Process:
    """One life of a replica."""

    node: Node
    link: Link
    clock: SimClock
    context: contextvars.Context
    task: asyncio.Task[None] | None = None
    replica: Replica | None = None
    world: World | None = None
    """What the replica was given."""
    ended: bool = False

    @property
    def runs(self) -> bool:
        """Whether it is there, stopped or not."""
        return not (self.ended or self.node.dead)


@dataclass(slots=True)
class Slot:
    """A place for a replica, as a deployment keeps it filled."""

    number: int
    lives: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    process: Process | None = None

    @property
    def life(self) -> asyncio.Task[None] | None:
        """What runs there now, stopped or not."""
        return self.process.task if self.process is not None and self.process.runs else None


class Tracer:
    """Hands every fact to the trace."""

    def __init__(self, note: Callable[[str, Fact], None], name: str) -> None:
        self._note = note
        self._name = name

    def tell(self, fact: Fact) -> None:
        """See `Observer.tell`."""
        self._note(self._name, fact)
