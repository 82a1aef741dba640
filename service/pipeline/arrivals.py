"""What becomes of records just read: calls for the gate, refusals, or parts of recovered batches.

Knows nothing of when and from where is read (reading.py, parking.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import msgspec

from service.core.aside import any_aside, note_of, places_of
from service.core.calls import Call, Record, with_headers
from service.core.intake import Intake
from service.core.outcomes import Failure
from service.errors import EventRefused, TopicsError
from service.pipeline.batch import Batch
from service.pipeline.endings import with_history
from service.pipeline.gate import Gate
from service.pipeline.replays import Replays
from service.pipeline.sealing import Sealer
from service.pipeline.state import LaneState
from service.ports import Reader, TopicPartition

SPARSE_OFFSETS = 10_000
"""So many finished offsets in a row are skipped rather than read again."""


class Arrivals:
    """Takes up what the loops of one lane have read."""

    def __init__(
        self,
        state: LaneState,
        intake: Intake,
        sealer: Sealer,
        gate: Gate,
        replays: Replays,
        recovered: Callable[[Batch], None],
    ) -> None:
        self._state = state
        self._intake = intake
        self._sealer = sealer
        self._gate = gate
        self._replays = replays
        self._recovered = recovered

    def take(self, tp: TopicPartition, records: Sequence[Record]) -> Sequence[Record]:
        """Note the records in their ledger; returns those that need an outcome."""
        state = self._state
        todo, gone = state.ledgers[tp].read([record.offset for record in records])
        self.gone(tp, gone)
        if todo is not None:
            wanted = set(todo)
            records = [record for record in records if record.offset in wanted]
        return records

    async def admit(self, records: Sequence[Record]) -> None:
        """Make calls of events, or whole batches of those that were in one."""
        if with_headers(records):
            await self._replays.learn(records)
        state, accept = self._state, self._intake.accept
        set_aside = any_aside(records)
        if set_aside:
            state.took(records)
        if state.recovering:
            records = self._not_recovered(records)
        calls = []
        for record in records:
            try:
                calls.append(accept(record))
            except EventRefused as refused:
                state.refuse(record, refused)
        state.memory.hold(calls)
        self._gate.admit(map(_with_note, calls) if set_aside else calls)

    def _not_recovered(self, records: Sequence[Record]) -> Sequence[Record]:
        """Give recovered batches their records; returns the others."""
        others = []
        for place, record in zip(places_of(records), records, strict=True):
            batch = self._state.recovering.pop(place, None)
            if batch is None:
                others.append(record)
            else:
                batch.found[place] = record
                self._state.memory.hold_found(record)
                self._rebuild(batch)
        return others

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

    def gone(self, tp: TopicPartition, offsets: Sequence[int]) -> None:
        """Open offsets that the log no longer holds."""
        state = self._state
        aside = state.aside.get(tp)
        for offset in offsets:
            if aside is not None:
                if offset in aside.held:
                    continue
                aside.unread -= 1
            batch = state.recovering.pop((*tp, offset), None)
            if batch is not None:
                batch.missing.add((*tp, offset))
                self._rebuild(batch)
            else:
                state.finish_lost(tp, offset)

    async def look_where_logs_begin(
        self, reader: Reader, partitions: Collection[TopicPartition]
    ) -> None:
        """A position is outside its log: pass over what retention took, or stop.

        Raises:
            TopicsError: a log ends before its position.
        """
        state = self._state
        for tp, (first, end) in (await reader.bounds(partitions)).items():
            ledger = state.ledgers[tp]
            check_end(tp, ledger.cursor, end)
            if first > ledger.cursor:
                unread = max(ledger.cursor, ledger.end)
                self.gone(tp, ledger.pass_over(first))
                if first > unread:
                    state.lose(tp, unread, first)
                reader.seek(tp, first)

    def skip_what_is_done(self, reader: Reader, partitions: Collection[TopicPartition]) -> None:
        """Do not read again a long stretch that has its outcomes."""
        for tp in partitions:
            ledger = self._state.ledgers[tp]
            wanted = ledger.wanted
            if wanted > ledger.cursor + SPARSE_OFFSETS:
                ledger.pass_over(wanted)
                reader.seek(tp, wanted)


def _with_note(call: Call) -> Call:
    """The call with what is known of its batches before it was set aside."""
    note = note_of(call.record)
    if note is None or (not note.attempts and note.first_failed_ms is None):
        return call
    extra = msgspec.structs.replace(
        call.extra, attempts=note.attempts, first_failed_ms=note.first_failed_ms
    )
    return msgspec.structs.replace(call, extra=extra)


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
