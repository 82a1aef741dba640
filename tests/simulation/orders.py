"""Watches that operators are obeyed, and calling hours kept.

It knows what was commanded, and by which offset of the control topic each lane's durable state
stands; nothing of how a lane obeys.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from service.core.checkpoint import Checkpoint
from service.core.control import EVERY_ACCOUNT, AnyCommand, CallsCancelled, HoldReleased, HoldSet
from service.pipeline.flows import ACCOUNT_DEFAULT
from service.pipeline.trust import FLOOD_BREAKER
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
        self._holds: dict[HoldScope, int] = {}
        """The offset of the last command that set each."""
        self._releases: dict[HoldScope, int] = {}
        """The offset of the last command that ended each."""
        self._states: dict[int, Checkpoint] = {}
        """The last durable state of each lane."""
        self._sent: set[int] = set()
        """Numbers of events that were in a request."""
        self._sources: dict[int, list[Source]] = {}

    def given(self, offset: int, command: AnyCommand) -> None:
        """A command stands in the control topic."""
        if isinstance(command, CallsCancelled):
            self._cancels[offset] = command
        elif isinstance(command, HoldSet):
            self._holds[command.scope, command.name] = offset
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
        if self._held(flow_id, state):
            self._wrong(f"a request of flow {flow_id} left although it is held by an operator")
        for call in request["calls"]:
            [number] = [int(k["value"]) for k in call["keys"] if k["name"] == EVENT_KEY]
            self._call(number, flow_id, state)

    def _held(self, flow_id: str, state: Checkpoint) -> bool:
        """Whether the lane has applied a hold, and nobody has ended it."""
        every = ("account", EVERY_ACCOUNT)
        scopes: list[HoldScope] = [("flow", flow_id), ("account", ACCOUNT_DEFAULT), every]
        for scope in scopes:
            set_at = self._holds.get(scope)
            if set_at is not None and set_at < state.control:
                ends = {scope, every} if scope[0] == "account" else {scope}
                if all(self._releases.get(end, -1) < set_at for end in ends):
                    return True
        return any(
            hold.by == FLOOD_BREAKER
            and hold.name == flow_id
            and self._releases.get((hold.scope, hold.name), -1) < state.control
            for hold in state.holds
        )

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

    def deleted(self, tp: tuple[str, int], before: int) -> None:
        """A lane deletes records of a topic of its own."""
        partitions = self._states[tp[1]].partitions
        [durable] = [each.position for each in partitions if (each.topic, each.partition) == tp]
        if before > durable:
            self._wrong(f"{tp} is deleted before {before}, but its durable position is {durable}")

    def cancelled(self, source: Source) -> None:
        """An event has ended `cancelled`."""
        flow_id = self._events[source].flow_id
        if not any(_covers(cancel, flow_id, source) for cancel in self._cancels.values()):
            self._wrong(f"{source} ended `cancelled`, but nobody cancelled it")


def _covers(cancel: CallsCancelled, flow_id: str, source: Source) -> bool:
    return cancel.flow_id == flow_id and source[2] < cancel.ends.get(source[1], 0)
