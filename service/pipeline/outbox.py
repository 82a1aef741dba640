"""What a lane writes with its next turn, where to, and what it knows of calls set aside.

Knows nothing of how any of it changes (state.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

from service.core.aside import Why
from service.core.calls import Call, Place, Record, bytes_of
from service.core.facts import CallsParked, Fact
from service.core.outcomes import Entry, Failure, Results, dead_letter
from service.ports import TopicPartition, Write

OUTBOX_BYTES_MAX = 8 * 1024 * 1024
OUTBOX_RECORDS_MAX = 5_000
"""So that a backlog of events that only move, or only fail, is taken in bounded transactions. What
others sealed and what was answered waits for the turn's end: so many records take some 0.2 s."""


Taken = tuple[bytes, Sequence[Call], Sequence[str | None] | None]
"""(`template_of` its acceptance, calls of one batch, their uuids or None where there are none)"""


@dataclass(slots=True)
class Outbox:
    """What the next turn will write, and what will be told once it is durable."""

    writes: dict[TopicPartition, list[Write]] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    """What the provider took over, by batch: its results are made when they are written."""
    done: dict[TopicPartition, list[int]] = field(default_factory=dict)
    """Offsets of those results' events, to be finished all at once when a turn takes them."""
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

    def accepted(self, taken: Taken, offsets: Mapping[TopicPartition, Sequence[int]]) -> None:
        """Calls of one batch were taken over; their events lie at `offsets`."""
        self.taken.append(taken)
        for tp, done in offsets.items():
            self.done.setdefault(tp, []).extend(done)

    def tell_parked(self, flow_id: str, why: Why, fresh: Sequence[bool]) -> None:
        """Tell of calls set aside; `fresh` is whether each was not before.

        A round parks call by call: one fact for all of them is enough.
        """
        count, again = sum(fresh), len(fresh) - sum(fresh)
        before = self.facts[-1] if self.facts else None
        if isinstance(before, CallsParked) and (before.flow_id, before.why) == (flow_id, why):
            self.facts.pop()
            count, again = count + before.count, again + before.again
        self.facts.append(CallsParked(flow_id, why, count, again))

    def __bool__(self) -> bool:
        return self.wanted or bool(self.writes) or bool(self.taken)


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
        self, taken: Iterable[Taken], replays: Collection[str]
    ) -> dict[TopicPartition, Results]:
        """The results of all that a turn writes, batch by batch; rendered on each iteration."""
        # The source's partition is a function of the event's key, so one key stays together.
        partitions = self.results_partitions
        parts: dict[int, list[Entry]] = defaultdict(list)
        for template, calls, uuids in taken:
            for call, uuid in zip(calls, uuids or repeat(None)):  # noqa: B905 - endless
                parts[call.record.partition % partitions].append((template, call, uuid))
        return {(self.results, each): Results(some, replays) for each, some in parts.items()}

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
