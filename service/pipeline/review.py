"""Looks at waiting batches again: what was true at their seal may be so no longer.

Knows nothing of answers. A hold, a cancel, the calling hours or a date may have come between; a
batch that is in doubt stays whole whatever comes (provider-api.md, law 2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.core.calls import Call
from service.core.checkpoint import Stage
from service.core.holds import HoldState
from service.core.outcomes import Failure
from service.core.times import day_of
from service.pipeline.batch import Batch
from service.pipeline.endings import cancelled, exhausted, with_history
from service.pipeline.flows import Flows
from service.pipeline.gate import Gate
from service.pipeline.permits import Permits
from service.pipeline.sealing import Sealer
from service.pipeline.state import LaneState
from service.ports import Clock


class Review:
    """Reviews the batches of one lane."""

    def __init__(
        self,
        state: LaneState,
        flows: Flows,
        permits: Permits,
        sealer: Sealer,
        gate: Gate,
        clock: Clock,
        release: Callable[[Batch], None],
    ) -> None:
        """`release` takes batches that stand in the place of others."""
        self._state = state
        self._flows = flows
        self._permits = permits
        self._sealer = sealer
        self._gate = gate
        self._clock = clock
        self._release = release

    def waiting(self) -> bool:
        """Take out whatever must not go; True if a turn is needed for it."""
        if not (self._state.cancels or self._state.holds):
            return False
        stopped = [self._stopped(batch) for batch in list(self._permits.waiting)]
        return any(stopped)

    def leaving(self, batch: Batch) -> bool:
        """Just before a send: True if the batch must not go, and is gone from those that wait."""
        return self._stopped(batch) or self._overdue(batch) or self._out_of_hours(batch)

    def may_begin(self, batch: Batch) -> bool:
        """Just before the first byte: False if an operator has stopped it while it connected."""
        state = self._state
        if state.holds.stopped(batch.flow_id, batch.account):
            return False
        return not (
            state.cancels
            and any(state.cancels.of(call.flow_id, call.record) for call in batch.calls)
        )

    # Operators and holds

    def _stopped(self, batch: Batch) -> bool:
        state = self._state
        if state.cancels and any(state.cancels.of(c.flow_id, c.record) for c in batch.calls):
            self._cancel(batch)
            return True
        if batch.in_doubt or not state.holds:
            return False
        hold = state.holds.flow(batch.flow_id)
        if hold is not None:
            return self._flow_held(batch, hold)
        return state.holds.account_held(batch.account) and self._account_held(batch)

    def _cancel(self, batch: Batch) -> None:
        state, now_ms = self._state, self._state.now_ms()
        if batch.in_doubt:
            self._end_unconfirmed(batch, "an operator cancelled it while")
            return

        def end_of(call: Call) -> Failure | None:
            cancel = state.cancels.of(call.flow_id, call.record)
            return None if cancel is None else cancelled(cancel, now_ms, call)

        self._replace(batch, self._sealer.shed(batch, end_of))

    def _flow_held(self, batch: Batch, hold: HoldState) -> bool:
        """One call may stay as the canary, the others wait apart."""
        if batch.saved.stage is Stage.SUSPECT and not hold.by:
            return self._exhaust(batch, hold)
        rivals = any(
            other is not batch
            and other.flow_id == batch.flow_id
            and not other.in_doubt
            and other.single
            for other in self._state.open.values()
        )
        canary = not hold.by and not rivals
        if canary and batch.single:
            return self._exhaust(batch, hold)
        self._replace(batch, self._sealer.set_aside(batch, canary=canary))
        return True

    def _exhaust(self, batch: Batch, hold: HoldState) -> bool:
        [call] = batch.calls
        if not self._gate.is_exhausted(call, hold):
            return False
        failure = with_history(exhausted(hold, self._state.now_ms(), call), batch)
        self._permits.waiting.remove(batch)
        self._state.failed(batch.flow_id, batch.calls, failure)
        self._state.close_batch(batch)
        return True

    def _account_held(self, batch: Batch) -> bool:
        """What was never sent goes back; what was refused gives a canary, if there is no other."""
        if len(batch.calls) == 1:
            return False
        if not batch.attempts_made:
            self._permits.waiting.remove(batch)
            self._state.close_batch(batch)
            self._gate.admit(batch.calls)
            return True
        state, account = self._state, batch.account
        if state.holds.probe_at(batch.flow_id, account) > asyncio.get_running_loop().time():
            return False
        others = any(
            other.account == account and (other.in_doubt or other.single)
            for other in state.open.values()
        ) or any(self._flows.account(flow_id) == account for flow_id in state.batcher.flows())
        if others:
            return False
        self._permits.waiting.remove(batch)
        for part in self._sealer.cut(batch, 1, search=batch.saved.search, stage=batch.saved.stage):
            self._release(part)
        return True

    def _replace(self, batch: Batch, by: Batch | None) -> None:
        self._permits.waiting.remove(batch)
        if by is not None:
            self._release(by)

    # Time

    def _overdue(self, batch: Batch) -> bool:
        """End a batch, or those of its calls, whose time went by."""
        state, wall = self._state, self._clock.wall()
        first_ms = batch.saved.first_possible_ms
        memory_ms = state.settings.provider.checksum_memory_seconds * 1000
        if batch.expired(wall, day_of(wall)):
            if batch.in_doubt:
                self._end_unconfirmed(batch, "its time went by while")
            else:
                self._replace(batch, self._sealer.shed(batch))
            return True
        if batch.in_doubt and first_ms is not None and int(wall * 1000) - first_ms > memory_ms:
            self._end_unconfirmed(batch, "the provider may have forgotten its checksum while")
            return True
        return False

    def _out_of_hours(self, batch: Batch) -> bool:
        if batch.in_doubt or self._flows.hours(batch.flow_id) is None:
            return False
        if all(self._gate.opening(call) is None for call in batch.calls):
            return False
        self._replace(batch, self._sealer.close_hours(batch))
        return True

    def _end_unconfirmed(self, batch: Batch, what: str) -> None:
        failure = Failure(
            "unconfirmed",
            f"{what} an earlier send was in doubt; look it up in the provider's reports",
            self._state.now_ms(),
        )
        self._permits.waiting.remove(batch)
        self._state.failed(batch.flow_id, batch.calls, with_history(failure, batch))
        self._state.close_batch(batch)
