"""Applies operators' commands to one lane, in the order of the control topic.

Knows nothing of who may command, or how. Each command is in the lane's checkpoint once the turn
that follows it is durable; before that a successor reads it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from service.core import control
from service.core.calls import Record
from service.core.cancels import Cancel
from service.core.control import (
    AnyCommand,
    CallsCancelled,
    HoldReleased,
    HoldSet,
    LimitSet,
)
from service.core.facts import CommandApplied, Trouble
from service.core.holds import HoldState
from service.errors import BrokerUnavailable, ControlUnreadable, RecordsGone
from service.pipeline.gate import Gate
from service.pipeline.reading import FETCH_RECORDS_MAX, TROUBLE_SECONDS
from service.pipeline.state import LaneState
from service.pipeline.trust import Trust
from service.ports import Reader

EMPTY = 2**63 - 1
"""Position in a topic of calls set aside of which none is left."""
WAIT_SECONDS = 5.0
"""How long a fetch waits for a command; then the cancels in force are looked at."""


@dataclass(frozen=True, slots=True)
class Controlled:
    """What commands change besides the state, supplied by the lane."""

    changed: Callable[[], None]
    """Wakes turns, sends and parked calls."""
    reshape: Callable[[], None]
    """Takes over the guard's limit."""
    committed: Callable[[], int]
    """The number of the last turn that is durable."""


class Control:
    """The loop over the control topic for one lane."""

    def __init__(
        self, state: LaneState, reader: Reader, gate: Gate, trust: Trust, hooks: Controlled
    ) -> None:
        self._state = state
        self._reader = reader
        self._gate = gate
        self._trust = trust
        self._hooks = hooks
        self._tp = (state.settings.kafka.topics.control, 0)
        self._unbounded: list[tuple[Cancel, int]] = []
        """Cancels applied here, and the turn after which the parked topic holds all they mean."""

    async def catch_up(self) -> None:
        """Apply what was commanded until now; nothing must be sent before.

        Raises:
            BrokerUnavailable: try again later.
        """
        # Asked before anything is fetched: the answer would wait behind a fetch that finds nothing.
        await self._reader.start({})
        first, end = (await self._reader.bounds([self._tp]))[self._tp]
        if not first <= self._state.control_at <= end:
            # The topic was made anew, or its head is gone: commands are few, and idempotent.
            self._state.control_at = first
        await self._reader.add({self._tp: self._state.control_at})
        while await self._read(0.5 if self._state.control_at < end else 0.0):
            pass

    async def run(self) -> None:
        """Apply commands until cancelled."""
        # Cancels that an earlier owner had no time to look at.
        self._unbounded += [
            (cancel, self._state.turn)
            for cancel in self._state.cancels.states()
            if not cancel.aside_ends
        ]
        while True:
            try:
                await self._read(WAIT_SECONDS)
                await self._bound_cancels()
            except BrokerUnavailable as error:
                self._state.observer.tell(Trouble("control", str(error)))
                await asyncio.sleep(TROUBLE_SECONDS)

    def _seek(self, offset: int) -> None:
        self._state.control_at = offset
        self._reader.seek(self._tp, offset)

    async def _read(self, wait_seconds: float) -> int:
        try:
            found = await self._reader.fetch([self._tp], FETCH_RECORDS_MAX, wait_seconds)
        except RecordsGone:
            self._seek((await self._reader.bounds([self._tp]))[self._tp][0])
            return 1
        records = found.get(self._tp, ())
        for record in records:
            self._take(record)
        if records:
            self._state.outbox.wanted = True
            self._hooks.changed()
        return len(records)

    def _take(self, record: Record) -> None:
        self._state.control_at = record.offset + 1
        try:
            command = control.decode(record.value)
        except ControlUnreadable as error:
            self._state.observer.tell(Trouble("control", str(error)))
            return
        text = self._apply(command)
        if command.reason:
            text += f": {command.reason}"
        fact = CommandApplied(command.id, f"{text} (by {command.who} at {command.at})")
        self._state.observer.tell(fact)

    def _apply(self, command: AnyCommand) -> str:
        match command:
            case HoldSet():
                self._trust.set(
                    HoldState(
                        command.scope,
                        command.name,
                        command.reason or "held by an operator",
                        self._state.now_ms(),
                        by=command.who,
                    )
                )
                return f"hold {command.scope} {command.name}"
            case HoldReleased():
                self._trust.release(command.scope, command.name)
                return f"release {command.scope} {command.name}"
            case CallsCancelled():
                self._cancel(command)
                return f"cancel calls of flow {command.flow_id}"
            case LimitSet():
                return self._limit(command)

    def _cancel(self, command: CallsCancelled) -> None:
        state = self._state
        if any(cancel.id == command.id for cancel in state.cancels.states()):
            return
        cancel = Cancel(command.id, command.flow_id, command.ends, {}, command.reason)
        state.cancels.add(cancel)
        self._unbounded.append((cancel, state.turn + 1))
        self._gate.again(command.flow_id)

    def _limit(self, command: LimitSet) -> str:
        state, calls = self._state, command.calls_per_minute
        if calls is None:
            state.set_limit(None)
        elif calls // state.lanes < max(1, state.settings.batching.calls_max):
            message = f"a limit of {calls} leaves a lane less than one full batch: not applied"
            state.observer.tell(Trouble("control", message))
            return f"limit {calls}, not applied"
        else:
            state.set_limit(calls)
        self._hooks.reshape()
        return "limit as configured" if calls is None else f"limit {calls} calls a minute"

    async def _bound_cancels(self) -> None:
        """Learn how far calls that are meant were set aside; forget cancels that are over."""
        state = self._state
        due = [cancel for cancel, turn in self._unbounded if self._hooks.committed() >= turn]
        if due:
            bounds = await self._reader.bounds(list(state.aside))
            ends = {topic: end for (topic, _), (_, end) in bounds.items()}
            for cancel in due:
                state.cancels.replace(msgspec.structs.replace(cancel, aside_ends=ends))
            self._unbounded = [each for each in self._unbounded if each[0] not in due]
            state.outbox.wanted = True
        positions = {tp: ledger.position for tp, ledger in state.ledgers.items()}
        # No position passes the marker of a transaction behind the last record.
        positions |= {tp: EMPTY for tp, aside in state.aside.items() if not aside.waiting}
        if state.cancels and state.cancels.drop_passed(positions, state.owns):
            state.outbox.wanted = True
        if due or state.outbox.wanted:
            self._hooks.changed()
