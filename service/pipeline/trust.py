"""What answers have shown of accounts and flows: proven, in doubt, or held.

Knows nothing of what becomes of the batch that was answered (settling.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from service.core.facts import HoldChanged
from service.core.flood import Tripped
from service.core.holds import EVERY_ACCOUNT, HoldState
from service.core.verdicts import Accepted, Attempt, End, Fates, Hold, Scope, Verdict
from service.pipeline.batch import Batch
from service.pipeline.state import LaneState

PROVING_CODES = {201, 205, 209, 402}
"""Answers that show, like an acceptance does, that url, account and flow are right."""
ACCOUNT_IS_RIGHT = {Scope.CALL, Scope.BATCH, Scope.FLOW}
"""An answer that speaks of no more than these has passed the account's checks."""
DOUBTS_MAX = 5
"""Ambiguous attempts of a flow in a row, of whichever batches, that hold it or its account."""
FLOOD_BREAKER = "the flood breaker"
HELD_FLOWS_MAX = 1000
"""So that a checkpoint never outgrows its record; with more the account is held."""


class Trust:
    """Keeps a lane's holds, and what it takes to begin and to end one."""

    def __init__(
        self, state: LaneState, held: Callable[[str], None], released: Callable[[str | None], None]
    ) -> None:
        """Nothing is known yet.

        Args:
            state: of the lane.
            held: told a flow that is held from now on.
            released: told a flow whose hold has ended, or None for an account's.
        """
        self._state = state
        self._held = held
        self._released = released
        self._doubts: dict[str, tuple[int, int]] = {}
        """By flow: ambiguous attempts in a row, and the account's count of acceptances before."""
        self._accepted: dict[str, int] = {}
        """By account: batches of which something was accepted."""

    def learn(self, batch: Batch, verdict: Verdict) -> None:
        """Take from a verdict what it shows of the account and the flow."""
        proves = isinstance(verdict, Accepted | Fates) or verdict.code in PROVING_CODES
        if proves:
            self._state.proven.add(batch.account)
            self._state.proving.discard(batch.flow_id)
        if proves or verdict.scope in ACCOUNT_IS_RIGHT:
            self._release(batch, batch.flow_id if proves else None)
        if isinstance(verdict, Accepted) or (
            isinstance(verdict, Fates) and any(fate.kind == "accepted" for fate in verdict.fates)
        ):
            self._doubts.pop(batch.flow_id, None)
            self._accepted[batch.account] = self._accepted.get(batch.account, 0) + 1

    def doubtful(self, batch: Batch, attempt: Attempt, message: str) -> Hold | None:
        """Count an attempt that told nothing; the hold that too many in a row ask for."""
        accepted = self._accepted.get(batch.account, 0)
        count, since = self._doubts.get(batch.flow_id, (0, accepted))
        count += attempt.end is not End.REFUSED
        self._doubts[batch.flow_id] = (count, since)
        if count < DOUBTS_MAX:
            return None
        del self._doubts[batch.flow_id]
        scope: Literal["flow", "account"] = "flow" if accepted > since else "account"
        text = f"{DOUBTS_MAX} attempts in a row without a clear answer; last: {message}"
        return Hold(scope, text)

    def held(self, batch: Batch) -> bool:
        """Whether the batch's flow or account is held."""
        return self._state.holds.holds(batch.flow_id, batch.account)

    def canary_failed(self, batch: Batch) -> None:
        """An attempt told nothing: if it was a canary, the next one waits for longer."""
        if batch.canary:
            now = asyncio.get_running_loop().time()
            self._state.holds.canary_failed(batch.flow_id, batch.account, now)

    def hold(self, batch: Batch, hold: Hold, code: int | None) -> None:
        """Stop new sends of the batch's flow or account."""
        scope, text = hold.scope, hold.text
        holds = self._state.holds
        if scope == "flow" and not holds.flow(batch.flow_id) and holds.flows >= HELD_FLOWS_MAX:
            scope, text = "account", f"{HELD_FLOWS_MAX} flows are held; the last: {text}"
        name = batch.flow_id if scope == "flow" else batch.account
        self.set(HoldState(scope, name, text, self._state.now_ms(), code), canary=batch.canary)

    def set(self, hold: HoldState, *, canary: bool = False) -> None:
        """Begin a hold, or note that its `canary` failed."""
        state = self._state
        if hold.scope == "account":
            if hold.name == EVERY_ACCOUNT:
                state.proven.clear()
            state.proven.discard(hold.name)
        if not state.holds.set(hold, asyncio.get_running_loop().time(), canary=canary):
            return
        self._tell(hold, active=True)
        state.outbox.wanted = True
        if hold.scope == "flow":
            self._held(hold.name)

    def flooded(self, tripped: Tripped, account: str) -> None:
        """Too many calls of a flow fail: an operator has to look before more are spent."""
        text = (
            f"{tripped.bad} of the last {tripped.total} calls were rejected or are unconfirmed "
            "(dead_letters.flood_share): look at the dead letters, mend the cause, then release it"
        )
        now_ms = self._state.now_ms()
        self.set(HoldState("flow", tripped.flow_id, text, now_ms, by=FLOOD_BREAKER))
        if tripped.account_too:
            text = f"several flows in a row; the last: {tripped.flow_id}: {text}"
            self.set(HoldState("account", account, text, now_ms, by=FLOOD_BREAKER))

    def release(self, scope: str, name: str) -> None:
        """An operator ends holds."""
        self._tell_ended(self._state.holds.release(scope, name))

    def _release(self, batch: Batch, flow_id: str | None) -> None:
        """The account is all right, and the flow unless it is None."""
        self._tell_ended(self._state.holds.end(batch.account, flow_id))

    def _tell_ended(self, ended: list[HoldState]) -> None:
        state = self._state
        for hold in ended:
            self._tell(hold, active=False)
            state.outbox.wanted = True
            # The next batch flies alone, until one more is accepted.
            if hold.scope == "flow":
                state.proving.add(hold.name)
            elif hold.name == EVERY_ACCOUNT:
                state.proven.clear()
            else:
                state.proven.discard(hold.name)
            self._released(hold.name if hold.scope == "flow" else None)

    def _tell(self, hold: HoldState, *, active: bool) -> None:
        fact = HoldChanged(
            hold.scope, hold.name, active=active, reason=hold.reason, code=hold.code, by=hold.by
        )
        self._state.observer.tell(fact)
