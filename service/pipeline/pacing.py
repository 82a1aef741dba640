"""How long to wait after an attempt that led nowhere.

Knows nothing of batches. Failures of one kind in a row wait longer and longer.
"""

from __future__ import annotations

import random

from service.core.verdicts import Pause
from service.settings import RetrySettings

DOUBLINGS_MAX = 30
"""So that the power stays a number."""


class Pacing:
    """The waits of one lane, in seconds."""

    def __init__(self, settings: RetrySettings, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self._unreached = 0
        """Attempts in a row that found no connection."""
        self._paused = 0
        """429s in a row without a time to wait."""

    def backoff(self, failures: int) -> float:
        """Full jitter: any time up to a bound that doubles (Brooker, 2015)."""
        settings = self._settings
        doubled = settings.backoff_seconds * 2.0 ** min(failures - 1, DOUBLINGS_MAX)
        return self._rng.uniform(0.0, min(settings.backoff_max_seconds, doubled))

    def unreachable(self) -> float:
        """The provider could not be connected to."""
        self._unreached += 1
        return self.backoff(self._unreached)

    def reached(self) -> None:
        """It could."""
        self._unreached = 0

    def paused(self, pause: Pause | None) -> float | None:
        """How long the whole budget rests after this answer; None if it need not."""
        if pause is None:
            self._paused = 0
            return None
        self._paused = self._paused + 1 if pause.seconds is None else 0
        return self.backoff(self._paused) if pause.seconds is None else pause.seconds
