"""Operators of one world: they hold, release and cancel, and change the limit while it runs.

Knows nothing of what their commands should lead to: `orders.py` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.core import control
from service.core.control import (
    EVERY_ACCOUNT,
    AnyCommand,
    CallsCancelled,
    HoldReleased,
    HoldSet,
    LimitSet,
)

if TYPE_CHECKING:
    from tests.simulation.world import SimWorld

COMMANDS_MAX = 6
HOLD_SECONDS_MAX = (40.0, 40.0, 200.0)
"""The long ones outlast the first canaries of a hold that has any."""
LOOK_SECONDS = 120.0
"""Between two looks at what is held, once the world has healed."""
WHO = {"at": "2030-03-17T12:30:00Z", "who": "operator"}


class Operators:
    """Give commands at drawn times; at the end nothing is held any more."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._rng = world.plan.rng("operators")
        self._given = 0

    def schedule(self) -> None:
        """Put all commands into the world's time."""
        plan, loop = self._world.plan, self._world.loop
        if "operators" not in plan.kinds:
            return
        for _ in range(self._rng.randint(1, COMMANDS_MAX)):
            at = self._rng.random() * plan.fault_seconds
            act = self._rng.choice(
                (self._hold, self._hold, self._cancel, self._cancel, self._limit)
            )
            loop.after(at, act)
        loop.after(plan.fault_seconds, self._let_go)

    def _flow(self) -> str:
        return f"Flow000{self._rng.randrange(self._world.plan.flows)}"

    def _id(self) -> str:
        self._given += 1
        return f"command-{self._given}"

    def _give(self, command: AnyCommand) -> None:
        """Write a command, now and then twice: whoever gave it did not hear that it was taken."""
        world = self._world
        for _ in range(1 + (self._rng.random() < 0.2)):
            record = world.kafka.publish(
                (world.control, 0), (command.id.encode(), control.encode(command), ())
            )
            world.oracle.orders.given(record.offset, command)
        world.note("operator", repr(command))

    def _hold(self) -> None:
        scope, name = self._rng.choice(
            (("flow", self._flow()), ("account", "default"), ("account", EVERY_ACCOUNT))
        )
        self._give(HoldSet(id=self._id(), **WHO, scope=scope, name=name))  # type: ignore[arg-type]
        after = self._rng.random() * self._rng.choice(HOLD_SECONDS_MAX)
        self._world.loop.after(after, self._release, scope, name)

    def _release(self, scope: str, name: str) -> None:
        self._give(HoldReleased(id=self._id(), **WHO, scope=scope, name=name))  # type: ignore[arg-type]

    def _cancel(self) -> None:
        world = self._world
        ends = {
            log.partition: log.stable
            for (topic, _), log in world.kafka.logs.items()
            if topic == world.requests
        }
        self._give(CallsCancelled(id=self._id(), **WHO, flow_id=self._flow(), ends=ends))

    def _limit(self) -> None:
        most = self._world.plan.settings["provider"]["calls_per_minute"]
        self._give(LimitSet(id=self._id(), **WHO, calls_per_minute=self._rng.randint(1, most)))

    def _let_go(self) -> None:
        """When the world has healed nothing stays held, whoever held it."""
        if self._world.oracle.missing or not self._world.upstream.done:
            self._give(LimitSet(id=self._id(), **WHO, calls_per_minute=None))
            self._release("account", EVERY_ACCOUNT)
            for number in range(self._world.plan.flows):
                self._release("flow", f"Flow000{number}")
            self._world.loop.after(LOOK_SECONDS, self._let_go)
