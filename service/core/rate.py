"""The window guard: the law that no sliding minute at the provider exceeds the share.

Knows nothing of clocks or waiting: it takes `now` (seconds, any monotonic clock) and answers.
An attempt counts from its grant until a window after its end, so whenever in between the provider
sees it arrive, the sum of every window (t - 60 s, t] stays within the share.
"""

from __future__ import annotations

import heapq
import math

import msgspec

WINDOW_SECONDS = 60.0
MARGIN_SECONDS = 0.05
"""Two clocks are compared, ours and the provider's: over a minute they drift far less than this."""

STEPS_PER_SECOND = 10
"""Attempts that leave within a tenth of a second are counted together, till its end: a minute of
small batches is then 600 rows, not thousands, for a twentieth of a second in sixty."""


class Granted(msgspec.Struct, frozen=True):
    """The send may start now."""


class Wait(msgspec.Struct, frozen=True):
    """Ask again after `seconds`, or when an attempt has ended, whichever is first."""

    seconds: float


class WindowGuard:
    """Counts calls and requests of attempts that the provider may see in one window."""

    def __init__(self, calls_max: int, requests_max: int) -> None:
        self.calls_max = calls_max
        self.requests_max = requests_max
        self._flying: dict[int, int] = {}
        self._leaving: dict[int, list[int]] = {}
        """Calls and requests that leave the window, by step."""
        self._seconds: dict[int, list[int]] = {}
        """The same by the second in which the step ends: each turn tells it."""
        self._steps: list[int] = []
        """A heap of the steps at which something leaves."""
        self._calls = 0
        self._requests = 0
        self._granted = 0

    def ask(self, calls: int, now: float, requests: int = 1) -> Granted | Wait:
        """Whether `requests` more requests with `calls` calls in all would keep the law.

        A batch larger than the whole share (recovered after the limit was lowered) goes when the
        window is empty.
        """
        self._forget(now)
        fits = (
            self._calls + calls <= self.calls_max and self._requests + requests <= self.requests_max
        )
        if fits or not (self._calls or self._requests):
            return Granted()
        if self._steps:
            return Wait(max(0.0, self._steps[0] / STEPS_PER_SECOND - now))
        return Wait(WINDOW_SECONDS)

    def grant(self, calls: int) -> int:
        """Count an attempt from now on; returns the token that `end` takes."""
        self._granted += 1
        self._flying[self._granted] = calls
        self._calls += calls
        self._requests += 1
        return self._granted

    def end(self, token: int, now: float) -> None:
        """The attempt is over; it leaves the window a minute after `now`."""
        self._leave(self._flying.pop(token), 1, now + WINDOW_SECONDS + MARGIN_SECONDS)

    def cancel(self, token: int) -> None:
        """The attempt never began: it leaves the window at once."""
        self._calls -= self._flying.pop(token)
        self._requests -= 1

    def count_until(self, calls: int, requests: int, expiry: float) -> None:
        """Count what somebody else sent, or may have sent, until `expiry`."""
        self._calls += calls
        self._requests += requests
        self._leave(calls, requests, expiry)

    def _leave(self, calls: int, requests: int, expiry: float) -> None:
        step = math.ceil(expiry * STEPS_PER_SECOND)
        if step not in self._leaving:
            self._leaving[step] = [0, 0]
            heapq.heappush(self._steps, step)
        for row in (self._leaving[step], self._in_second(step)):
            row[0] += calls
            row[1] += requests

    def tally(self, now: float) -> list[tuple[int, int, int]]:
        """`(seconds until it leaves, rounded up, calls, requests)` of all attempts that ended."""
        self._forget(now)
        self._seconds = {second: row for second, row in self._seconds.items() if any(row)}
        return [
            (math.ceil(second - now), calls, requests)
            for second, (calls, requests) in sorted(self._seconds.items())
        ]

    def used(self, now: float) -> tuple[int, int]:
        """Calls and requests that count at `now`."""
        self._forget(now)
        return self._calls, self._requests

    def _forget(self, now: float) -> None:
        while self._steps and self._steps[0] / STEPS_PER_SECOND <= now:
            step = heapq.heappop(self._steps)
            calls, requests = self._leaving.pop(step)
            self._calls -= calls
            self._requests -= requests
            row = self._in_second(step)
            row[0] -= calls
            row[1] -= requests

    def _in_second(self, step: int) -> list[int]:
        return self._seconds.setdefault(math.ceil(step / STEPS_PER_SECOND), [0, 0])
