"""The ledger of one partition: which offsets have been read, and which still lack an outcome.

Knows nothing of events or batches. It records offsets that were seen and never expects one:
transaction markers and compaction leave gaps (parallel-consumer's lesson).

Laws: `position` is the lowest open offset, or `end` if none is open; an offset is opened once, when
it is first read, and finished once; finishing what is not open raises and changes nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import msgspec

SPAN_BYTES_TRIMMED = 65_536
"""The map's finished head is cut off when it is this long, so that cutting costs little."""


class PartitionState(msgspec.Struct, frozen=True, array_like=True):
    """One partition's part of a checkpoint."""

    topic: str
    partition: int
    began: int
    """The offset at which this lane first took the partition up."""
    position: int
    end: int
    open_map: bytes
    """zlib of one byte an offset of [position, end): 1 where the outcome is still open."""
    lost: list[tuple[int, int]]
    """Ranges [first, end) that retention removed before they were read or decided."""


class Ledger:
    """Offsets of one partition. All methods take and return plain integers."""

    __slots__ = ("_base", "_cursor", "_low", "_open", "began", "lost", "partition", "topic")

    def __init__(self, topic: str, partition: int, began: int) -> None:
        self.topic = topic
        self.partition = partition
        self.began = began
        self.lost: list[tuple[int, int]] = []
        self._base = began
        self._open = bytearray()
        self._low = 0
        self._cursor = began

    @classmethod
    def restore(cls, state: PartitionState) -> Ledger:
        """A ledger as the checkpoint has it, its cursor back at the position.

        Raises:
            ValueError: the map's length is not that of its range, or it is not zlib.
        """
        ledger = cls(state.topic, state.partition, state.began)
        try:
            ledger._open = bytearray(zlib.decompress(state.open_map))
        except zlib.error as error:
            raise ValueError(f"the map of open offsets is damaged: {error}") from error
        if len(ledger._open) != state.end - state.position:
            raise ValueError("the map of open offsets does not fit its range")
        ledger._base = ledger._cursor = state.position
        ledger.lost = list(state.lost)
        return ledger

    def state(self) -> PartitionState:
        """What a successor needs."""
        low = self._seek_low()
        return PartitionState(
            self.topic,
            self.partition,
            self.began,
            self._base + low,
            self.end,
            zlib.compress(memoryview(self._open)[low:], 1),
            self.lost,
        )

    @property
    def end(self) -> int:
        """The offset after the last one that was ever read."""
        return self._base + len(self._open)

    @property
    def position(self) -> int:
        """The lowest offset without an outcome."""
        return self._base + self._seek_low()

    @property
    def cursor(self) -> int:
        """The next offset that this process has not read yet."""
        return self._cursor

    @property
    def span(self) -> int:
        """How many offsets lie between position and end."""
        return self.end - self.position

    def read(self, offsets: Sequence[int]) -> tuple[Sequence[int] | None, list[int]]:
        """Take ascending offsets, all at or above the cursor, as read.

        Returns:
            `(todo, gone)`: those that need an outcome (None means all), and open offsets below
            them that the log no longer had.
        """
        first, last = offsets[0], offsets[-1]
        if first < self._cursor:
            raise ValueError(f"offset {first} was read before (cursor {self._cursor})")
        if first >= self.end:
            gone = self.pass_over(first)
            self._open.extend(bytes(first - self.end))
            self._append(offsets, first, last)
            self._cursor = last + 1
            return None, gone
        return self._reread(offsets, last)

    def _append(self, offsets: Sequence[int], first: int, last: int) -> None:
        if last - first + 1 == len(offsets):
            self._open.extend(b"\1" * len(offsets))
            return
        start = len(self._open)
        self._open.extend(bytes(last - first + 1))
        for offset in offsets:
            self._open[start + offset - first] = 1

    def _reread(self, offsets: Sequence[int], last: int) -> tuple[list[int], list[int]]:
        end = self.end
        todo: list[int] = []
        gone: list[int] = []
        for offset in offsets:
            if offset >= end:
                break
            gone += self.pass_over(offset)
            self._cursor = offset + 1
            if self._open[offset - self._base]:
                todo.append(offset)
        fresh = [offset for offset in offsets if offset >= end]
        if fresh:
            gone += self.read(fresh)[1]
            todo += fresh
        self._cursor = last + 1
        return todo, gone

    def pass_over(self, offset: int) -> list[int]:
        """Move the cursor to `offset`; returns the open offsets that were passed over."""
        gone = []
        index = self._open.find(1, self._cursor - self._base, max(0, offset - self._base))
        while index >= 0:
            gone.append(self._base + index)
            index = self._open.find(1, index + 1, offset - self._base)
        self._cursor = max(self._cursor, offset)
        return gone

    def lose(self, first: int, end: int) -> None:
        """Note that records of [first, end) were gone before they had an outcome."""
        if self.lost and self.lost[-1][1] == first:
            first, _ = self.lost.pop()
        self.lost.append((first, end))
        if end > self.end:
            self._open.extend(bytes(end - self.end))
            self._cursor = max(self._cursor, end)

    def is_open(self, offset: int) -> bool:
        """Whether `offset` was read and has no outcome yet."""
        index = offset - self._base
        return 0 <= index < len(self._open) and self._open[index] == 1

    def finish(self, offsets: Iterable[int]) -> None:
        """The outcome of these offsets is in the transaction that is being written.

        Raises:
            ValueError: one of them is not open; then none is changed.
        """
        offsets = list(offsets)
        for offset in offsets:
            if not self.is_open(offset):
                raise ValueError(f"offset {offset} of {self.topic}-{self.partition} is not open")
        base, opened = self._base, self._open
        for offset in offsets:
            opened[offset - base] = 0

    def _seek_low(self) -> int:
        low = self._open.find(1, self._low)
        self._low = len(self._open) if low < 0 else low
        # What a restored ledger has not read again yet must stay.
        cut = min(self._low, self._cursor - self._base)
        if cut > SPAN_BYTES_TRIMMED:
            del self._open[:cut]
            self._base += cut
            self._low -= cut
        return self._low
