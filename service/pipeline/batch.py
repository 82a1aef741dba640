"""A sealed batch in memory, from its seal to its outcome.

Knows nothing of connections or topics. What must survive a crash is in `saved` (checkpoint.py);
the rest can be rebuilt from it and the source records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import msgspec

from service.core.calls import PLAIN, Call, Extra, Record
from service.core.checkpoint import OpenBatch, Stage
from service.core.facts import BatchClosed, Fact
from service.core.verdicts import Attempt, End

Source = tuple[str, int, int]
"""(topic, partition, offset) of a source record"""


def mint_id(batch_id: str, mint: int) -> int:
    """The 64 bits that the tail of this mint's body spells; the same after a crash."""
    return int.from_bytes(hashlib.sha256(f"{batch_id}.{mint}".encode()).digest()[:8])


@dataclass(slots=True, eq=False)
class Batch:
    """One open batch. `body` is empty until a recovered one is rebuilt."""

    saved: OpenBatch
    account: str
    offsets: Mapping[tuple[str, int], Sequence[int]]
    """Where its records lie, by topic and partition."""
    calls: Sequence[Call] = ()
    body: bytes = b""
    due: float = 0.0
    """Loop time before which it must not be sent."""
    sent: bool = False
    """Whether this process, or an earlier owner, may have sent this mint."""
    tried: bool = False
    """Whether this owner has sent any mint of it."""
    durable_turn: int = 0
    """The turn that must be committed before the next send."""
    sources: Sequence[Source] = ()
    """Of a recovered batch, in its body's order."""
    found: dict[Source, Record] = field(default_factory=dict)
    """Records of a recovered batch, as far as they have been read again."""
    missing: set[Source] = field(default_factory=set)
    """Records of a recovered batch that the log no longer holds."""
    accepted: int = 0
    """How many of its calls the provider has taken over."""
    previous_security_id: bool = False
    """Whether its bytes hold a security-id that is no longer its flow's."""
    canary: bool = False
    """Whether its attempt under way, or its last, began under a hold."""
    traced: bool = False
    """Whether a tracing observer was told of it."""
    id: str = field(init=False)
    """The batch-id of results and dead letters."""
    flow_id: str = field(init=False)
    """The flow all its calls belong to."""
    extras: Sequence[Extra] = field(init=False)
    """Of those of its calls that have any."""

    def __post_init__(self) -> None:
        # They are asked for far more often than a batch is made.
        self.id, self.flow_id = self.saved.id, self.saved.flow_id
        self.set_calls(self.calls, self.body)

    def set_calls(self, calls: Sequence[Call], body: bytes) -> None:
        """Its calls and its bytes are these."""
        self.calls, self.body = calls, body
        self.extras = [call.extra for call in calls if call.extra is not PLAIN]

    @property
    def attempts_made(self) -> int:
        """Attempts of all its mints."""
        return self.saved.attempts_before + len(self.saved.attempts)

    @property
    def in_doubt(self) -> bool:
        """Whether an attempt of this mint may have been accepted, and nothing has settled it."""
        return any(attempt.end is not End.REFUSED for attempt in self.saved.attempts)

    @property
    def single(self) -> bool:
        """Whether it is one call that no search keeps back: unless in doubt, a canary as it is."""
        return len(self.calls) == 1 and self.saved.stage not in {Stage.REFUSED, Stage.SUSPECT}

    def facts_at_end(self) -> list[Fact]:
        """What is told once it is no more, beside what became of its calls."""
        return [BatchClosed(self.id, self.accepted)] if self.traced else []

    def note(self, attempt: Attempt, now_ms: int, *, counts: bool) -> None:
        """Add the end of an attempt that failed to this mint's history."""
        self.saved = msgspec.structs.replace(
            self.saved,
            attempts=(*self.saved.attempts, attempt),
            spent=self.saved.spent + counts,
            first_failed_ms=self.saved.first_failed_ms or now_ms,
        )

    def expired(self, wall: float, today: int) -> bool:
        """Whether any of its calls must no longer be sent, or not with these bytes."""
        return any(day < today for day in self.own_days) or any(
            extra.expired(wall, today) for extra in self.extras
        )

    @property
    def own_days(self) -> Sequence[int]:
        """Ordinals of the days of the start-times that sealing filled in or moved, if it did."""
        recipe = self.saved.recipe
        return [_day(time) for time in (recipe.fill_time, recipe.shift_time) if time is not None]

    @property
    def shift_day(self) -> int | None:
        """Ordinal of the day of the start-time that was moved, if one was."""
        moved_to = self.saved.recipe.shift_time
        return None if moved_to is None else _day(moved_to)


def _day(start_time: str) -> int:
    return date.fromisoformat(start_time[:10]).toordinal()
