"""The ledger of one partition: which offsets have been read, and which still lack an outcome.

Knows nothing of events or batches. It records offsets that were seen and never expects one:
transaction markers and compaction leave gaps (parallel-consumer's lesson).

Laws: `position` is the lowest open offset, or `end` if none is open; an offset is opened once, when
it is first read, and finished once; finishing what is not open raises and changes nothing. What it
holds grows with the open offsets, not with the distance between the first and the last of them.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence

import msgspec

from service.core.packing import pack

CHUNK_BITS = 13
CHUNK = 1 << CHUNK_BITS
"""Offsets that share a map; a map without an open offset is dropped."""


class PartitionState(msgspec.Struct, frozen=True, array_like=True):
    """One partition's part of a checkpoint."""

    topic: str
    partition: int
    began: int
    """The offset at which this lane first took the partition up."""
    position: int
    end: int
    open_maps: list[tuple[int, bytes]]
    """Ascending `(offset // CHUNK, zlib of one byte an offset: 1 where the outcome is open)`."""
    lost: list[tuple[int, int]]
    """Ranges [first, end) that retention removed before they were read or decided."""


class _Map:
    """One chunk of offsets."""

    __slots__ = ("marks", "open", "packed")

    def __init__(self) -> None:
        self.marks = bytearray(CHUNK)
        self.open = 0
        self.packed: bytes | None = None
        """As a checkpoint holds it; None since it was changed."""


class Ledger:
    """Offsets of one partition. All methods take and return plain integers."""

    __slots__ = ("_cursor", "_end", "_maps", "began", "lost", "partition", "topic")

    def __init__(self, topic: str, partition: int, began: int) -> None:
        self.topic = topic
        self.partition = partition
        self.began = began
        self.lost: list[tuple[int, int]] = []
        self._maps: dict[int, _Map] = {}
        """By number of the chunk, ascending: offsets are opened in their order."""
        self._end = self._cursor = began

    @classmethod
    def restore(cls, state: PartitionState) -> Ledger:
        """A ledger as the checkpoint has it, its cursor back at the position.

        Raises:
            ValueError: a map is not of its range, or is no zlib.
        """
        ledger = cls(state.topic, state.partition, state.began)
        for number, packed in state.open_maps:
            ledger._maps[number] = _unpacked(packed)
        ledger._end = state.end
        ledger.lost = list(state.lost)
        numbers = list(ledger._maps)
        if numbers != sorted(numbers) or ledger.position != state.position:
            raise ValueError("the maps of open offsets do not fit their range")
        if numbers and any(
            ledger._maps[numbers[-1]].marks[max(0, state.end - numbers[-1] * CHUNK) :]
        ):
            raise ValueError("the maps of open offsets do not fit their range")
        ledger._cursor = state.position
        return ledger

    def state(self) -> PartitionState:
        """What a successor needs."""
        maps = []
        for number, each in self._maps.items():
            if each.packed is None:
                each.packed = pack(each.marks)
            maps.append((number, each.packed))
        return PartitionState(
            self.topic, self.partition, self.began, self.position, self._end, maps, self.lost
        )

    @property
    def end(self) -> int:
        """The offset after the last one that was ever read."""
        return self._end

    @property
    def position(self) -> int:
        """The lowest offset without an outcome."""
        for number, each in self._maps.items():
            return number * CHUNK + each.marks.index(1)
        return self._end

    @property
    def cursor(self) -> int:
        """The next offset that this process has not read yet."""
        return self._cursor

    @property
    def maps(self) -> int:
        """How many maps are held: what the ledger costs."""
        return len(self._maps)

    @property
    def open(self) -> int:
        """How many offsets have no outcome."""
        return sum(each.open for each in self._maps.values())

    @property
    def wanted(self) -> int:
        """The next offset that has to be read: all between the cursor and it are done."""
        return next(iter(self._open_in(self._cursor, self._end)), max(self._cursor, self._end))

    def rewind(self) -> None:
        """Read again from the position on."""
        self._cursor = self.position

    def read(self, offsets: Sequence[int]) -> tuple[Sequence[int] | None, list[int]]:
        """Take ascending offsets, all at or above the cursor, as read.

        Returns:
            `(todo, gone)`: those that need an outcome (None means all), and open offsets below
            them that the log no longer had.
        """
        first, last = offsets[0], offsets[-1]
        if first < self._cursor:
            raise ValueError(f"offset {first} was read before (cursor {self._cursor})")
        if first >= self._end:
            gone = self.pass_over(first)
            self._open(offsets)
            self._end = self._cursor = last + 1
            return None, gone
        return self._reread(offsets, last)

    def _open(self, offsets: Sequence[int]) -> None:
        at, count = 0, len(offsets)
        while at < count:
            number = offsets[at] >> CHUNK_BITS
            base = number << CHUNK_BITS
            each = self._maps.get(number)
            if each is None:
                each = self._maps[number] = _Map()
            each.packed = None
            # Most reads are without gaps: then a whole stretch is marked at once.
            stretch = min(count - at, base + CHUNK - offsets[at])
            if offsets[at + stretch - 1] - offsets[at] == stretch - 1:
                low = offsets[at] - base
                each.marks[low : low + stretch] = b"\1" * stretch
                each.open += stretch
                at += stretch
                continue
            while at < count and offsets[at] < base + CHUNK:
                each.marks[offsets[at] - base] = 1
                each.open += 1
                at += 1

    def _reread(self, offsets: Sequence[int], last: int) -> tuple[list[int], list[int]]:
        end = self._end
        todo: list[int] = []
        gone: list[int] = []
        for offset in offsets:
            if offset >= end:
                break
            gone += self.pass_over(offset)
            self._cursor = offset + 1
            if self.is_open(offset):
                todo.append(offset)
        fresh = [offset for offset in offsets if offset >= end]
        if fresh:
            gone += self.read(fresh)[1]
            todo += fresh
        self._cursor = last + 1
        return todo, gone

    def _open_in(self, first: int, end: int) -> Iterable[int]:
        """Open offsets of [first, end), ascending."""
        for number, each in list(self._maps.items()):
            base = number << CHUNK_BITS
            if base + CHUNK <= first:
                continue
            if base >= end:
                return
            index = each.marks.find(1, max(0, first - base), end - base)
            while index >= 0:
                yield base + index
                index = each.marks.find(1, index + 1, end - base)

    def pass_over(self, offset: int) -> list[int]:
        """Move the cursor to `offset`; returns the open offsets that were passed over."""
        if offset <= self._cursor:
            return []
        gone = list(self._open_in(self._cursor, min(offset, self._end)))
        self._cursor = offset
        return gone

    def lose(self, first: int, end: int) -> None:
        """Note that records of [first, end) were gone before they had an outcome."""
        if self.lost and self.lost[-1][1] == first:
            first, _ = self.lost.pop()
        self.lost.append((first, end))
        if end > self._end:
            self._end = end
            self._cursor = max(self._cursor, end)

    def is_open(self, offset: int) -> bool:
        """Whether `offset` was read and has no outcome yet."""
        each = self._maps.get(offset >> CHUNK_BITS)
        return each is not None and each.marks[offset & (CHUNK - 1)] == 1

    def finish(self, offsets: Iterable[int]) -> None:
        """The outcome of these offsets is in the transaction that is being written.

        Raises:
            ValueError: one of them is not open; then none is changed.
        """
        wanted = sorted(offsets)
        done: list[tuple[int, _Map, list[int]]] = []
        at = 0
        while at < len(wanted):
            number = wanted[at] >> CHUNK_BITS
            after = bisect_left(wanted, (number + 1) << CHUNK_BITS, at)
            each, base = self._maps.get(number), number << CHUNK_BITS
            indices = [offset - base for offset in wanted[at:after]]
            if each is None or not all(map(each.marks.__getitem__, indices)):
                missing = next(offset for offset in wanted[at:after] if not self.is_open(offset))
                raise ValueError(f"offset {missing} of {self.topic}-{self.partition} is not open")
            done.append((number, each, indices))
            at = after
        if len(set(wanted)) < len(wanted):
            raise ValueError(f"an offset of {self.topic}-{self.partition} is finished twice")
        for number, each, indices in done:
            for index in indices:
                each.marks[index] = 0
            each.open -= len(indices)
            each.packed = None
            if not each.open:
                del self._maps[number]


def _unpacked(packed: bytes) -> _Map:
    each = _Map()
    try:
        each.marks = bytearray(zlib.decompress(packed))
    except zlib.error as error:
        raise ValueError(f"a map of open offsets is damaged: {error}") from error
    each.open, each.packed = each.marks.count(1), packed
    if len(each.marks) != CHUNK or not each.open:
        raise ValueError("a map of open offsets does not fit its range")
    return each
