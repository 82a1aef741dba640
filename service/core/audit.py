"""Compares requests with their outcomes, and says which have none or too many.

Knows nothing of topics being read: it is told of outcomes, of open work, and at last of each
request, in this order (docs/audit.md says why).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from service.core.calls import Place
from service.core.marks import (
    ONE_MORE_DEAD_LETTER,
    ONE_MORE_RESULT,
    SAID,
    SEEN,
    STANDINGS,
    Marks,
    Standing,
)
from service.core.open_work import OpenWork

NAMES_MAX = 20
"""Offenders of a kind that are named; all are counted."""

_UNSEEN = re.compile(rb"[^\x00\x10\x20\x30\x40\x50\x60\x70\x80-\xff]")
"""A mark that counts an outcome of a record that was not seen."""


class Fate(StrEnum):
    """What has become of one request."""

    RESULT = "result"
    DEAD_LETTER = "dead-letter"
    IN_BATCH = "in-batch"
    WAITING = "waiting"
    """Unread, or read and not sealed yet."""
    PARKED = "parked"
    OVERFLOW = "overflow"
    BEFORE_BEGAN = "before-lane-began"
    """Never meant to be called: its lane began behind it."""
    OUTCOMES_GONE = "outcomes-gone"
    """So old that its outcome may be gone by retention."""
    DOUBLED = "doubled"
    LOST = "lost"


OPEN = (Fate.IN_BATCH, Fate.WAITING, Fate.PARKED, Fate.OVERFLOW)

_FATES = {
    Standing.RESULT: Fate.RESULT,
    Standing.DEAD_LETTER: Fate.DEAD_LETTER,
    Standing.DOUBLED: Fate.DOUBLED,
    Standing.BATCH: Fate.IN_BATCH,
    Standing.PARKED: Fate.PARKED,
    Standing.OVERFLOW: Fate.OVERFLOW,
}
FATES = tuple(_FATES.get(standing) for standing in STANDINGS)
"""By mark; None where the ledger has to tell."""
assert _UNSEEN.fullmatch(bytes([SAID]))
assert not _UNSEEN.fullmatch(bytes([SEEN | SAID]))


@dataclass(slots=True)
class Stretch:
    """The offsets [first, end) of one partition of the requests that are audited."""

    partition: int
    first: int
    end: int
    known_end: int
    """All requests there can be an outcome of lie below it."""
    marks: Marks
    """One byte an offset."""


@dataclass(slots=True)
class Found:
    """What one reading of the requests says."""

    fates: Counter[Fate] = field(default_factory=Counter)
    oldest_ms: dict[Fate, int] = field(default_factory=dict)
    """Of the fates that are open, the time of the oldest request."""
    named: dict[Fate, list[tuple[Place, int]]] = field(default_factory=dict)
    """The first of those that are doubled, lost or open: record and its time."""


class Audit:
    """One comparison."""

    def __init__(
        self, topic: str, count: int, stretches: dict[int, Stretch], work: OpenWork
    ) -> None:
        """Nothing is compared yet.

        Args:
            topic: the requests.
            count: its partitions.
            stretches: what of it is audited, by partition.
            work: the open work of all lanes, as of after the ends of `stretches`.
        """
        self.topic = topic
        self.stretches = stretches
        self.elsewhere: Counter[str] = Counter()
        """Outcomes of requests that are not audited: `older` or `later`, or of `other`
        partitions."""
        self.orphans = 0
        self.orphans_named: list[Place] = []
        self._count = count
        self._work = work

    # What is told first

    def waits(self, source: Place, bit: int) -> None:
        """An event is in an open batch or set aside: `bit` says which."""
        stretch = self.stretches.get(source[1]) if source[0] == self.topic else None
        if stretch is not None and stretch.first <= source[2] < stretch.end:
            stretch.marks[source[2] - stretch.first] |= bit

    def result(self, source: Place) -> bool:
        """A result was found; returns whether its request is audited."""
        return self._outcome(source, ONE_MORE_RESULT)

    def dead_letter(self, source: Place) -> bool:
        """A dead letter was found; returns whether its request is audited."""
        return self._outcome(source, ONE_MORE_DEAD_LETTER)

    def _outcome(self, source: Place, one_more: bytes) -> bool:
        topic, partition, offset = source
        if topic != self.topic or not 0 <= partition < self._count or offset < 0:
            self.orphan(source)
            return False
        stretch = self.stretches.get(partition)
        if stretch is None:
            self.elsewhere["other"] += 1
            return False
        if offset >= stretch.known_end:
            self.orphan(source)
            return False
        index = offset - stretch.first
        if index < 0:
            self.elsewhere["older"] += 1
            return False
        if offset >= stretch.end:
            self.elsewhere["later"] += 1
            return False
        stretch.marks[index] = one_more[stretch.marks[index]]
        return True

    def orphan(self, source: Place) -> None:
        """An outcome is of nothing that was ever published."""
        self.orphans += 1
        if len(self.orphans_named) < NAMES_MAX:
            self.orphans_named.append(source)

    # Then the requests

    def judge(
        self,
        partition: int,
        offsets_and_times: Iterable[tuple[int, int]],
        since_ms: int,
        into: Found,
    ) -> list[Fate]:
        """The fates of records of one partition, in their order.

        Args:
            partition: of the requests.
            offsets_and_times: each record's offset and time in milliseconds.
            since_ms: outcomes that were written before it may be gone.
            into: where they are counted.
        """
        stretch = self.stretches[partition]
        marks, first, fates = stretch.marks, stretch.first, list[Fate]()
        for offset, time_ms in offsets_and_times:
            mark = marks[offset - first]
            marks[offset - first] = mark | SEEN
            fate = FATES[mark]
            if fate is None:
                fate = self._undecided((self.topic, partition), offset, time_ms, since_ms)
            fates.append(fate)
            if fate is not Fate.RESULT and fate is not Fate.DEAD_LETTER:
                self._note(into, fate, (self.topic, partition, offset), time_ms)
        into.fates.update(fates)
        return fates

    def _undecided(self, tp: tuple[str, int], offset: int, time_ms: int, since_ms: int) -> Fate:
        if offset < self._work.began(tp):
            return Fate.BEFORE_BEGAN
        if self._work.is_open(tp, offset):
            return Fate.WAITING
        return Fate.OUTCOMES_GONE if time_ms < since_ms else Fate.LOST

    @staticmethod
    def _note(into: Found, fate: Fate, place: Place, time_ms: int) -> None:
        named = into.named.setdefault(fate, [])
        if len(named) < NAMES_MAX:
            named.append((place, time_ms))
        if fate in OPEN:
            into.oldest_ms[fate] = min(time_ms, into.oldest_ms.get(fate, time_ms))

    def unseen(self, partition: int, first: int) -> Iterator[Place]:
        """Outcomes of offsets from `first` on at which no request stands; judge all of them first.

        `first` is where the partition's log begins by now.
        """
        stretch = self.stretches[partition]
        for found in _UNSEEN.finditer(stretch.marks, max(0, first - stretch.first)):
            yield (self.topic, partition, stretch.first + found.start())

    def standing(self, place: Place) -> Standing | None:
        """What is known of one request; None if it is not audited."""
        stretch = self.stretches.get(place[1]) if place[0] == self.topic else None
        if stretch is None or not stretch.first <= place[2] < stretch.end:
            return None
        return STANDINGS[stretch.marks[place[2] - stretch.first] & ~SEEN]
