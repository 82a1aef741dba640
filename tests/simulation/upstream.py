"""The events of one world, and how upstream writes them: alone, in transactions, or aborted.

Knows nothing of what becomes of them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.simulation.kafka import SimKafka
from tests.simulation.log import Fate, SimRecord, Transaction
from tests.simulation.plan import EVENT_KEY, Plan

INDIA = timezone(timedelta(hours=5, minutes=30))
OPEN_SECONDS_MAX = 6.0


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it was written."""

    number: int
    flow_id: str
    identifier: bytes
    value: bytes
    valid: bool
    copies: bool = False
    """Whether its bytes were written more than once."""


def draw_events(plan: Plan) -> list[Event]:
    """All events of the world, in the order of writing."""
    rng = plan.rng("events")
    flows = [f"Flow000{number}" for number in range(plan.flows)]
    return [_draw_event(plan, rng, number, rng.choice(flows)) for number in range(plan.events)]


def _draw_event(plan: Plan, rng: random.Random, number: int, flow_id: str) -> Event:
    identifier: Any = f"c-{number}"
    if rng.random() < 0.15:
        identifier = rng.choice((number, [number], {"n": number}, "shared"))
    elif "refusing" in plan.kinds and rng.random() < 0.08:
        identifier = f"bad-{number}"
    event = {
        "flow-id": flow_id,
        "client-identifier": identifier,
        "contact-numbers": [f"9{rng.randrange(10**9):09d}"],
        "keys": [{"name": EVENT_KEY, "value": str(number)}],
    }
    valid = rng.random() > 0.04
    if not valid:
        event["contact-numbers"] = []
    event |= _times(plan, rng)
    encoded = json.dumps(identifier, separators=(",", ":")).encode()
    return Event(number, flow_id, encoded, json.dumps(event).encode(), valid)


def _times(plan: Plan, rng: random.Random) -> dict[str, str]:
    """When it is to be called, where it says so at all."""
    today = datetime.fromtimestamp(plan.wall_base, INDIA)
    times: dict[str, str] = {}
    if rng.random() < 0.3:
        times["start-time"] = today.strftime("%Y-%m-%dT%H:%M:%S+05:30")
    if "expiring" in plan.kinds and rng.random() < 0.2:
        later = datetime.fromtimestamp(plan.wall_base + rng.uniform(1, 120), INDIA)
        times["expires-at"] = later.strftime("%Y-%m-%dT%H:%M:%S+05:30")
    return times


class Upstream:
    """Writes the events over the first part of the world's time."""

    def __init__(
        self, plan: Plan, kafka: SimKafka, topic: str, written: Callable[[SimRecord, Event], None]
    ) -> None:
        self.done = False
        self._plan = plan
        self._kafka = kafka
        self._topic = topic
        self._written = written
        self._rng = plan.rng("upstream")
        self._left = self._with_copies(draw_events(plan))
        self._step = (
            plan.fault_seconds * self._rng.choice((0.0, 0.2, 0.8)) / max(1, len(self._left))
        )
        quiet_seconds = self._rng.choice((0.0, 14.0)) * self._rng.random()
        self._first = quiet_seconds if plan.quiet_seconds is None else plan.quiet_seconds
        self._transactions = 0

    def _with_copies(self, events: list[Event]) -> list[Event]:
        """Case (f), or with a correlation key: 5 % are written again, byte for byte."""
        if "f" not in self._plan.cases and "correlation" not in self._plan.kinds:
            return events
        found = []
        for event in events:
            copies = event.valid and self._rng.random() < 0.05
            found.append(
                Event(
                    event.number, event.flow_id, event.identifier, event.value, event.valid, copies
                )
            )
            if copies:
                found.append(found[-1])
        return found

    def start(self) -> None:
        """Begin to write; it goes on by itself."""
        self._kafka.loop.after(self._first, self._write)

    def stop(self) -> None:
        """Write nothing more."""
        self._left = []

    def _write(self) -> None:
        if not self._left:
            self.done = True
            return
        if not self._kafka.up:
            self._kafka.loop.after(1.0, self._write)
            return
        rng = self._rng
        burst = min(len(self._left), rng.choice((1, 1, 5, 20)))
        events, self._left = self._left[:burst], self._left[burst:]
        if rng.random() < 0.15:
            self._write_in(events, aborted=True)
            self._kafka.loop.after(self._step, self._write)
            self._left = events + self._left
            return
        if rng.random() < 0.3:
            self._write_in(events, aborted=False)
        else:
            for event in events:
                self._written(self._put(event, None), event)
        self._kafka.loop.after(self._step * burst * 2 * rng.random(), self._write)

    def _put(self, event: Event, by: Transaction | None) -> SimRecord:
        partition = self._rng.randrange(self._kafka.partitions_of(self._topic))
        key = event.flow_id.encode()
        return self._kafka.publish((self._topic, partition), (key, event.value, ()), by)

    def _write_in(self, events: list[Event], *, aborted: bool) -> None:
        self._transactions += 1
        transaction = Transaction(f"upstream-{self._transactions}", 0)
        records = [(self._put(event, transaction), event) for event in events]
        fate = Fate.ABORTED if aborted else Fate.COMMITTED
        if not aborted:
            for record, event in records:
                self._written(record, event)
        seconds = self._rng.random() * OPEN_SECONDS_MAX if "open" in self._plan.kinds else 0.01
        self._kafka.loop.after(seconds, self._kafka.decide, transaction, fate)
