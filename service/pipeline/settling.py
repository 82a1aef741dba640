"""Applies verdicts: what an answer means becomes outcomes, retries, new mints, cuts and holds.

Knows nothing of answers' bodies (core/verdicts.py judges them). Everything it decides is durable
before the next byte of the batch is sent: each change waits for a turn.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from service.core.calls import Call
from service.core.holds import HoldState
from service.core.outcomes import Acceptance, Failure
from service.core.verdicts import (
    Accepted,
    Answer,
    Attempt,
    Duplicate,
    End,
    Fate,
    Fates,
    History,
    Hold,
    NotSent,
    Pause,
    Refused,
    Remedy,
    Request,
    Response,
    RetrySame,
    Scope,
    Shift,
    Unconfirmed,
    Verdict,
    judge,
)
from service.pipeline.batch import Batch
from service.pipeline.flows import Flows
from service.pipeline.sealing import Sealer, with_history
from service.pipeline.sender import Sender
from service.pipeline.state import LaneState
from service.pipeline.turns import Turns
from service.ports import Clock, HoldChanged, RequestEnded, RetryPlanned

PROVING_CODES = {201, 205, 209, 402}
"""Answers that show, like an acceptance does, that url, account and flow are right."""
ACCOUNT_IS_RIGHT = {Scope.CALL, Scope.BATCH, Scope.FLOW}
"""An answer that speaks of no more than these has passed the account's checks."""
DOUBTS_MAX = 5
"""Ambiguous attempts of a flow in a row, of whichever batches, that hold it or its account."""
MALFORMED_ADVICE = "look for a field of these calls that this flow does not take"


class Settler:
    """Settles the flights of one lane."""

    def __init__(
        self, state: LaneState, flows: Flows, sealer: Sealer, clock: Clock, rng: random.Random
    ) -> None:
        self._state = state
        self._flows = flows
        self._settings = state.settings
        self._sealer = sealer
        self._clock = clock
        self._rng = rng
        self._unreached = 0
        """Attempts in a row that found no connection."""
        self._doubts: dict[str, tuple[int, int]] = {}
        """By flow: ambiguous attempts in a row, and the account's count of acceptances before."""
        self._accepted: dict[str, int] = {}
        """By account: batches of which something was accepted."""
        self._sender: Sender
        self._turns: Turns

    def connect(self, sender: Sender, turns: Turns) -> None:
        """Whom it hands batches back to; they know it too, hence not in the constructor."""
        self._sender, self._turns = sender, turns

    def settle(self, batch: Batch, answer: Answer, seconds: float) -> None:
        """One attempt has come to its end, `seconds` after it began."""
        saved, wall = batch.saved, self._clock.wall()
        history = History(
            saved.attempts,
            saved.mint,
            saved.tailed,
            shifted=saved.recipe.shift_time is not None,
            checksum_confirms=self._settings.provider.checksum_confirms,
        )
        days = [call.start_day for call in batch.calls if call.start_day is not None]
        days += [day for day in (batch.fill_day, batch.shift_day) if day is not None]
        request = Request(
            [call.identifier for call in batch.calls],
            wall - seconds,
            wall,
            min(days, default=None),
            self._flows.flow(batch.flow_id).own_security_id,
        )
        verdict = judge(self._settings.provider.profile, history, request, answer)
        self._tell(batch, answer, verdict, seconds)
        if not isinstance(answer, NotSent):
            self._unreached = 0
        self._apply(batch, verdict)
        self._turns.bell.ring()
        self._sender.bell.ring()

    def _apply(self, batch: Batch, verdict: Verdict) -> None:
        if verdict.pause is not None:
            self._pause(verdict.pause)
        proves = isinstance(verdict, Accepted | Fates) or verdict.code in PROVING_CODES
        if proves:
            self._sender.proven.add(batch.account)
        if proves or verdict.scope in ACCOUNT_IS_RIGHT:
            self._release_holds(batch, None)
        match verdict:
            case Accepted() | Fates():
                self._note_accepted(batch, verdict)
                self._by_fate(batch, verdict)
            case Unconfirmed():
                self._end(batch, "unconfirmed", verdict.message, verdict.code)
            case Duplicate():
                self._end(batch, "duplicate", verdict.message, verdict.code)
            case RetrySame():
                self._again(batch, verdict)
            case Refused():
                self._refused(batch, verdict)
            case Shift():
                self._state.shifting.add(batch.account)
                self._note(batch, verdict.attempt, counts=False)
                self._sealer.mint_anew(batch)
                self._requeue(batch, 0.0)

    # Outcomes

    def _accept(
        self,
        batch: Batch,
        calls: Sequence[Call],
        uuids: Sequence[str | None] | None,
        verdict: Accepted | Fates,
    ) -> None:
        acceptance = Acceptance(
            batch.id,
            batch.flow_id,
            verdict.request_id,
            verdict.code or 0,
            verdict.confirmation if isinstance(verdict, Accepted) else "response",
            batch.attempts_made + 1,
            self._state.now_ms(),
        )
        self._state.accepted(batch, calls, acceptance, uuids)

    def _by_fate(self, batch: Batch, verdict: Accepted | Fates) -> None:
        if isinstance(verdict, Accepted):
            self._accept(batch, batch.calls, verdict.uuids, verdict)
            self._state.close_batch(batch)
            return
        fates = list(zip(batch.calls, verdict.fates, strict=True))
        taken = [(call, fate.uuid) for call, fate in fates if fate.kind == "accepted"]
        self._accept(batch, [c for c, _ in taken], [uuid for _, uuid in taken], verdict)
        for call, fate in fates:
            if fate.kind != "accepted":
                self._fail_one(batch, call, fate, verdict)
        self._state.close_batch(batch)

    def _fail_one(self, batch: Batch, call: Call, fate: Fate, verdict: Fates) -> None:
        code = verdict.code if fate.code is None else fate.code
        message = fate.message or f"the provider refused this call with {code}"
        failure = Failure(
            fate.kind, message, self._state.now_ms(), code, request_id=verdict.request_id
        )
        self._state.failed(batch.flow_id, [call], self._with_this(failure, batch))

    def _end(self, batch: Batch, reason: str, message: str, code: int | None) -> None:
        """All calls of the batch end alike."""
        failure = Failure(reason, message, self._state.now_ms(), code)
        self._state.failed(batch.flow_id, batch.calls, self._with_this(failure, batch))
        self._state.close_batch(batch)

    @staticmethod
    def _with_this(failure: Failure, batch: Batch) -> Failure:
        """With the batch's history, this attempt counted."""
        failure = with_history(failure, batch)
        return replace(failure, attempts=failure.attempts + 1)

    # Going out again

    def _unreachable(self, batch: Batch) -> None:
        """Not a byte left: nothing is sent for a while, and no attempt is counted."""
        self._unreached += 1
        wait = self._backoff(self._unreached)
        self._rest(wait)
        self._told_again(batch, "not_sent", wait)
        self._sender.release(batch)

    def _again(self, batch: Batch, verdict: RetrySame) -> None:
        attempt = verdict.attempt
        if attempt is None:
            self._unreachable(batch)
            return
        counts = verdict.counts and not self._held(batch)
        hold = verdict.hold or self._doubtful(batch, attempt, verdict.message)
        if hold is not None:
            self._hold(batch, hold, verdict.code)
        else:
            now = asyncio.get_running_loop().time()
            self._state.holds.canary_failed(batch.flow_id, batch.account, now)
        spent_max = min(
            self._settings.retry.attempts_max,
            self._settings.retry.attempts_max
            if verdict.retries_max is None
            else verdict.retries_max + 1,
        )
        if counts and batch.saved.spent + 1 >= spent_max:
            why = f"no clear answer in {batch.attempts_made + 1} attempts; last: {verdict.message}"
            self._end(batch, "unconfirmed", why, verdict.code)
            return
        self._note(batch, attempt, counts=counts)
        wait = self._backoff(max(1, batch.saved.spent))
        self._told_again(batch, "held" if hold else "ambiguous", wait)
        self._requeue(batch, wait)

    def _doubtful(self, batch: Batch, attempt: Attempt, message: str) -> Hold | None:
        """The hold that too many ambiguous attempts of a flow in a row ask for."""
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

    def _refused(self, batch: Batch, verdict: Refused) -> None:
        single = len(batch.calls) == 1
        match verdict.remedy:
            case Remedy.BISECT if single:
                self._end(batch, "rejected", verdict.message, verdict.code)
            case Remedy.HALVE if single:
                self._end(batch, "oversize", verdict.message, verdict.code)
            case Remedy.BISECT | Remedy.HALVE:
                self._note(batch, verdict.attempt, counts=False)
                for part in self._sealer.cut(batch):
                    self._requeue(part, 0.0)
            case Remedy.RESEAL:
                self._note(batch, verdict.attempt, counts=False)
                rest = self._sealer.shed(batch)
                if rest is not None:
                    self._requeue(rest, 0.0)
            case Remedy.BACK_OFF | Remedy.PAUSE:
                self._later(batch, verdict)
            case Remedy.HOLD | Remedy.PROBE:
                self._note(batch, verdict.attempt, counts=False)
                hold = verdict.hold or Hold("flow", f"{verdict.message}; {MALFORMED_ADVICE}")
                self._hold(batch, hold, verdict.code)
                self._sealer.mint_anew(batch)
                self._requeue(batch, 0.0)

    def _later(self, batch: Batch, verdict: Refused) -> None:
        counts = verdict.remedy is Remedy.BACK_OFF and not self._held(batch)
        self._note(batch, verdict.attempt, counts=counts)
        if counts and batch.saved.spent >= self._settings.retry.attempts_max:
            self._hold(batch, Hold("flow", verdict.message), verdict.code)
        wait = self._backoff(max(1, batch.saved.spent))
        self._told_again(batch, "refused", wait)
        self._sealer.mint_anew(batch)
        self._requeue(batch, wait)

    def _note(self, batch: Batch, attempt: Attempt, *, counts: bool) -> None:
        batch.note(attempt, self._state.now_ms(), counts=counts)

    def _requeue(self, batch: Batch, wait_seconds: float) -> None:
        """Send it again after the next turn, and no sooner than in `wait_seconds`."""
        batch.durable_turn = self._state.turn + 1
        batch.due = asyncio.get_running_loop().time() + wait_seconds
        self._state.outbox.wanted = True
        self._sender.release(batch)

    def _backoff(self, failures: int) -> float:
        """Full jitter: any time up to a bound that doubles (Brooker, 2015)."""
        retry = self._settings.retry
        bound = min(retry.backoff_max_seconds, retry.backoff_seconds * 2.0 ** min(failures - 1, 30))
        return self._rng.uniform(0.0, bound)

    def _pause(self, pause: Pause) -> None:
        """The provider asks the whole budget to rest."""
        self._rest(self._backoff(1) if pause.seconds is None else pause.seconds)

    def _rest(self, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        self._sender.circuit_until = max(self._sender.circuit_until, until)

    # Holds

    def _held(self, batch: Batch) -> bool:
        return self._state.holds.holds(batch.flow_id, batch.account)

    def _hold(self, batch: Batch, hold: Hold, code: int | None) -> None:
        name = batch.flow_id if hold.scope == "flow" else batch.account
        if hold.scope == "account":
            self._sender.proven.discard(batch.account)
        state = HoldState(hold.scope, name, hold.text, self._state.now_ms(), code)
        if self._state.holds.set(state, asyncio.get_running_loop().time()):
            fact = HoldChanged(hold.scope, name, active=True, reason=hold.text, code=code)
            self._state.observer.tell(fact)

    def _note_accepted(self, batch: Batch, verdict: Accepted | Fates) -> None:
        if isinstance(verdict, Fates) and all(f.kind != "accepted" for f in verdict.fates):
            return
        self._release_holds(batch, batch.flow_id)
        self._doubts.pop(batch.flow_id, None)
        self._accepted[batch.account] = self._accepted.get(batch.account, 0) + 1

    def _release_holds(self, batch: Batch, flow_id: str | None) -> None:
        """The answer shows that the account is all right, and the flow unless it is None."""
        for hold in self._state.holds.end(batch.account, flow_id):
            fact = HoldChanged(
                hold.scope, hold.name, active=False, reason=hold.reason, code=hold.code
            )
            self._state.observer.tell(fact)

    # What is told

    def _told_again(self, batch: Batch, cause: str, wait: float) -> None:
        self._state.observer.tell(RetryPlanned(batch.id, batch.flow_id, cause, wait))

    def _tell(self, batch: Batch, answer: Answer, verdict: Verdict, seconds: float) -> None:
        if isinstance(answer, Response):
            code = f"http_{answer.status}" if verdict.code is None else str(verdict.code)
        else:
            code = "not_sent" if isinstance(answer, NotSent) else "no_answer"
        fact = RequestEnded(
            batch.id,
            batch.flow_id,
            len(batch.calls),
            batch.attempts_made + 1,
            code,
            seconds,
            verdict.message,
        )
        self._state.observer.tell(fact)
