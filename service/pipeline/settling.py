"""Applies verdicts: what an answer means becomes outcomes, retries, new mints, cuts and holds.

Knows nothing of answers' bodies (core/verdicts.py judges them). Everything it decides is durable
before the next byte of the batch is sent: each change waits for a turn.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

from service.core.calls import Call
from service.core.facts import RetryPlanned
from service.core.outcomes import Acceptance, Failure
from service.core.verdicts import (
    Accepted,
    Answer,
    Attempt,
    Duplicate,
    Fate,
    Fates,
    Hold,
    NotSent,
    Refused,
    Remedy,
    RetrySame,
    Shift,
    Unconfirmed,
    Verdict,
)
from service.pipeline.batch import Batch
from service.pipeline.endings import with_history
from service.pipeline.flows import Flows
from service.pipeline.heard import Heard
from service.pipeline.judging import attempt_of, fact_of, verdict_on
from service.pipeline.pacing import Pacing
from service.pipeline.sealing import Sealer
from service.pipeline.searching import Search
from service.pipeline.sender import Sender
from service.pipeline.state import LaneState
from service.pipeline.trust import Trust
from service.pipeline.turns import Turns

FLOOD_REASONS = {"rejected", "unconfirmed"}
"""Ends that say something of the flow; the others are of single events, or of operators."""
TAKES_CALLS = {205, 402}
"""Refusals that look at a call: the flow and the form are right."""


class Settler:
    """Settles the flights of one lane."""

    def __init__(
        self,
        state: LaneState,
        flows: Flows,
        sealer: Sealer,
        trust: Trust,
        heard: Heard,
        rng: random.Random,
    ) -> None:
        self._state = state
        self._flows = flows
        self._settings = state.settings
        self._sealer = sealer
        self._trust = trust
        self._heard = heard
        self._pacing = Pacing(state.settings.retry, rng)
        self._sender: Sender
        self._turns: Turns
        self._search = Search(
            state,
            sealer,
            requeue=lambda batch: self._requeue(batch, 0.0),
            unqueue=self._unqueue,
            reject=lambda batch, message, code: self._close(batch, "rejected", message, code),
            hold=trust.hold,
        )

    def connect(self, sender: Sender, turns: Turns) -> None:
        """Whom it hands batches back to; they know it too, hence not in the constructor."""
        self._sender, self._turns = sender, turns

    def settle(self, batch: Batch, answer: Answer, seconds: float, wall: float) -> None:
        """One attempt came to its end at `wall` (since the epoch), `seconds` after it began."""
        verdict = verdict_on(batch, answer, seconds, self._flows, self._settings, wall)
        self._state.observer.tell(fact_of(batch, answer, verdict, seconds))
        if not isinstance(answer, NotSent):
            self._pacing.reached()
            self._sender.answered()
        self._heard.note(batch.id, batch.saved.mint, attempt_of(verdict, wall))
        self._apply(batch, verdict)
        if verdict.code in TAKES_CALLS or isinstance(verdict, Accepted | Fates):
            self._search.passed(batch)
        self._look()

    def look(self) -> None:
        """Go on with what has changed: a search of which a part ended, a turn, a send."""
        self._look()
        self._sender.bell.ring()

    def _look(self) -> None:
        """The same, but for the send: whoever was told how an attempt ended goes on with that."""
        if self._state.search_ended:
            self._state.search_ended = False
            self._search.look()
        while self._state.tripped:
            tripped = self._state.tripped.pop()
            self._trust.flooded(tripped, self._flows.account(tripped.flow_id))
        self._turns.bell.ring()

    def _apply(self, batch: Batch, verdict: Verdict) -> None:
        pause = self._pacing.paused(verdict.pause)
        if pause is not None:
            self._sender.pause(pause, f"the provider asks for a pause: {verdict.message}")
        self._trust.learn(batch, verdict)
        match verdict:
            case Accepted() | Fates():
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
        self._fail(batch, [call], self._with_this(failure, batch))

    def _end(self, batch: Batch, reason: str, message: str, code: int | None) -> None:
        """All calls of the batch end alike, by the attempt that is being settled."""
        failure = Failure(reason, message, self._state.now_ms(), code)
        self._fail(batch, batch.calls, self._with_this(failure, batch))
        self._state.close_batch(batch)

    def _close(self, batch: Batch, reason: str, message: str, code: int | None) -> None:
        """All calls of the batch end alike, by attempts that are noted already."""
        failure = Failure(reason, message, self._state.now_ms(), code)
        self._fail(batch, batch.calls, with_history(failure, batch))
        self._state.close_batch(batch)

    def _fail(self, batch: Batch, calls: Sequence[Call], failure: Failure) -> None:
        state = self._state
        state.failed(batch.flow_id, calls, failure)
        if failure.reason in FLOOD_REASONS:
            first_time = sum(not state.is_replayed(call) for call in calls)
            state.count_flood(batch.flow_id, batch.account, first_time, first_time)

    @staticmethod
    def _with_this(failure: Failure, batch: Batch) -> Failure:
        """With the batch's history, this attempt counted."""
        failure = with_history(failure, batch)
        return replace(failure, attempts=failure.attempts + 1)

    # Going out again

    def _unreachable(self, batch: Batch, message: str) -> None:
        """Not a byte left: nothing is sent for a while, and no attempt is counted."""
        wait = self._pacing.unreachable()
        self._sender.rest(wait, f"the provider cannot be reached: {message}")
        self._told_again(batch, "not_sent", wait)
        self._sender.release(batch)

    def _again(self, batch: Batch, verdict: RetrySame) -> None:
        attempt = verdict.attempt
        if attempt is None:
            self._unreachable(batch, verdict.message)
            return
        counts = verdict.counts and not self._trust.held(batch)
        hold = verdict.hold or self._trust.doubtful(batch, attempt, verdict.message)
        if hold is not None:
            self._trust.hold(batch, hold, verdict.code)
        else:
            self._trust.canary_failed(batch)
        spent_max = min(
            self._settings.retry.attempts_max,
            self._settings.retry.attempts_max
            if verdict.retries_max is None
            else verdict.retries_max + 1,
        )
        spent = counts and batch.saved.spent + 1 >= spent_max
        if spent and verdict.hold_at_end is not None:
            self._trust.hold(batch, verdict.hold_at_end, verdict.code)
        elif spent:
            why = f"no clear answer in {batch.attempts_made + 1} attempts; last: {verdict.message}"
            self._end(batch, "unconfirmed", why, verdict.code)
            return
        self._note(batch, attempt, counts=counts)
        wait = self._pacing.backoff(max(1, batch.saved.spent))
        self._told_again(batch, "held" if hold else "ambiguous", wait)
        self._requeue(batch, wait)

    def _unqueue(self, batch: Batch) -> bool:
        return self._sender.unqueue(batch)

    def _refused(self, batch: Batch, verdict: Refused) -> None:
        match verdict.remedy:
            case Remedy.BISECT | Remedy.HALVE:
                self._cut(batch, verdict)
            case Remedy.RESEAL:
                self._note(batch, verdict.attempt, counts=False)
                rest = self._sealer.shed(batch)
                if rest is not None:
                    self._requeue(rest, 0.0)
            case Remedy.BACK_OFF | Remedy.PAUSE:
                self._later(batch, verdict)
            case Remedy.PROBE:
                self._note(batch, verdict.attempt, counts=False)
                self._search.refused(batch, verdict)
            case Remedy.HOLD:
                self._note(batch, verdict.attempt, counts=False)
                assert verdict.hold is not None, "every row that holds says whom"
                self._trust.hold(batch, verdict.hold, verdict.code)
                self._sealer.mint_anew(batch)
                self._requeue(batch, 0.0)

    def _cut(self, batch: Batch, verdict: Refused) -> None:
        """Something is wrong with some of the calls, or with their number."""
        halve, calls = verdict.remedy is Remedy.HALVE, len(batch.calls)
        if calls == 1:
            self._end(batch, "oversize" if halve else "rejected", verdict.message, verdict.code)
            return
        self._note(batch, verdict.attempt, counts=False)
        if halve:
            self._state.learned.lower(batch.account, calls, self._state.now_ms())
        for part in self._sealer.cut(batch, (calls + 1) // 2):
            self._requeue(part, 0.0)

    def _later(self, batch: Batch, verdict: Refused) -> None:
        asked_to_wait = verdict.remedy is Remedy.PAUSE or verdict.pause is not None
        counts = not asked_to_wait and not self._trust.held(batch)
        self._note(batch, verdict.attempt, counts=counts)
        if counts and batch.saved.spent >= self._settings.retry.attempts_max:
            self._trust.hold(batch, Hold("flow", verdict.message), verdict.code)
        wait = self._pacing.backoff(max(1, batch.saved.spent))
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

    # What is told

    def _told_again(self, batch: Batch, cause: str, wait: float) -> None:
        self._state.observer.tell(RetryPlanned(batch.id, batch.flow_id, cause, wait))
