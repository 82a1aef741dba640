"""Reads a lane's partitions into its window and turns records into calls.

Knows nothing of batches' sending. It stops asking while the window is full; Kafka keeps the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from service.core.calls import Record
from service.core.facts import EventsRead, Trouble
from service.core.intake import Intake
from service.core.outcomes import Failure
from service.errors import BrokerUnavailable, EventRefused, RecordsGone, TopicsError
from service.pipeline.batch import Batch
from service.pipeline.bell import Bell
from service.pipeline.sealing import Sealer, with_history
from service.pipeline.state import LaneState
from service.ports import Reader, TopicPartition

FETCH_RECORDS_MAX = 1000
"""Of one fetch: some 10 ms of work, so that answers and heartbeats are not kept waiting."""
FETCH_SECONDS = 1.0
"""How long a fetch waits for something to come."""
SPAN_PER_WINDOW = 4
"""A lane's offsets between position and end, as a multiple of its window: one stuck event must not
let the map of done ranges outgrow the checkpoint."""
TROUBLE_SECONDS = 1.0


class Reading:
    """The loop that fills the window of one lane."""

    def __init__(
        self,
        state: LaneState,
        reader: Reader,
        intake: Intake,
        sealer: Sealer,
        *,
        changed: Callable[[], None],
        recovered: Callable[[Batch], None],
    ) -> None:
        self.bell = Bell()
        self._state = state
        self._reader = reader
        self._intake = intake
        self._sealer = sealer
        self._changed = changed
        self._recovered = recovered
        self._partitions = 0
        """Of the requests topic, when they were last looked at."""

    async def run(self) -> None:
        """Read until cancelled.

        Raises:
            TopicsError: a position lies beyond its log's end (the topic was created anew).
        """
        while True:
            try:
                await self._read_once()
            except BrokerUnavailable as error:
                self._state.observer.tell(Trouble("read", str(error)))
                await asyncio.sleep(TROUBLE_SECONDS)
            self._changed()
            await asyncio.sleep(0)

    async def _read_once(self) -> None:
        await self._add_partitions()
        partitions, room = self._wanted()
        if not partitions:
            await self.bell.wait(FETCH_SECONDS)
            return
        try:
            batches = await self._reader.fetch(
                partitions, min(room, FETCH_RECORDS_MAX), FETCH_SECONDS
            )
        except RecordsGone:
            await self._look_where_logs_begin(partitions)
            return
        for tp, records in batches.items():
            self._take(tp, records)

    def _wanted(self) -> tuple[Collection[TopicPartition], int]:
        """Partitions that may be read, and how many records there is room for."""
        state, events = self._state, self._state.settings.events
        if state.recovering:
            # Sealed batches are read again whatever the window: they were held before, too.
            return {(topic, partition) for topic, partition, _ in state.recovering}, 10**9
        room = events.window_events_max - state.held_events
        full = state.held_bytes >= events.window_bytes_max or state.checkpoint_full(0.8)
        if room <= 0 or full:
            return (), 0
        span_max = SPAN_PER_WINDOW * events.window_events_max // max(1, len(state.ledgers))
        # What a predecessor had read already is read again, however far it had come.
        return [
            tp
            for tp, ledger in state.ledgers.items()
            if ledger.span < span_max or ledger.cursor < ledger.end
        ], room

    def _take(self, tp: TopicPartition, records: Sequence[Record]) -> None:
        state = self._state
        todo, gone = state.ledgers[tp].read([record.offset for record in records])
        self._gone(tp, gone)
        if todo is not None:
            wanted = set(todo)
            records = [record for record in records if record.offset in wanted]
        self._intake_all(records)
        end = self._reader.known_end(tp)
        if end is not None:
            state.ends[tp] = end
        state.observer.tell(EventsRead(tp, len(records)))

    def _intake_all(self, records: Sequence[Record]) -> None:
        state, accept, add = self._state, self._intake.accept, self._state.batcher.add
        now = asyncio.get_running_loop().time()
        for record in records:
            state.hold_record(record)
            if state.recovering:
                source = (record.topic, record.partition, record.offset)
                batch = state.recovering.pop(source, None)
                if batch is not None:
                    batch.found[source] = record
                    self._rebuild(batch)
                    continue
            try:
                call = accept(record)
            except EventRefused as refused:
                state.refuse(record, refused)
            else:
                add(call, now)

    def _rebuild(self, batch: Batch) -> None:
        """A recovered batch whose last record has just been read is made whole, or given up."""
        if len(batch.found) + len(batch.missing) < len(batch.sources):
            return
        if not batch.missing and self._sealer.rebuild(batch):
            self._recovered(batch)
            return
        gone = len(batch.missing)
        why = f"{gone} of its records are gone" if gone else "its bytes cannot be made again"
        failure = Failure(
            "unconfirmed",
            f"a batch that may have been sent before a restart cannot be sent again: {why}; look "
            "the call up in the provider's reports",
            self._state.now_ms(),
        )
        self._state.failed_unseen(batch, with_history(failure, batch))
        self._state.close_batch(batch)

    def _gone(self, tp: TopicPartition, offsets: Sequence[int]) -> None:
        """Open offsets that the log no longer holds."""
        state = self._state
        for offset in offsets:
            batch = state.recovering.pop((*tp, offset), None)
            if batch is not None:
                batch.missing.add((*tp, offset))
                self._rebuild(batch)
            else:
                state.ledgers[tp].finish([offset])
                state.lose(tp, offset, offset + 1)

    async def _look_where_logs_begin(self, partitions: Collection[TopicPartition]) -> None:
        """A position is outside its log: pass over what retention took, or stop."""
        state = self._state
        for tp, (first, end) in (await self._reader.bounds(partitions)).items():
            ledger = state.ledgers[tp]
            check_end(tp, ledger.cursor, end)
            if first > ledger.cursor:
                unread = max(ledger.cursor, ledger.end)
                self._gone(tp, ledger.pass_over(first))
                if first > unread:
                    state.lose(tp, unread, first)
                self._reader.seek(tp, first)

    async def _add_partitions(self) -> None:
        """Partitions added to the requests topic while running begin at their first record."""
        state = self._state
        topic = state.settings.kafka.topics.requests
        count = self._reader.partition_count(topic)
        if count == self._partitions:
            return
        fresh = [
            (topic, partition)
            for partition in range(state.lane, count, state.lanes)
            if (topic, partition) not in state.ledgers
        ]
        if fresh:
            bounds = await self._reader.bounds(fresh)
            await self._reader.add({tp: bounds[tp][0] for tp in fresh})
            for tp in fresh:
                state.begin(tp, bounds[tp][0])
        self._partitions = count


def check_end(tp: TopicPartition, position: int, end: int) -> None:
    """Stop rather than start over when a log ends before the position.

    Raises:
        TopicsError: the topic was created anew.
    """
    if position > end:
        raise TopicsError(
            f"the lane's position {position} in {tp[0]}-{tp[1]} lies beyond the log's end {end}: "
            "the topic was created anew; use a new kafka.group_id and checkpoints topic for it"
        )
