"""A world whose course a test writes: what upstream publishes, what the provider answers, and when.

Knows nothing of what a scene expects. No fault befalls it unless the scene says so.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from service.core import control
from service.core.control import AnyCommand
from service.core.status import LaneStatus
from service.pipeline.state import LaneState
from service.pipeline.status import status_of
from service.twin.faults import Rule, Script
from service.twin.ledger import RequestSeen
from tests.simulation.link import Weather
from tests.simulation.log import Transaction
from tests.simulation.loop import Node
from tests.simulation.oracle import Source
from tests.simulation.plan import EVENT_KEY, NOON, SECURITY_IDS, URL, Plan
from tests.simulation.provider import Network
from tests.simulation.report import Report
from tests.simulation.upstream import Event
from tests.simulation.world import SimWorld

PATIENCE_SECONDS = 3600.0
"""After a scene, for what is still without an outcome."""
LOOK_SECONDS = 0.1
"""How often a scene looks whether something has come true."""


def plan(
    *,
    seed: int = 1,
    replicas: int = 1,
    settings: dict[str, dict[str, Any]] | None = None,
    switches: dict[str, Any] | None = None,
    wall_base: float = NOON,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Plan:
    """The plan of a world without chance; `settings` and `switches` are put over the defaults."""
    merged: dict[str, dict[str, Any]] = {
        "provider": {"url": URL, "security_id": SECURITY_IDS[0]},
        "kafka": {},
    }
    for name, section in (settings or {}).items():
        merged[name] = merged.get(name, {}) | section
    latency = {"latency-ms-min": 20, "latency-ms-max": 60, "identity-key": EVENT_KEY}
    return Plan(
        seed,
        # How many may end in doubt is for the scene to say.
        frozenset({"definite"}),
        frozenset(),
        replicas=replicas,
        lanes=1,
        partitions=3,
        events=0,
        flows=0,
        fault_seconds=0.0,
        wall_base=wall_base,
        settings=merged,
        switches={**latency, **(switches or {})},
        script=Script(),
        weather=Weather(),
        network=Network(),
        patience_seconds=patience_seconds,
    )


Course = Callable[["Stage"], Awaitable[None]]


class Stage(SimWorld):
    """One world and the scene that is played in it."""

    def __init__(self, planned: Plan, course: Course, *, verbose: bool = False) -> None:
        super().__init__(planned, verbose=verbose)
        self.published_at: dict[Source, float] = {}
        self.ended_at: dict[Source, float] = {}
        """When each event's outcome was decided."""
        self.flow_of: dict[Source, str] = {}
        self._course = course
        self._numbers = 0
        self.upstream.done = True
        judge, self.kafka.committed = self.kafka.committed, self._decided
        self._judge = judge

    async def course(self) -> None:
        """See `SimWorld.course`."""
        await self._course(self)

    def play(self) -> Report:
        """Run the scene; the oracle must have nothing against it."""
        try:
            report = self.run()
        except AssertionError:
            self.loop.reap(self.nodes)
            raise
        assert not report.violations, "\n".join(report.violations[:5])
        return report

    def _decided(self, transaction: Transaction) -> None:
        before = len(self.oracle.outcomes)
        self._judge(transaction)
        outcomes = self.oracle.outcomes
        for source in islice(reversed(outcomes), len(outcomes) - before):
            self.ended_at[source] = self.loop.now

    # Upstream

    def publish(
        self, flow_id: str, count: int = 1, *, name: str = "c", **fields: Any
    ) -> list[Source]:
        """Write events of a flow now; `fields` with underscores for dashes."""
        return [self._publish(flow_id, name, fields) for _ in range(count)]

    def _publish(self, flow_id: str, name: str, fields: dict[str, Any]) -> Source:
        number = self._numbers = self._numbers + 1
        identifier = f"{name}-{number}"
        event = {
            "flow-id": flow_id,
            "client-identifier": identifier,
            "contact-numbers": [f"9{number:09d}"],
            "keys": [{"name": EVENT_KEY, "value": str(number)}],
            **{field.replace("_", "-"): value for field, value in fields.items()},
        }
        value = json.dumps(event).encode()
        tp = (self.requests, number % self.plan.partitions)
        record = self.kafka.publish(tp, (flow_id.encode(), value, ()))
        known = Event(number, flow_id, json.dumps(identifier).encode(), value, valid=True)
        self.oracle.written(record, known)
        source = (record.topic, record.partition, record.offset)
        self.published_at[source] = self.loop.now
        self.flow_of[source] = flow_id
        return source

    # The provider

    def trouble(self, *rules: Rule, **switches: Any) -> None:
        """From now on the provider does so; without arguments: nothing is wrong any more."""
        named = {name.replace("_", "-"): value for name, value in switches.items()}
        self.internet.twin.program(Script(rules=rules, switches=named), self.loop.now)

    @property
    def requests_seen(self) -> list[RequestSeen]:
        """All requests that reached the provider."""
        return list(self.internet.twin.ledger.requests)

    def seen(
        self, flow_id: str | None = None, *, since: float = 0.0, until: float = float("inf")
    ) -> list[RequestSeen]:
        """Requests of a flow, or of all, that arrived in [since, until)."""
        return [
            one
            for one in self.requests_seen
            if flow_id in {None, one.flow_id} and since <= one.second < until
        ]

    # Operators

    def command(self, command: AnyCommand) -> None:
        """Write an operator's command."""
        write = (command.id.encode(), control.encode(command), ())
        record = self.kafka.publish((self.control, 0), write)
        self.oracle.orders.given(record.offset, command)

    # What is known

    @property
    def state(self) -> LaneState | None:
        """Lane 0's state in whichever process owns it now."""
        for slot in self.slots:
            process = slot.process
            if process is None or process.node.dead or process.replica is None:
                continue
            lane = process.replica.lanes.get(0)
            if lane is not None and lane.state is not None:
                return lane.state
        return None

    @property
    def status(self) -> LaneStatus | None:
        """What /status says of lane 0, if somebody owns it."""
        for slot in self.slots:
            process = slot.process
            if process is not None and process.runs and process.replica and process.world:
                lanes = status_of(process.replica, process.world).lanes
                if lanes:
                    return lanes[0]
        return None

    def held(self, name: str) -> bool:
        """Whether the flow or account of this name is held."""
        state = self.state
        return state is not None and any(hold.name == name for hold in state.holds.states())

    def outcomes(self, sources: Iterable[Source]) -> dict[str, int]:
        """How many of the events ended how; those that have not ended are left out."""
        known = self.oracle.outcomes
        return dict(Counter(known[source] for source in sources if source in known))

    def of(self, flow_id: str) -> list[Source]:
        """All events of a flow."""
        return [source for source, flow in self.flow_of.items() if flow == flow_id]

    def latencies(self, sources: Iterable[Source]) -> list[float]:
        """Seconds from event to outcome, sorted; only of those that have one."""
        return sorted(
            self.ended_at[source] - self.published_at[source]
            for source in sources
            if source in self.ended_at
        )

    # Time

    async def until(self, true: Callable[[], object], seconds: float = 60.0) -> None:
        """Wait until something has come true, and fail if it has not after `seconds`."""
        deadline = self.loop.now + seconds
        while not true():
            assert self.loop.now < deadline, f"not true within {seconds} s: {true}"
            await asyncio.sleep(LOOK_SECONDS)

    async def all_ended(self, sources: Sequence[Source], seconds: float = 600.0) -> None:
        """Wait until all these events have their outcomes."""
        left = list(sources)

        def ended() -> bool:
            while left and left[-1] in self.oracle.outcomes:
                left.pop()
            return not left

        await self.until(ended, seconds)

    async def owned(self) -> None:
        """Wait until somebody owns the lane."""
        await self.until(lambda: self.state is not None)

    # Processes

    def crash(self, *, down_seconds: float = 1.0) -> None:
        """Kill whoever owns the lane."""
        for slot in self.slots:
            process = slot.process
            if process is not None and process.replica is not None and process.replica.lanes:
                self.kill(slot, down_seconds)

    def crash_in(self, callbacks: int, *, down_seconds: float = 1.0) -> None:
        """Kill every process of the moment after so many more of its callbacks."""
        for slot in self.slots:
            process = slot.process
            if process is None or process.node.dead or process.ended:
                continue
            node: Node = process.node
            node.on_crash = lambda slot=slot: self.kill(slot, down_seconds)  # type: ignore[misc]
            node.crash_in = callbacks


def play(course: Course, *, verbose: bool = False, **planned: Any) -> Stage:
    """Play a scene in a world of its own; the oracle has nothing against it."""
    stage = Stage(plan(**planned), course, verbose=verbose)
    stage.play()
    return stage


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted values."""
    return values[min(len(values) - 1, int(share * len(values)))]
