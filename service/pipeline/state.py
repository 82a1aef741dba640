"""Everything a lane knows: one object that its loops share, changed only between awaits.

Knows nothing of Kafka's or the provider's clients. Whatever ends a call goes through here, so that
its outcome, the ledger and the window always change together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from service.core.aside import Why, note_of, offsets_of, places_of, set_aside
from service.core.batching import Batcher
from service.core.calls import Call, Record
from service.core.cancels import Cancels
from service.core.codec import readable_flow_id
from service.core.facts import CallsEnded, EventRefusedFact, EventsLost
from service.core.flood import Flood, Tripped
from service.core.holds import Holds
from service.core.learned import LearnedBounds
from service.core.offsets import Ledger
from service.core.origin import origin_of
from service.core.outcomes import Acceptance, Failure, template_of
from service.core.rate import WindowGuard
from service.errors import EventRefused
from service.pipeline.batch import Batch, Source
from service.pipeline.memory import Memory
from service.pipeline.outbox import Outbox, SetAside, Targets
from service.ports import Clock, Observer, TopicPartition, Write
from service.settings import Settings

_record, _timestamp = attrgetter("record"), attrgetter("timestamp")
_flood_rules = attrgetter("flood_share", "flood_events_min", "flood_window_seconds")


class LaneState:
    """The state of one owned lane."""

    def __init__(
        self,
        lane: int,
        lanes: int,
        settings: Settings,
        targets: Targets,
        batcher: Batcher,
        holds: Holds,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self.lane = lane
        self.lanes = lanes
        self.settings = settings
        self.batcher = batcher
        provider = settings.provider
        self.guard = WindowGuard(
            provider.calls_per_minute // lanes, provider.requests_per_minute // lanes
        )
        self.limits = (provider.calls_per_minute, provider.requests_per_minute)
        """Calls and requests a minute of all lanes together, as in force."""
        self.limit: int | None = None
        """Calls a minute of all lanes together, if an operator changed it."""
        self.holds = holds
        self.observer = observer
        self.ledgers: dict[TopicPartition, Ledger] = {}
        self.open: dict[str, Batch] = {}
        self.open_of: Counter[str] = Counter()
        """How many of them each flow has; over many flows mostly one."""
        self.search_ended = False
        """Whether a batch that was part of a search (searching.py) was closed."""
        self.bodies: set[bytes] = set()
        """sha256 of every open batch's body."""
        self.recovering: dict[Source, Batch] = {}
        """Source records of recovered batches that have not been read again yet."""
        self.outbox = Outbox()
        self.turn = 0
        self.proven: set[str] = set()
        """Accounts of which something was accepted since the start or their last hold: until then
        one batch at a time flies, so that a wrong URL costs a batch of doubt, not a backlog."""
        self.proving: set[str] = set()
        """Flows whose hold has just ended: one batch of each at a time, until one is accepted."""
        self.shifting: set[str] = set()
        """Accounts for which a tail is not enough to make bytes new."""
        self.learned = LearnedBounds()
        self.cancels = Cancels(settings.kafka.topics.requests, ())
        self.replays: set[str] = set()
        """Ids that stand in the replays topic; `no_replays` are those that do not."""
        self.no_replays: set[str] = set()
        self.flood = Flood(*_flood_rules(settings.dead_letters))
        self.tripped: list[Tripped] = []
        """Flows to be held because too many of their calls fail."""
        self.control_at = 0
        """The next offset of the control topic."""
        self.parked_tp = (settings.kafka.topics.parked, lane)
        self.overflow_tp = (settings.kafka.topics.overflow, lane)
        self.parked, self.overflow = SetAside(), SetAside()
        self.aside = {self.parked_tp: self.parked, self.overflow_tp: self.overflow}
        self.ends: dict[TopicPartition, int] = {}
        """The offset after the last committed record, as of the last fetch."""
        self.checkpoint_bytes = 0
        self.memory = Memory()
        self._targets = targets
        self._clock = clock

    def owns(self, partition: int) -> bool:
        """Whether a partition of the requests topic is this lane's."""
        return partition % self.lanes == self.lane

    def index_of(self) -> dict[TopicPartition, int]:
        """Place of each partition in the checkpoint's list; places never change."""
        return {tp: index for index, tp in enumerate(self.ledgers)}

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return int(self._clock.wall() * 1000)

    # What comes in

    def begin(self, tp: TopicPartition, offset: int) -> None:
        """Take a partition up at `offset`; the next turn makes that durable."""
        self.ledgers[tp] = Ledger(*tp, offset)
        self.outbox.wanted = True

    def took(self, records: Sequence[Record]) -> None:
        """Note that records set aside are in memory from now on."""
        for topic, partition, offset in places_of(records):
            aside = self.aside[topic, partition]
            aside.unread -= 1
            aside.held.add(offset)

    def refuse(self, record: Record, refused: EventRefused) -> None:
        """One event cannot become a call: its dead letter is its outcome."""
        flow_id = readable_flow_id(record.value)
        failure = Failure(refused.reason, str(refused), self.now_ms(), flow_id=flow_id)
        source = (record.topic, record.partition, record.offset)
        self._bury(source, record, failure)
        self._finish(offsets_of([record]))
        fact = EventRefusedFact(source, refused.reason, refused.field, str(refused))
        self.outbox.facts.append(fact)

    def lose(self, tp: TopicPartition, first: int, end: int) -> None:
        """Records of [first, end) were gone before they could be read."""
        self.ledgers[tp].lose(first, end)
        self.outbox.wanted = True
        self.outbox.facts.append(EventsLost(tp, first, end))

    def park(self, calls: Sequence[Call], why: Why, look_ms: int) -> None:
        """Set calls of one flow aside until `look_ms` at most."""
        self._set_aside(calls, self.parked_tp, why, look_ms)

    def spill(self, calls: Sequence[Call]) -> None:
        """Set calls aside for which their flow has no room in the window."""
        self._set_aside(calls, self.overflow_tp, Why.OVERFLOW, 0)

    def _set_aside(self, calls: Sequence[Call], tp: TopicPartition, why: Why, look_ms: int) -> None:
        """The same turn writes them there, and finishes them where they lay."""
        if not calls:
            return
        now_ms = self.now_ms()
        writes = self.outbox.writes.setdefault(tp, [])
        writes += [set_aside(call, why, now_ms, look_ms) for call in calls]
        records = [call.record for call in calls]
        self.outbox.again(records)
        self._finish(offsets_of(records))
        self.memory.let_go(calls)
        self.aside[tp].add(records, look_ms)
        self.outbox.tell_parked(calls[0].flow_id, why, [note_of(each) is None for each in records])

    def finish_lost(self, tp: TopicPartition, offset: int) -> None:
        """A record that was read before, and had no outcome, is gone from its log."""
        self.ledgers[tp].finish([offset])
        if tp in self.aside:
            self.aside[tp].waiting -= 1
        self.lose(tp, offset, offset + 1)

    # What goes out

    def open_batch(self, batch: Batch) -> None:
        """A batch is sealed, cut or recovered."""
        self.open[batch.id] = batch
        self.open_of[batch.flow_id] += 1
        self.bodies.add(batch.saved.sha256)
        self.outbox.wanted = True

    def close_batch(self, batch: Batch) -> None:
        """A batch has its outcome, or was replaced by others."""
        del self.open[batch.id]
        self.open_of[batch.flow_id] -= 1
        if not self.open_of[batch.flow_id]:
            del self.open_of[batch.flow_id]
        self.bodies.discard(batch.saved.sha256)
        self.outbox.wanted = True
        self.search_ended |= batch.saved.search is not None
        self.outbox.facts += batch.facts_at_end()

    def has_others(self, batch: Batch) -> bool:
        """Whether another batch of its flow is open, too."""
        return self.open_of[batch.flow_id] > (batch.id in self.open)

    def accepted(
        self,
        batch: Batch,
        calls: Sequence[Call],
        acceptance: Acceptance,
        uuids: Sequence[str | None] | None,
    ) -> None:
        """The provider took these calls of a batch over."""
        records = list(map(_record, calls))
        offsets = batch.offsets if calls is batch.calls else offsets_of(records)
        self.outbox.accepted((template_of(acceptance), calls, uuids), offsets)
        batch.accepted += len(calls)
        self.memory.let_go(calls)
        self._tell_ended(batch.flow_id, "accepted", records)
        self.count_flood(batch.flow_id, batch.account, len(calls), 0)

    def failed(self, flow_id: str, calls: Sequence[Call], failure: Failure) -> None:
        """These calls end as dead letters."""
        records = list(map(_record, calls))
        for record in records:
            self._bury((record.topic, record.partition, record.offset), record, failure)
        self._finish(offsets_of(records))
        self.memory.let_go(calls)
        self._tell_ended(flow_id, failure.reason, records)

    def count_flood(self, flow_id: str, account: str, total: int, bad: int) -> None:
        """So many calls of a flow were judged, so many of them rejected or unconfirmed."""
        tripped = self.flood.count(flow_id, account, total, bad, self._clock.boot())
        if tripped is not None:
            self.tripped.append(tripped)

    def is_replayed(self, call: Call) -> bool:
        """Whether the call's event was replayed, and its replay is one of ours."""
        headers = call.record.headers
        return bool(headers) and origin_of(call.record, self.replays) is not None

    def failed_unseen(self, batch: Batch, failure: Failure) -> None:
        """A batch ends although some of its records are gone."""
        found = batch.found
        for place in batch.sources:
            self.recovering.pop(place, None)
            record = found.get(place)
            source = (record.topic, record.partition, record.offset) if record else place
            self._bury(source, record, failure)
        self._finish(batch.offsets)
        self.memory.let_go_found(list(found.values()))
        self.outbox.facts.append(CallsEnded(batch.flow_id, failure.reason, len(batch.sources), 0.0))

    def _tell_ended(self, flow_id: str, outcome: str, records: Sequence[Record]) -> None:
        if not records:
            return
        oldest = min(map(_timestamp, records))
        latency = max(0.0, (self.now_ms() - oldest) / 1000)
        self.outbox.facts.append(CallsEnded(flow_id, outcome, len(records), latency))

    def _bury(self, source: Source, record: Record | None, failure: Failure) -> None:
        tp, write = self._targets.dead_letter(source, record, failure, self.replays)
        self.outbox.again([record] if record else [])
        self.outbox.writes.setdefault(tp, []).append(write)

    def _finish(self, offsets: Mapping[TopicPartition, Sequence[int]]) -> None:
        for tp, done in offsets.items():
            self.ledgers[tp].finish(done)
        for tp, aside in self.aside.items():
            if tp in offsets:
                aside.waiting -= len(offsets[tp])
                aside.held.difference_update(offsets[tp])

    def checkpoint_full(self, share: float) -> bool:
        """Whether the last checkpoint used more than this share of what its record may have."""
        return self.checkpoint_bytes > share * self._targets.checkpoint_bytes_max

    # What a turn takes

    def take_outbox(self) -> Outbox:
        """All that is to be written now; what comes later is for the next turn."""
        self._finish(self.outbox.done)
        taken, self.outbox = self.outbox, Outbox()
        return taken

    def writes_of(self, outbox: Outbox) -> Mapping[TopicPartition, Iterable[Write]]:
        """All that the turn writes besides its checkpoint; each iteration is the same."""
        return outbox.writes | self._targets.results_of(outbox.taken, self.replays)

    def positions(self) -> Mapping[TopicPartition, int]:
        """The group's offsets, for lag tools."""
        return {tp: each.position for tp, each in self.ledgers.items() if tp not in self.aside}

    def set_limit(self, calls_per_minute: int | None) -> None:
        """Change what all lanes together may send; None: as configured."""
        provider = self.settings.provider
        self.limit = calls_per_minute
        calls = provider.calls_per_minute if calls_per_minute is None else calls_per_minute
        requests = provider.requests_per_minute
        if calls_per_minute is not None and requests == provider.calls_per_minute:
            requests = calls
        self.limits = (calls, requests)
        self.guard.calls_max = calls // self.lanes
        self.guard.requests_max = requests // self.lanes
