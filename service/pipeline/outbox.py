"""What a lane writes with its next turn, where to, and what it knows of calls set aside.

Knows nothing of how any of it changes (state.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from service.core.calls import Call, Place, Record, bytes_of
from service.core.facts import Fact
from service.core.outcomes import Acceptance, Failure, dead_letter, results
from service.ports import TopicPartition, Write

OUTBOX_BYTES_MAX = 8 * 1024 * 1024
OUTBOX_RECORDS_MAX = 5_000
"""So that a backlog of events that only move, or only fail, is taken in bounded transactions. What
others sealed and what was answered waits for the turn's end: so many records take some 0.2 s."""


@dataclass(slots=True)
class Outbox:
    """What the next turn will write, and what will be told once it is durable."""

    writes: dict[TopicPartition, list[Write]] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    wanted: bool = False
    """A turn is wanted although nothing is to be written: state changed, or the lease runs out."""
    bytes: int = 0
    """Of records that are written again as they came."""
    records: int = 0
    """Their number."""

    @property
    def full(self) -> bool:
        """Whether whoever reads should wait for the next turn."""
        return self.bytes >= OUTBOX_BYTES_MAX or self.records >= OUTBOX_RECORDS_MAX

    def again(self, records: Sequence[Record]) -> None:
        """Count records that are written again."""
        self.bytes += bytes_of(records)
        self.records += len(records)

    def __bool__(self) -> bool:
        return self.wanted or bool(self.writes)


@dataclass(frozen=True, slots=True)
class Targets:
    """Where outcomes go."""

    results: str
    results_partitions: int
    dead_letters: str
    dead_letters_partitions: int
    dead_letter_bytes_max: int
    checkpoint_bytes_max: int
    group_id: str

    def results_of(
        self,
        calls: Sequence[Call],
        acceptance: Acceptance,
        uuids: Sequence[str | None] | None,
        replays: Collection[str],
    ) -> dict[TopicPartition, list[Write]]:
        """The results of calls that were accepted together."""
        found: dict[int, list[Write]] = defaultdict(list)
        written = results(acceptance, calls, uuids, replays)
        for call, write in zip(calls, written, strict=True):
            # The source's partition is a function of the event's key, so one key stays together.
            found[call.record.partition % self.results_partitions].append(write)
        return {(self.results, partition): writes for partition, writes in found.items()}

    def dead_letter(
        self, source: Place, record: Record | None, failure: Failure, replays: Collection[str]
    ) -> tuple[TopicPartition, Write]:
        """The dead letter of one event."""
        bytes_max = self.dead_letter_bytes_max
        write = dead_letter(source, record, failure, self.group_id, bytes_max, replays)
        return (self.dead_letters, source[1] % self.dead_letters_partitions), write


@dataclass(slots=True)
class SetAside:
    """What is known of a lane's partition of calls set aside without reading it."""

    waiting: int = 0
    """Records there that are no other's copy and have no outcome."""
    unread: int = 0
    """Those of them that are not in memory."""
    held: set[int] = field(default_factory=set)
    """The offsets of those that are."""
    look_ms: float = float("inf")
    """The earliest time at which one of the unread is to be looked at."""
    oldest_ms: float = float("inf")
    """Time of the oldest event there: as the last whole round found it, or set aside since."""
    _round_ms: float = float("inf")
    """The same of what was set aside since the round began."""

    def add(self, records: Sequence[Record], look_ms: int) -> None:
        """Some more will be there from this turn on."""
        self.waiting += len(records)
        self.unread += len(records)
        self.look_ms = min(self.look_ms, look_ms)
        oldest_ms = min(record.timestamp for record in records)
        self.oldest_ms = min(self.oldest_ms, oldest_ms)
        self._round_ms = min(self._round_ms, oldest_ms)

    def begin_round(self) -> None:
        """All that waits is read now; what must go on waiting is added again."""
        self._round_ms = float("inf")

    def end_round(self) -> None:
        """All was read: what was not added since waits no more."""
        self.oldest_ms = self._round_ms
