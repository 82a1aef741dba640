"""Watches that operators are obeyed, and calling hours kept.

It knows what was commanded, and by which offset of the control topic each lane's durable state
stands; nothing of how a lane obeys.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from service.core.checkpoint import Checkpoint
from service.core.control import EVERY_ACCOUNT, AnyCommand, CallsCancelled, HoldReleased
from tests.simulation.plan import EVENT_KEY, Plan
from tests.simulation.upstream import Event

Source = tuple[str, int, int]
HoldScope = tuple[str, str]

CLOCK_SKEW_SECONDS_MAX = 60.0
"""Of the fault `clock`."""


class Orders:
    """The commands of one world."""

    def __init__(
        self,
        events: Mapping[Source, Event],
        wrong: Callable[[str], None],
        plan: Plan,
    ) -> None:
        """Nothing has been commanded yet.

        Args:
            events: what upstream wrote, filled from outside.
            wrong: told of each violation.
            plan: of the world.
        """
        self._events = events
        self._wrong = wrong
        self._opens_at = plan.opens_at
        self._idle = "operators" not in plan.kinds and not plan.opens_at
        self._skew_seconds = CLOCK_SKEW_SECONDS_MAX if "clock" in plan.kinds else 0.0
        self._cancels: dict[int, CallsCancelled] = {}
        """By offset."""
        self._releases: dict[HoldScope, int] = {}
        """The offset of the last one."""
        self._states: dict[int, Checkpoint] = {}
        """The last durable state of each lane."""
        self._sent: set[int] = set()
        """Numbers of events that were in a request."""
        self._sources: dict[int, list[Source]] = {}

    def given(self, offset: int, command: AnyCommand) -> None:
        """A command stands in the control topic."""
        if isinstance(command, CallsCancelled):
            self._cancels[offset] = command
        elif isinstance(command, HoldReleased):
            self._releases[command.scope, command.name] = offset

    def checkpoint(self, state: Checkpoint) -> None:
        """A lane's state is durable."""
        self._states[state.lane] = state

    def launched(self, body: bytes, lane: int, wall: float) -> None:
        """The first byte of a request leaves."""
        if self._idle:
            return
        request = json.loads(body)
        flow_id = request["flow-id"]
        if wall + self._skew_seconds < self._opens_at.get(flow_id, 0.0):
            self._wrong(f"a request of flow {flow_id} left before its calling hours")
        state = self._states[lane]
        for hold in state.holds:
            of_it = hold.name == flow_id if hold.scope == "flow" else True
            if hold.by and of_it and not self._may_be_released((hold.scope, hold.name), state):
                self._wrong(f"a request of flow {flow_id} left although an operator holds it")
        for call in request["calls"]:
            [number] = [int(k["value"]) for k in call["keys"] if k["name"] == EVENT_KEY]
            self._call(number, flow_id, state)

    def _may_be_released(self, scope: HoldScope, state: Checkpoint) -> bool:
        scopes = {scope, ("account", EVERY_ACCOUNT)} if scope[0] == "account" else {scope}
        return any(self._releases.get(one, -1) >= state.control for one in scopes)

    def _call(self, number: int, flow_id: str, state: Checkpoint) -> None:
        sources = self._sources_of(number)
        if number not in self._sent and len(sources) == 1:
            for offset, cancel in self._cancels.items():
                if offset < state.control and _covers(cancel, flow_id, sources[0]):
                    self._wrong(f"event {number} was sent for the first time after its cancel")
        self._sent.add(number)

    def _sources_of(self, number: int) -> list[Source]:
        if number not in self._sources:
            self._sources[number] = [
                source for source, event in self._events.items() if event.number == number
            ]
        return self._sources[number]

    def cancelled(self, source: Source) -> None:
        """An event has ended `cancelled`."""
        flow_id = self._events[source].flow_id
        if not any(_covers(cancel, flow_id, source) for cancel in self._cancels.values()):
            self._wrong(f"{source} ended `cancelled`, but nobody cancelled it")


def _covers(cancel: CallsCancelled, flow_id: str, source: Source) -> bool:
    return cancel.flow_id == flow_id and source[2] < cancel.ends.get(source[1], 0)
