"""One partition of a simulated topic: offsets, transactions, what read_committed shows.

Follows KIP-98: a record's transaction is open, committed or aborted; a marker takes an offset of
its own; nobody reads beyond the first record of the oldest open transaction (the last stable
offset). Knows nothing of clients or time.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

Header = tuple[str, bytes]


class Fate(Enum):
    """Of a transaction."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(eq=False, slots=True)
class Transaction:
    """One transaction of one producer."""

    producer: str
    epoch: int
    fate: Fate = Fate.OPEN
    logs: dict[Log, int] = field(default_factory=dict)
    """Where it wrote, and the first offset there, until its marker stands."""
    records: list[SimRecord] = field(default_factory=list)
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    """Of the consumer group, committed with it."""


@dataclass(frozen=True, slots=True)
class SimRecord:
    """One record, as aiokafka's ConsumerRecord has it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()


@dataclass(eq=False, slots=True)
class Log:
    """The records of one partition."""

    topic: str
    partition: int
    first: int = 0
    end: int = 0
    records: list[SimRecord] = field(default_factory=list)
    waiting: dict[object, asyncio.Future[None]] = field(default_factory=dict)
    """By reader: done when there may be something new to read."""
    _by: list[Transaction | None] = field(default_factory=list)
    _offsets: list[int] = field(default_factory=list)
    _pending: list[Transaction] = field(default_factory=list)
    """Transactions that wrote here and have no marker here yet, oldest first."""

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Header],
        timestamp: int,
        by: Transaction | None,
    ) -> SimRecord:
        """Write one record; outside of transactions if `by` is None."""
        record = SimRecord(self.topic, self.partition, self.end, timestamp, key, value, headers)
        self.records.append(record)
        self._by.append(by)
        self._offsets.append(self.end)
        if by is not None:
            by.records.append(record)
            if self not in by.logs:
                by.logs[self] = self.end
                self._pending.append(by)
        self.end += 1
        return record

    def mark(self, by: Transaction) -> None:
        """Write a transaction's marker, which takes an offset and shows what it wrote."""
        del by.logs[self]
        self._pending.remove(by)
        self.end += 1

    def wake(self) -> None:
        """Something may be readable that was not before."""
        if self.waiting:
            waiting, self.waiting = self.waiting, {}
            for future in waiting.values():
                if not future.done():
                    future.set_result(None)

    @property
    def stable(self) -> int:
        """The last stable offset: where read_committed ends."""
        if not self._pending:
            return self.end
        return min(by.logs[self] for by in self._pending)

    def has(self, offset: int) -> bool:
        """Whether a committed record stands at `offset` or behind it."""
        return offset < self.stable and bool(self.read(offset, 1))

    def read(self, offset: int, records_max: int) -> list[SimRecord]:
        """Committed records from `offset` on."""
        found: list[SimRecord] = []
        stable = self.stable
        for index in range(bisect_left(self._offsets, offset), len(self.records)):
            if self._offsets[index] >= stable or len(found) >= records_max:
                break
            by = self._by[index]
            if by is None or by.fate is Fate.COMMITTED:
                found.append(self.records[index])
        return found

    def last_committed(self) -> SimRecord | None:
        """The last record that read_committed shows."""
        stable = self.stable
        for index in range(len(self.records) - 1, -1, -1):
            by = self._by[index]
            shown = by is None or by.fate is Fate.COMMITTED
            if self._offsets[index] < stable and shown:
                return self.records[index]
        return None

    def delete_before(self, offset: int) -> None:
        """Retention: the log begins at `offset` now."""
        self.first = max(self.first, min(offset, self.stable))
        cut = bisect_left(self._offsets, self.first)
        del self.records[:cut], self._by[:cut], self._offsets[:cut]

    def compact(self) -> None:
        """Keep the last committed record of each key; what is not stable yet stays."""
        stable, seen = self.stable, set[bytes | None]()
        kept: list[int] = []
        for index in range(len(self.records) - 1, -1, -1):
            by = self._by[index]
            if self._offsets[index] >= stable:
                kept.append(index)
            elif by is None or by.fate is Fate.COMMITTED:
                if self.records[index].key not in seen:
                    kept.append(index)
                seen.add(self.records[index].key)
        kept.reverse()
        self.records = [self.records[index] for index in kept]
        self._by = [self._by[index] for index in kept]
        self._offsets = [self._offsets[index] for index in kept]
