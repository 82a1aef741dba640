"""Who may be sealed or sent now: slots, canaries, and what holds and calling hours leave.

Knows nothing of the limiter or the wire, and changes nothing: it looks at the lane's state and at
what waits and flies.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from operator import attrgetter

from service.core.checkpoint import Stage
from service.pipeline.batch import Batch
from service.pipeline.flows import Flows
from service.pipeline.gate import Gate
from service.pipeline.state import LaneState

FRESH_CANARY_SECONDS = 1.0
"""For a canary in no doubt to be sealed, if there is a call for it, when it is its turn."""
SINGLES_MAX = 16
"""Open canaries of one held account; then these go in turns."""
NEVER = float("inf")

_flow_id = attrgetter("flow_id")


class Permits:
    """The rules of one lane."""

    def __init__(self, state: LaneState, flows: Flows, gate: Gate) -> None:
        self.waiting: list[Batch] = []
        """Sealed batches that are durable and not under way, flows in turn."""
        self.in_flight = 0
        self._state = state
        self._flows = flows
        self._gate = gate
        self._of_flow: Counter[str] = Counter()
        self._of_account: Counter[str] = Counter()
        self.concurrency = state.settings.provider.concurrency
        """Requests that may be under way at once."""
        self._flow_share = max(1, self.concurrency // 2)

    # What flies

    def took_off(self, batch: Batch) -> None:
        """A POST of the batch begins; what else its flow has comes after the other flows'."""
        flow_id = batch.flow_id
        self.waiting.remove(batch)
        # Or the resends of a flow whose hold ended would all go before its neighbours' batches.
        if self._state.has_others(batch) and flow_id in map(_flow_id, self.waiting):
            self.waiting.sort(key=lambda other: other.flow_id == flow_id)
        self.in_flight += 1
        self._of_flow[flow_id] += 1
        self._of_account[batch.account] += 1

    def landed(self, batch: Batch) -> None:
        """It is over."""
        self.in_flight -= 1
        for counter, name in (
            (self._of_flow, batch.flow_id),
            (self._of_account, batch.account),
        ):
            counter[name] -= 1
            if not counter[name]:
                del counter[name]

    # What may be sealed

    def may_seal_any(self) -> bool:
        """False if no flow's next batch may be sealed; True says nothing of any of them.

        Asked first, because 100,000 flows that wait for one answer would each be asked in vain.
        """
        return any(map(self._account_may, self._flows.accounts))

    def _account_may(self, account: str) -> bool:
        state = self._state
        if state.holds.account_held(account):
            return state.holds.probe_at("", account) <= asyncio.get_running_loop().time()
        if account in state.proven or state.holds:
            return True
        return self._may_try(self._open_of(account=account), self._of_account[account])

    def may_seal(self, flow_id: str) -> bool:
        """Whether the flow's next batch may be sealed.

        While the flow or its account is held only a canary may, where no open batch could be it, or
        only doubtful ones and it is the turn of another.
        """
        state, account = self._state, self._flows.account(flow_id)
        holds = state.holds
        if holds.holds(flow_id, account):
            return self._may_be_canary(flow_id, account)
        if account not in state.proven:
            return self._may_try(self._open_of(account=account), self._of_account[account])
        if flow_id in state.proving:
            return self._may_try(self._open_of(flow_id=flow_id), self._of_flow[flow_id])
        unsent = 0
        if state.open_of[flow_id] and flow_id in map(_flow_id, self.waiting):
            waiting = [batch for batch in self.waiting if batch.flow_id == flow_id]
            unsent = len(waiting)
            now = asyncio.get_running_loop().time()
            if any(batch.sent and self.due(batch) <= now for batch in waiting):
                # A new batch would only wait behind them, and keep others' from its place.
                return False
        return self._has_share(flow_id, unsent) or not self._others_wait(flow_id)

    def calls_max(self, flow_id: str) -> int:
        """How many calls a batch of the flow may have now: a canary is a single call."""
        state, account = self._state, self._flows.account(flow_id)
        if state.holds.holds(flow_id, account):
            return 1
        return state.learned.calls_max(
            account, self._flows.bounds(flow_id).calls_max, state.now_ms()
        )

    def _may_be_canary(self, flow_id: str, account: str) -> bool:
        holds = self._state.holds
        if holds.probe_at(flow_id, account) > asyncio.get_running_loop().time():
            return False
        fresh_turn = holds.fresh_turn(flow_id, account)
        if not holds.account_held(account):
            return not any(
                not fresh_turn if batch.in_doubt else batch.single
                for batch in self._open_of(flow_id=flow_id)
            )
        # Single calls of different flows take turns, as long as there are not too many of them.
        singles = 0
        for batch in self._open_of(account=account):
            if batch.in_doubt:
                if not fresh_turn:
                    return False
            elif batch.single:
                singles += 1
                if batch.flow_id == flow_id or not batch.attempts_made:
                    return False
        return singles < SINGLES_MAX

    def _open_of(self, *, flow_id: str | None = None, account: str | None = None) -> list[Batch]:
        return [
            batch
            for batch in self._state.open.values()
            if batch.flow_id == flow_id or batch.account == account
        ]

    def _may_try(self, open_batches: Iterable[Batch], flying: int) -> bool:
        """Whether what is not proven may have another batch: one flies while one backs off."""
        tried = 0
        for batch in open_batches:
            if batch.saved.stage in (Stage.REFUSED, Stage.SUSPECT):
                continue
            if self._state.holds.flow(batch.flow_id) is not None:
                # It waits for its flow, which says nothing of the others.
                continue
            if batch.previous_security_id and batch.tried:
                # What it hears may be of that security-id alone.
                continue
            if not batch.sent:
                return False
            tried += batch.tried
        return flying == 0 and tried <= 1

    def _has_share(self, flow_id: str, unsent: int = 0) -> bool:
        return self._of_flow[flow_id] + unsent < self._flow_share

    def _others_wait(self, flow_id: str) -> bool:
        """Whether another flow has something that could go."""
        now = asyncio.get_running_loop().time()
        return self._state.batcher.others_ready(flow_id) or any(
            batch.flow_id != flow_id and self.due(batch) <= now for batch in self.waiting
        )

    # What may be sent

    def due(self, batch: Batch) -> float:
        """Loop time from which the batch may be sent; never, while something must change before."""
        holds, due = self._state.holds, batch.due
        if not (holds or batch.saved.stage or batch.saved.attempts):
            return due
        if batch.saved.stage is Stage.REFUSED:
            return NEVER
        if batch.saved.stage is Stage.SUSPECT and not batch.in_doubt and self._has_better(batch):
            return NEVER
        if holds.holds(batch.flow_id, batch.account):
            if not batch.in_doubt and len(batch.calls) > 1:
                return NEVER
            due = max(due, holds.probe_at(batch.flow_id, batch.account))
            gives_way = (
                holds.fresh_turn(batch.flow_id, batch.account)
                if batch.in_doubt
                else batch.attempts_made and holds.account_held(batch.account)
            )
            if gives_way:
                due += FRESH_CANARY_SECONDS
        if batch.in_doubt and self._flows.hours(batch.flow_id) is not None:
            due = max(due, self._hours_due(batch))
        return due

    def _hours_due(self, batch: Batch) -> float:
        """Loop time at which all calls of the batch may be called."""
        openings = [at for call in batch.calls if (at := self._gate.opening(call)) is not None]
        if not openings:
            return 0.0
        wait = max(openings) - self._state.now_ms() / 1000
        return asyncio.get_running_loop().time() + max(0.0, wait)

    def _has_better(self, batch: Batch) -> bool:
        """Whether another call of its held flow is at hand to be the canary."""
        if self._state.holds.flow(batch.flow_id) is None:
            return False
        return self._state.batcher.has(batch.flow_id) or any(
            other is not batch and (other.in_doubt or other.single)
            for other in self._open_of(flow_id=batch.flow_id)
        )

    def slot(self, batch: Batch) -> bool:
        """Whether there is a slot for the batch."""
        state, holds = self._state, self._state.holds
        if batch.account not in state.proven or holds.account_held(batch.account):
            return self._of_account[batch.account] == 0
        if batch.flow_id in state.proving or holds.flow(batch.flow_id) is not None:
            return self._of_flow[batch.flow_id] == 0
        return self.in_flight < self.concurrency and (
            self._has_share(batch.flow_id) or not self._others_wait(batch.flow_id)
        )

    def unsent(self) -> tuple[int, int]:
        """How many batches take a slot soon and have never had one, and their calls."""
        now = asyncio.get_running_loop().time()
        unsent = [batch for batch in self.waiting if not batch.sent and self.due(batch) <= now]
        return len(unsent), sum(len(batch.calls) for batch in unsent)

    def slots_left(self) -> int:
        """Requests that could begin now."""
        return self.concurrency - self.in_flight
