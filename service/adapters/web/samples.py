"""The last 15 minutes of this process, in steps of five seconds: what the page's plots show.

Knows nothing of how it is drawn. Counts are of this process alone and begin anew with it;
Prometheus has the longer story.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from service.core.facts import CallsEnded, EventRefusedFact
from service.core.listening import Listening
from service.core.status import Status

STEP_SECONDS = 5
SAMPLES_MAX = 15 * 60 // STEP_SECONDS


@dataclass(frozen=True, slots=True)
class Sample:
    """One step: counts of what happened in it, and the state at its end."""

    at_ms: int
    calls_in_window: int
    """Of the lanes that this process owned."""
    calls_per_minute: int
    """Their limit."""
    backlog: int | None
    """Events without an outcome, those set aside too; None while that is not known."""
    accepted: int = 0
    dead_letters: dict[str, int] = field(default_factory=dict)
    """By reason."""


class Samples(Listening):
    """An `Observer` that counts, and a task that takes a sample at each step."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SAMPLES_MAX)
        self._ended: Counter[str] = Counter()
        self.on = {CallsEnded: self._calls_ended, EventRefusedFact: self._event_refused}

    def _calls_ended(self, fact: CallsEnded) -> None:
        self._ended[fact.outcome] += fact.count

    def _event_refused(self, fact: EventRefusedFact) -> None:
        self._ended[fact.reason] += 1

    async def run(self, status: Callable[[], Status]) -> None:
        """Take a sample of `status` at each step, until cancelled."""
        while True:
            await asyncio.sleep(STEP_SECONDS)
            self._samples.append(self._sample(status()))

    def _sample(self, status: Status) -> Sample:
        ended, self._ended = self._ended, Counter()
        lanes = [lane for lane in status.lanes if lane.state == "owned"]
        lags = [each.lag for lane in lanes for each in lane.partitions]
        known = [lag for lag in lags if lag is not None]
        apart = sum(lane.parked_calls + lane.overflow_calls for lane in lanes)
        return Sample(
            at_ms=int(time.time() * 1000),
            calls_in_window=sum(lane.calls_in_window for lane in lanes),
            calls_per_minute=sum(lane.calls_per_minute for lane in lanes),
            backlog=apart + sum(known) if len(known) == len(lags) else None,
            accepted=ended.pop("accepted", 0),
            dead_letters=dict(ended),
        )

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples)
