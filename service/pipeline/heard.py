"""Answers that this process has received: never forgotten while it lives, whoever owns the lane.

Knows nothing of batches. An owner that is replaced before its turn commits may own the lane again
later; what it heard then still decides what a 201 means (provider-api.md, 201).
"""

from __future__ import annotations

from collections import OrderedDict

from service.core.verdicts import Attempt, End

MINTS_MAX = 20_000
"""Ten times what a lane may have open."""


class Heard:
    """Ends of attempts that an answer came for, by batch id and mint."""

    def __init__(self) -> None:
        self._of: OrderedDict[tuple[str, int], list[Attempt]] = OrderedDict()

    def note(self, batch_id: str, mint: int, attempt: Attempt | None) -> None:
        """An attempt ended so; one that nothing was heard of needs no memory."""
        if attempt is None or attempt.end is End.UNANSWERED:
            return
        self._of.setdefault((batch_id, mint), []).append(attempt)
        self._of.move_to_end((batch_id, mint))
        if len(self._of) > MINTS_MAX:
            self._of.popitem(last=False)

    def merged(
        self, batch_id: str, mint: int, attempts: tuple[Attempt, ...]
    ) -> tuple[Attempt, ...]:
        """A checkpoint's history of the mint, with what only this process has heard."""
        missing = list(self._of.get((batch_id, mint), ()))
        for attempt in attempts:
            if attempt in missing:
                missing.remove(attempt)
        return (*attempts, *missing)
