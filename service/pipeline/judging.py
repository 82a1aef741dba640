"""Asks the core what an answer means for a batch, and says how the attempt ended.

Knows nothing of what follows from it (settling.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from service.core.calls import Call
from service.core.facts import RequestEnded
from service.core.times import day_of
from service.core.verdicts import (
    Accepted,
    Answer,
    Attempt,
    End,
    History,
    NotSent,
    Refused,
    Request,
    Response,
    RetrySame,
    Shift,
    Verdict,
    judge,
)
from service.pipeline.batch import Batch
from service.pipeline.flows import Flows
from service.settings import Settings


class Identifiers(Sequence[bytes]):
    """Those of a batch's calls, made only if an answer names calls."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = calls

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[bytes]:
        return (call.identifier for call in self._calls)

    def __getitem__(self, at: Any) -> Any:
        return self._calls[at].identifier


def verdict_on(
    batch: Batch, answer: Answer, seconds: float, flows: Flows, settings: Settings, wall: float
) -> Verdict:
    """The verdict on an attempt that began `seconds` before `wall` (since the epoch)."""
    saved, provider = batch.saved, settings.provider
    history = History(
        saved.attempts,
        saved.mint,
        saved.tailed,
        shifted=saved.recipe.shift_time is not None,
        checksum_confirms=provider.checksum_confirms,
    )
    days = [extra.start_day for extra in batch.extras if extra.start_day is not None]
    days += batch.own_days
    request = Request(
        Identifiers(batch.calls),
        wall - seconds,
        wall,
        min(days, default=None),
        flows.flow(batch.flow_id).own_security_id,
        batch.previous_security_id,
    )
    return judge(provider.profile, history, request, answer)


def fact_of(batch: Batch, answer: Answer, verdict: Verdict, seconds: float) -> RequestEnded:
    """What is told of an attempt; call it before the verdict is applied."""
    if isinstance(answer, Response):
        code = f"http_{answer.status}" if verdict.code is None else str(verdict.code)
    else:
        code = "not_sent" if isinstance(answer, NotSent) else "no_answer"
    return RequestEnded(
        batch.id,
        batch.flow_id,
        len(batch.calls),
        batch.attempts_made + 1,
        code,
        seconds,
        verdict.message,
    )


def attempt_of(verdict: Verdict, wall: float) -> Attempt | None:
    """What must be remembered of an answer, should its turn never commit; None if nothing."""
    match verdict:
        case RetrySame() | Refused() | Shift():
            return verdict.attempt
        case Accepted():
            return None
        case _:
            # Whatever a 201 says afterwards, it is no proof that every call was taken.
            return Attempt(End.DOUBTFUL, verdict.code, day_of(wall))
