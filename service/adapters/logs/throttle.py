"""Bounds how many lines of one kind are written.

Knows nothing of lines, nor of a clock.
"""

from __future__ import annotations


class Throttle:
    """Admits at most `lines_max` in each window, and counts what it did not admit."""

    def __init__(self, lines_max: int, window_seconds: float = 1.0) -> None:
        self._lines_max = lines_max
        self._window_seconds = window_seconds
        self._window_ends = float("-inf")
        self._admitted = 0
        self._suppressed = 0

    def admits(self, now: float) -> bool:
        """Whether one more may be written now."""
        if now >= self._window_ends:
            self._window_ends = now + self._window_seconds
            self._admitted = 0
        if self._admitted >= self._lines_max:
            self._suppressed += 1
            return False
        self._admitted += 1
        return True

    def take_suppressed(self) -> int:
        """How many were not admitted since this was last asked."""
        taken, self._suppressed = self._suppressed, 0
        return taken
