"""How many calls a request may have, as the provider's refusals have shown, by account.

Knows nothing of batches. A 303 or an HTTP 413 names no number, so the bound is found by halving;
it grows back slowly, for what was lowered by accident must not stay low for ever.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

GROWTH_PER_HOUR = 0.1
"""Of the bound as it was lowered: at worst one more refusal in some hours."""
HOUR_MS = 3_600_000


class Learned(msgspec.Struct, frozen=True, array_like=True):
    """What one account's provider has shown. Part of the checkpoint."""

    account: str
    calls_max: int
    since_ms: int
    """When it was last lowered."""


class LearnedBounds:
    """The bounds of all accounts of a lane."""

    def __init__(self, states: Iterable[Learned] = ()) -> None:
        self._of = {state.account: state for state in states}

    def states(self) -> list[Learned]:
        """All of them, for the checkpoint."""
        return list(self._of.values())

    def lower(self, account: str, refused_calls: int, now_ms: int) -> None:
        """A request with so many calls was too large: half of it may be right."""
        calls_max = max(1, refused_calls // 2)
        before = self._of.get(account)
        if before is None or calls_max < self._grown(before, now_ms):
            self._of[account] = Learned(account, calls_max, now_ms)

    def calls_max(self, account: str, configured: int, now_ms: int) -> int:
        """How many calls a request of the account may have now; never more than `configured`."""
        learned = self._of.get(account)
        if learned is None:
            return configured
        grown = self._grown(learned, now_ms)
        if grown >= configured:
            del self._of[account]
            return configured
        return grown

    @staticmethod
    def _grown(learned: Learned, now_ms: int) -> int:
        hours = max(0, now_ms - learned.since_ms) / HOUR_MS
        return int(learned.calls_max * (1 + GROWTH_PER_HOUR * hours))
