"""One audit from its first question to its report.

Knows nothing of bytes or marks. The order of its steps is the argument that a running dispatcher
never causes a false alarm (docs/audit.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from service.adapters.kafka.broker import KafkaBroker
from service.adapters.kafka.scan import KafkaScan
from service.audit import reading
from service.audit.against import Called
from service.audit.reading import Outcomes, Range, Stretches
from service.audit.report import Fault, OfReplay, Open, Report, Stretched
from service.audit.spill import Replayed, Sent
from service.core.audit import NAMES_MAX, OPEN, Audit, Fate, Found
from service.core.calls import Place
from service.core.marks import Standing
from service.core.open_work import Gap, OpenWork
from service.core.origin import origin_of
from service.core.outcomes import rfc3339
from service.letters.reading import open_work, replay_ids
from service.settings import TopicsSettings


class Auditor:
    """Audits one range of requests."""

    def __init__(
        self,
        scan: KafkaScan,
        broker: KafkaBroker,
        names: TopicsSettings,
        wanted: Range,
        ledger: str | None = None,
    ) -> None:
        """Nothing is read yet; `ledger` is that of the provider's twin (against.py)."""
        self._scan = scan
        self._broker = broker
        self._names = names
        self._wanted = wanted
        self._ledger = ledger
        self._called = None if ledger is None else Called()
        self._replayed = Replayed()
        self._replays: defaultdict[str, OfReplay] = defaultdict(OfReplay)
        self._ids: set[str] = set()
        self._stretches: Stretches
        self._work: OpenWork
        self._audit: Audit
        self._outcomes: Outcomes
        self._since_ms: int | None = None
        """Outcomes that were written earlier may be gone."""

    async def run(self, now_ms: int) -> Report:
        """Compare, and report as of `now_ms`.

        Raises:
            TopicsError: a topic is missing.
            CheckpointUnreadable: a checkpoint, or an event set aside, cannot be read.
            BrokerUnavailable: the broker did not answer.
        """
        names, scan = self._names, self._scan
        facts = await scan.topics([*names.model_dump().values()])
        count, lanes = facts[names.requests].partitions, facts[names.checkpoints].partitions
        self._stretches = await reading.stretches(scan, names.requests, count, self._wanted)
        self._work = await open_work(self._broker, lanes)
        self._audit = reading.books(names.requests, count, self._stretches, self._work)
        await reading.waiting(scan, self._audit, self._work, names, lanes)
        self._ids = await replay_ids(scan, names.replays)
        topics = (names.results, names.dead_letters)
        tps = [(topic, each) for topic in topics for each in range(facts[topic].partitions)]
        self._outcomes = Outcomes(scan, names, tps, self._called)
        await self._outcomes.read(self._audit, self._wanted.since_ms)
        retention_ms = {topic: int(facts[topic].settings["retention.ms"]) for topic in topics}
        found = await self._judge(retention_ms, now_ms)
        if found.fates[Fate.LOST]:
            # A broker that was killed may show less than it has, and of a range of time only what
            # was written since was read: nothing is called lost before all has been looked at.
            await self._outcomes.read_more(self._audit)
            found = await self._judge(retention_ms, now_ms)
        report = await self._report(found, now_ms)
        if self._called is None or self._ledger is None:
            return report
        against = await self._called.compare(self._ledger)
        kept = report.kept and not (against.called_too_often or against.not_called)
        return msgspec.structs.replace(report, kept=kept, against=against)

    async def _judge(self, retention_ms: dict[str, int], now_ms: int) -> Found:
        self._since_ms = await self._outcomes.since_ms(retention_ms, now_ms)
        self._replayed.clear()
        self._replays.clear()
        if self._called is not None:
            self._called.forget_open()
        found, since_ms = Found(), self._since_ms or 0
        spans = self._stretches.spans
        async for (_, partition), records in self._scan.read("requests", spans):
            offsets_and_times = ((record.offset, record.timestamp) for record in records)
            fates = self._audit.judge(partition, offsets_and_times, since_ms, found)
            if self._ids:
                self._replayed.add(self._replays_of(records, fates))
            if self._called is not None:
                judged = zip(records, fates, strict=True)
                self._called.open(record for record, fate in judged if fate in OPEN)
        return found

    def _replays_of(self, records: Sequence[Any], fates: Sequence[Fate]) -> Iterator[Sent]:
        for record, fate in zip(records, fates, strict=True):
            origin = origin_of(record, self._ids)
            if origin is None:
                continue
            of_replay = self._replays[origin.replay_id]
            of_replay.sent += 1
            of_replay.results += fate is Fate.RESULT
            of_replay.dead_letters += fate is Fate.DEAD_LETTER
            of_replay.open += fate in OPEN
            yield origin, fate is Fate.RESULT

    # What it says

    async def _report(self, found: Found, now_ms: int) -> Report:
        audit, wanted, fates = self._audit, self._wanted, found.fates
        self._count_unseen(await self._scan.starts(list(self._stretches.spans)))
        again = list(self._replayed.sent_again())
        accepted_again = list(self._accepted_again())
        doubled = [place for place, _ in found.named.get(Fate.DOUBLED, ())]
        orphans = audit.orphans_named
        extra = [place for place, _ in accepted_again[:NAMES_MAX]]
        places: dict[Place, list[str]] = {}
        if doubled or orphans or extra:
            places = await self._outcomes.places({*doubled, *orphans, *extra})
        gaps = list(self._gaps())
        faults = fates[Fate.LOST] + fates[Fate.DOUBLED] + len(accepted_again) + audit.orphans
        return Report(
            kept=not (faults or gaps or again),
            at=rfc3339(now_ms),
            since=_time(wanted.since_ms),
            until=_time(wanted.until_ms),
            topic=self._names.requests,
            partitions=list(self._partitions()),
            requests=fates.total(),
            results=fates[Fate.RESULT],
            dead_letters=dict(sorted(self._outcomes.reasons.items())),
            open={fate: _open(found, fate, now_ms) for fate in OPEN},
            lost=fates[Fate.LOST],
            lost_first=[
                Fault(name(place), rfc3339(time_ms), "has no outcome, and is not open")
                for place, time_ms in found.named.get(Fate.LOST, ())
            ],
            doubled=fates[Fate.DOUBLED] + len(accepted_again),
            doubled_first=[
                *_faults(found.named.get(Fate.DOUBLED, ()), places),
                *(
                    Fault(name(place), None, f"has {times} results over its replays", places[place])
                    for place, times in accepted_again[:NAMES_MAX]
                ),
            ],
            orphans=audit.orphans,
            orphans_first=[
                Fault(name(place), None, "was never published", places[place]) for place in orphans
            ],
            gaps=gaps,
            replays=dict(sorted(self._replays.items())),
            sent_again=len(again),
            sent_again_first=[
                Fault(name(place), None, f"sent {times} times by replay {replay}")
                for replay, place, times in again[:NAMES_MAX]
            ],
            outcomes_since=_time(self._since_ms),
            out_of_range={
                "requests-before-lane-began": fates[Fate.BEFORE_BEGAN],
                "requests-with-outcomes-gone": fates[Fate.OUTCOMES_GONE],
                **{
                    f"outcomes-of-{which}-requests": audit.elsewhere[which]
                    for which in ("older", "later", "other")
                },
            },
            unreadable=self._outcomes.unreadable,
        )

    def _count_unseen(self, starts: dict[tuple[str, int], int]) -> None:
        for (_, partition), start in starts.items():
            for place in self._audit.unseen(partition, start):
                self._audit.orphan(place)

    def _accepted_again(self) -> Iterator[tuple[Place, int]]:
        """Origins with more than one result, their own and those of their replays together."""
        for place, times in self._replayed.accepted():
            own = self._audit.standing(place) in {Standing.RESULT, Standing.DOUBLED}
            if times + own > 1:
                yield place, times + own

    def _gaps(self) -> Iterator[Gap]:
        names = self._names
        for gap in self._work.gaps((names.requests, names.parked, names.overflow)):
            tp = (gap.topic, gap.partition)
            if gap.topic != names.requests:
                yield gap
            elif tp in self._stretches.spans:
                first, end = self._stretches.spans[tp]
                # A range that begins where the log does reaches back to what the log has lost.
                lower = first if first > self._stretches.log_starts[tp] else 0
                if gap.end > lower and gap.first < end:
                    yield gap

    def _partitions(self) -> Iterator[Stretched]:
        for tp, (first, end) in self._stretches.spans.items():
            yield Stretched(tp[1], self._stretches.log_starts[tp], first, end, self._work.began(tp))

    def close(self) -> None:
        """Give the disk back."""
        self._replayed.close()
        if self._called is not None:
            self._called.close()


def name(place: Place) -> str:
    """`topic-partition-offset`, to be read from the right."""
    return "-".join(map(str, place))


def _time(moment_ms: int | None) -> str | None:
    return None if moment_ms is None else rfc3339(moment_ms)


def _open(found: Found, fate: Fate, now_ms: int) -> Open:
    oldest_ms = found.oldest_ms.get(fate)
    age = None if oldest_ms is None else max(0.0, (now_ms - oldest_ms) / 1000)
    first = [name(place) for place, _ in found.named.get(fate, ())[:5]]
    return Open(found.fates[fate], _time(oldest_ms), age, first)


def _faults(named: Iterable[tuple[Place, int]], places: dict[Place, list[str]]) -> Iterator[Fault]:
    for place, time_ms in named:
        outcomes = places[place]
        yield Fault(name(place), rfc3339(time_ms), f"has {len(outcomes)} outcomes", outcomes)
