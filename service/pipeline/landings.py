"""Answers that have come and are not settled yet: acceptances amid a backlog, a few together.

Knows nothing of what an answer means (settling.py). What is touched once in half a millisecond is
cold, so the second answer of several costs less than the first (docs/decisions/023).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.core.answers import looks_accepted
from service.core.verdicts import Answer, Response
from service.pipeline.batch import Batch
from service.pipeline.state import LaneState

SETTLE_SECONDS = 0.05
"""An answer that may wait is settled by then."""

Landing = tuple[Batch, Answer, float, float]
"""(batch, its answer, how many seconds that took, when it came: since the epoch)"""
Settle = Callable[[Batch, Answer, float, float], None]
"""Told of a landing, field by field."""


class Landings:
    """Those of one lane, in the order in which they came."""

    def __init__(self, state: LaneState, together_max: int, settle: Settle) -> None:
        """`together_max`: with so many none waits any longer."""
        self._state = state
        self._together_max = together_max
        self._settle = settle
        self._time = asyncio.get_running_loop().time
        self._waiting: list[Landing] = []
        self._due = 0.0
        """Loop time at which they are settled at the latest."""

    def add(self, landing: Landing, *, may_wait: bool) -> bool:
        """An answer has come; it waits only if `may_wait` and nothing depends on it.

        Returns:
            Whether it is the first that waits: somebody must call `settle` in time.
        """
        self._waiting.append(landing)
        if len(self._waiting) >= self._together_max or not (may_wait and self._may_wait(landing)):
            self.settle()
        elif len(self._waiting) == 1:
            self._due = self._time() + SETTLE_SECONDS
            return True
        return False

    def _may_wait(self, landing: Landing) -> bool:
        (batch, answer, _, _), state = landing, self._state
        return (
            not (state.holds or state.cancels or state.proving)
            and batch.account in state.proven
            and not (batch.saved.attempts or batch.saved.stage)
            and isinstance(answer, Response)
            and looks_accepted(answer)
        )

    def due_in(self) -> float | None:
        """Seconds until `settle` must be called; None while nothing waits."""
        return max(0.0, self._due - self._time()) if self._waiting else None

    def settle(self) -> None:
        """Settle all that wait."""
        waiting, self._waiting = self._waiting, []
        for landing in waiting:
            self._settle(*landing)
