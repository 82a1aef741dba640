"""Decides where a call goes that is not in a batch: to the batcher, aside, or to its end.

Knows nothing of requests. Each call passes here when its event is read, and again when something
has changed for its flow: a hold began, its calling hours are over, an operator cancelled it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable

import msgspec

from service.core.aside import Why, held_ms, note_of
from service.core.calls import Call
from service.core.codec import start_time_in
from service.core.holds import HoldState
from service.core.hours import opens_at
from service.core.times import epoch_seconds
from service.pipeline.batch import Batch
from service.pipeline.endings import cancelled, exhausted
from service.pipeline.flows import Flows
from service.pipeline.state import LaneState
from service.ports import Clock

CALLS_AT_ONCE = 2_000
"""Some 20 ms of work, so that answers and heartbeats are not kept waiting."""
LOOK_SECONDS_MAX = 3600.0
"""A parked call is looked at this often at least."""


class Gate:
    """Admits calls of one lane."""

    def __init__(self, state: LaneState, flows: Flows, clock: Clock) -> None:
        self._state = state
        self._flows = flows
        self._clock = clock
        self._pending: deque[Call] = deque()

    def admit(self, calls: Iterable[Call]) -> None:
        """Calls just read, or of a batch that was never sent and is no more."""
        state, now = self._state, asyncio.get_running_loop().time()
        by_flow: dict[str, list[Call]] = defaultdict(list)
        for call in calls:
            by_flow[call.flow_id].append(call)
        all_open = not (state.cancels or state.holds or self._flows.any_hours)
        extend = state.batcher.extend
        for flow_id, some in by_flow.items():
            if all_open or self._is_open(flow_id):
                extend(flow_id, some, now)
            else:
                for call in some:
                    self._admit(call, now)

    def _is_open(self, flow_id: str) -> bool:
        """Whether there is nothing to ask of the flow's calls one by one."""
        state = self._state
        return not (
            state.cancels.has(flow_id)
            or state.holds.flow(flow_id) is not None
            or self._flows.hours(flow_id) is not None
        )

    def _admit(self, call: Call, now: float) -> None:
        state, flow_id = self._state, call.flow_id
        if state.cancels and (cancel := state.cancels.of(flow_id, call.record)) is not None:
            state.failed(flow_id, [call], cancelled(cancel, state.now_ms(), call))
            return
        opening = self.opening(call)
        if opening is not None:
            state.park([call], Why.HOURS, int(opening * 1000))
            return
        hold = state.holds.flow(flow_id) if state.holds else None
        if hold is not None:
            if self.is_exhausted(call, hold):
                state.failed(flow_id, [call], exhausted(hold, state.now_ms(), call))
                return
            # One call of the flow stays at hand, to be the canary; an operator's hold has none.
            if hold.by or state.batcher.has(flow_id):
                self._park_held(call)
                return
        state.batcher.add(call, now)

    def is_exhausted(self, call: Call, hold: HoldState) -> bool:
        """Whether a call has waited for too long under holds of its flow."""
        now_ms, record = self._state.now_ms(), call.record
        if note_of(record) is None:
            waited_ms = now_ms - max(hold.since_ms, record.timestamp)
        else:
            waited_ms = held_ms(record, now_ms)
        return waited_ms >= self._state.settings.retry.park_max_seconds * 1000

    def _park_held(self, call: Call) -> None:
        """Set a call of a held flow aside until the hold is twice as old as it is now.

        All calls of a flow are due together then: with a time of its own for each of them, every
        new one would have all that wait read again.
        """
        state, retry = self._state, self._state.settings.retry
        hold, now_ms = state.holds.flow(call.flow_id), state.now_ms()
        age = 0.0 if hold is None else (now_ms - hold.since_ms) / 1000
        wait = min(LOOK_SECONDS_MAX, max(retry.park_seconds, age))
        left = max(0.0, retry.park_max_seconds - held_ms(call.record, now_ms) / 1000)
        state.park([call], Why.HOLD, now_ms + int(min(wait, left) * 1000))

    def end_exhausted(self, hold: HoldState) -> None:
        """End the call that was kept at hand, if it has waited for too long."""
        call = self._state.batcher.first(hold.name)
        if call is not None and self.is_exhausted(call, hold):
            self.again(hold.name)

    def opening(self, call: Call) -> float | None:
        """When the call's flow may be called again, if it may not be at the time it asks for."""
        hours = self._flows.hours(call.flow_id)
        if hours is None:
            return None
        wall = self._clock.wall()
        start = start_time_in(call.fragment, call.identifier) if call.fill_at < 0 else None
        asked = wall if start is None else max(wall, epoch_seconds(start, hours.zone.key))
        opening = opens_at(hours.spans, hours.zone, asked)
        # A time that is still to come is the provider's to wait for, if it is a good one.
        return None if opening == asked else opening

    def again(self, flow_id: str) -> None:
        """Something has changed for the flow: ask anew for all its calls that wait for a batch."""
        self._pending.extend(self._state.batcher.withdraw(flow_id))
        self.work()

    def work(self) -> bool:
        """Admit some of the calls that wait before the gate; True while it is worth to go on.

        A flow may have a whole window of calls, and a turn must stay small enough to commit.
        """
        now, outbox = asyncio.get_running_loop().time(), self._state.outbox
        for _ in range(min(CALLS_AT_ONCE, len(self._pending))):
            if outbox.full:
                return False
            self._admit(self._pending.popleft(), now)
        return bool(self._pending)

    def park_refused(self, batch: Batch, calls: Iterable[Call]) -> None:
        """Calls of a held flow's batch that was refused, and is no more: its history goes along."""
        for call in calls:
            self._park_held(_with_history(call, batch))

    def park_closed(self, calls: Iterable[Call], batch: Batch | None = None) -> list[Call]:
        """Set those aside whose flow must not be called now; returns the others.

        `batch` is the one they were in, if it was refused and is no more.
        """
        rest = []
        for call in calls:
            opening = self.opening(call)
            if opening is None:
                rest.append(call)
            else:
                parked = call if batch is None else _with_history(call, batch)
                self._state.park([parked], Why.HOURS, int(opening * 1000))
        return rest


def _with_history(call: Call, batch: Batch) -> Call:
    extra = msgspec.structs.replace(
        call.extra, attempts=batch.attempts_made, first_failed_ms=batch.saved.first_failed_ms
    )
    return msgspec.structs.replace(call, extra=extra)
