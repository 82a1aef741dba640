"""Learns which replays there are, when an event names one.

Knows nothing of what a replay is. The topic is read to its end before an id counts as unknown, for
a replay is noted there before its first event is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from service.core.calls import Record
from service.core.facts import Trouble
from service.core.origin import claimed
from service.errors import BrokerUnavailable, RecordsGone
from service.pipeline.state import LaneState
from service.ports import Reader

FETCH_RECORDS_MAX = 1000
FETCH_SECONDS = 0.5
EMPTY_FETCHES_MAX = 4
RETRY_SECONDS = 1.0
UNKNOWN_MAX = 10_000
"""Ids of upstream's own that are remembered as unknown for a while."""


class Replays:
    """What one lane knows of the replays topic; nothing is read until an event names a replay."""

    def __init__(self, state: LaneState, new_reader: Callable[[], Reader]) -> None:
        self._state = state
        self._new_reader = new_reader
        self._reader: Reader | None = None
        self._tp = (state.settings.kafka.topics.replays, 0)
        self._at = 0

    async def learn(self, records: Sequence[Record]) -> None:
        """Return when it is known of each of these events whether its replay is one of ours."""
        while claimed(records) - self._state.replays - self._state.no_replays:
            asked = claimed(records)
            try:
                await self._read_to_the_end()
            except BrokerUnavailable as error:
                self._state.observer.tell(Trouble("replays", str(error)))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if len(self._state.no_replays) > UNKNOWN_MAX:
                self._state.no_replays.clear()
            self._state.no_replays |= asked - self._state.replays

    async def _read_to_the_end(self) -> None:
        if self._reader is None:
            reader = self._new_reader()
            await reader.start({self._tp: 0})
            self._reader = reader
        first, end = (await self._reader.bounds([self._tp]))[self._tp]
        self._seek(max(first, self._at))
        empty = 0
        while self._at < end:
            try:
                found = await self._reader.fetch([self._tp], FETCH_RECORDS_MAX, FETCH_SECONDS)
            except RecordsGone:
                self._seek((await self._reader.bounds([self._tp]))[self._tp][0])
                continue
            records = found.get(self._tp, ())
            empty = 0 if records else empty + 1
            if empty == EMPTY_FETCHES_MAX:
                # Markers of transactions, or compaction: there is nothing more to see.
                return
            if not records:
                continue
            self._state.replays.update((record.key or b"").decode() for record in records)
            self._at = records[-1].offset + 1

    def _seek(self, offset: int) -> None:
        self._at = offset
        if self._reader is not None:
            self._reader.seek(self._tp, offset)
