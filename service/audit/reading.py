"""Reads what an audit compares.

In the order of docs/audit.md, so that nothing is missed that was settled before it was looked at.
Knows nothing of what makes a promise broken (core/audit.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from service.adapters.kafka.scan import KafkaScan, Span
from service.audit.against import Called
from service.audit.spill import marks
from service.core.aside import read_back
from service.core.audit import Audit, Stretch
from service.core.calls import Place
from service.core.letters import source_of
from service.core.marks import BATCH, OVERFLOW, PARKED
from service.core.open_work import OpenWork
from service.errors import CheckpointUnreadable
from service.ports import TopicPartition
from service.settings import TopicsSettings

CLOCKS_MS = 60_000
"""So far apart the clocks of those who write requests and outcomes may be."""
CHASES_MAX = 100
"""Of events that are set aside again while they are read; each finds fewer."""


class _Source(msgspec.Struct):
    topic: str
    partition: int
    offset: int


class _Result(msgspec.Struct):
    source: _Source


_decode_result = msgspec.json.Decoder(_Result).decode


@dataclass(frozen=True, slots=True)
class Range:
    """Which requests are audited; None is no bound."""

    since_ms: int | None = None
    until_ms: int | None = None
    partition: int | None = None
    first: int | None = None
    end: int | None = None
    """With `first`: offsets, of `partition`."""


@dataclass(slots=True)
class Stretches:
    """Which offsets of which partitions those are."""

    spans: dict[TopicPartition, Span]
    log_starts: dict[TopicPartition, int]


async def stretches(scan: KafkaScan, topic: str, count: int, wanted: Range) -> Stretches:
    """The offsets of a range, up to the last request that is committed now."""
    tps = [(topic, partition) for partition in range(count)]
    if wanted.partition is not None:
        tps = [tp for tp in tps if tp[1] == wanted.partition]
    starts, ends = await scan.starts(tps), await scan.committed_ends(tps)
    firsts = dict(starts)
    if wanted.since_ms is not None:
        found = await scan.since(tps, wanted.since_ms)
        firsts = {tp: ends[tp] if (at := found[tp]) is None else at for tp in tps}
    lasts = dict(ends)
    if wanted.until_ms is not None:
        found = await scan.since(tps, wanted.until_ms)
        lasts = {tp: ends[tp] if (at := found[tp]) is None else at for tp in tps}
    if wanted.first is not None:
        firsts = {tp: max(first, wanted.first) for tp, first in firsts.items()}
    if wanted.end is not None:
        lasts = {tp: min(last, wanted.end) for tp, last in lasts.items()}
    spans = {
        tp: (first, max(first, min(lasts[tp], ends[tp])))
        for tp in tps
        for first in [max(starts[tp], firsts[tp])]
    }
    return Stretches(spans, starts)


def books(topic: str, count: int, found: Stretches, work: OpenWork) -> Audit:
    """An empty comparison of these stretches."""
    return Audit(
        topic,
        count,
        {
            partition: Stretch(partition, first, end, end, marks(end - first))
            for (_, partition), (first, end) in found.spans.items()
        },
        work,
    )


async def waiting(
    scan: KafkaScan, audit: Audit, work: OpenWork, names: TopicsSettings, lanes: int
) -> None:
    """Tell the audit of events in open batches, and of those set aside.

    A lane deletes what it is done with, and may have set it aside once more by then: whenever
    something was gone before it was read, the rest is read up to an end that is asked anew.
    """
    for place in work.in_batches:
        audit.waits(place, BATCH)
    bits = {names.parked: PARKED, names.overflow: OVERFLOW}
    tps = [(topic, lane) for topic in bits for lane in range(lanes)]
    at = {tp: max(start, work.position(tp)) for tp, start in (await scan.starts(tps)).items()}
    for _ in range(CHASES_MAX):
        scan.moved.clear()
        ends = await scan.ends(tps)
        spans = {tp: (at[tp], ends[tp]) for tp in tps}
        async for tp, records in scan.read("calls set aside", spans):
            for record in records:
                if work.is_open(tp, record.offset):
                    aside = read_back(record)
                    source = (aside.topic, aside.partition, aside.offset)
                    audit.waits(source, BATCH if aside.place in work.in_batches else bits[tp[0]])
        if not scan.moved:
            return
        at = {tp: max(at[tp], end) for tp, end in ends.items()}
    raise CheckpointUnreadable(
        "events that are set aside move faster than they can be read: hold the flows, or try "
        "again when there is less to do"
    )


class Outcomes:
    """Results and dead letters, read into an audit."""

    def __init__(
        self,
        scan: KafkaScan,
        names: TopicsSettings,
        tps: Sequence[TopicPartition],
        called: Called | None = None,
    ) -> None:
        self.reasons: Counter[str] = Counter()
        """Dead letters of requests that are audited, by their reason."""
        self.unreadable = 0
        self._scan = scan
        self._names = names
        self._tps = tps
        self._called = called
        self._read: dict[TopicPartition, Span] = {}

    async def read(self, audit: Audit, since_ms: int | None) -> None:
        """Read what is there by now, from outcomes of `since_ms` on."""
        starts, ends = await self._scan.starts(self._tps), await self._scan.ends(self._tps)
        # No outcome below these ends can be of a request above those.
        requests = [(audit.topic, partition) for partition in audit.stretches]
        for (_, partition), end in (await self._scan.ends(requests)).items():
            audit.stretches[partition].known_end = end
        firsts = starts
        if since_ms is not None:
            found = await self._scan.since(self._tps, since_ms - CLOCKS_MS)
            firsts = {tp: ends[tp] if (at := found[tp]) is None else at for tp in self._tps}
        self._read = {tp: (firsts[tp], ends[tp]) for tp in self._tps}
        await self._take(audit, self._read)

    async def read_more(self, audit: Audit) -> None:
        """Read what came since, and what lies before the range's time, if anything does."""
        read, ends = self._read, await self._scan.ends(self._tps)
        starts = await self._scan.starts(self._tps)
        await self._take(audit, {tp: (starts[tp], read[tp][0]) for tp in self._tps})
        await self._take(audit, {tp: (read[tp][1], ends[tp]) for tp in self._tps})
        self._read = {tp: (starts[tp], ends[tp]) for tp in self._tps}

    async def _take(self, audit: Audit, spans: Mapping[TopicPartition, Span]) -> None:
        async for (topic, _), records in self._scan.read("results and dead letters", spans):
            if topic == self._names.results:
                self._results(audit, records)
                if self._called is not None:
                    self._called.results(records)
            else:
                self._dead_letters(audit, records)
                if self._called is not None:
                    self._called.dead_letters(records)

    def _results(self, audit: Audit, records: Iterable[Any]) -> None:
        for record in records:
            try:
                source = _decode_result(record.value or b"").source
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self.unreadable += 1
            else:
                audit.result((source.topic, source.partition, source.offset))

    def _dead_letters(self, audit: Audit, records: Iterable[Any]) -> None:
        for record in records:
            found = source_of(record.headers)
            if found is None:
                self.unreadable += 1
            elif audit.dead_letter(found[0]):
                self.reasons[found[1]] += 1

    async def since_ms(self, retention_ms: Mapping[str, int], now_ms: int) -> int | None:
        """Outcomes that were written before this time may be gone; None: none is.

        To be asked after they were read: what has gone meanwhile is then counted too.
        """
        newest: int | None = None
        for tp, start in (await self._scan.starts(self._tps)).items():
            if start == 0:
                continue
            end = (await self._scan.ends([tp]))[tp]
            first = await self._scan.first(tp, (start, end))
            # A partition that retention has emptied held nothing younger than the retention.
            at = now_ms - retention_ms[tp[0]] if first is None else first.timestamp
            newest = at if newest is None else max(newest, at)
        return None if newest is None else newest + CLOCKS_MS

    async def places(self, sources: set[Place]) -> dict[Place, list[str]]:
        """Where the outcomes of these requests stand, read once more."""
        found: dict[Place, list[str]] = {source: [] for source in sources}
        async for (topic, partition), records in self._scan.read("what to name", self._read):
            for record in records:
                source, kind = _outcome_of(record, result=topic == self._names.results)
                if source in found:
                    found[source].append(f"{kind} {topic}-{partition}-{record.offset}")
        return found


def _outcome_of(record: Any, *, result: bool) -> tuple[Place | None, str]:
    if not result:
        return source_of(record.headers) or (None, "")
    try:
        source = _decode_result(record.value or b"").source
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None, ""
    return (source.topic, source.partition, source.offset), "result"
