"""Reads a lane's partitions of the requests topic into its window.

Knows nothing of what becomes of a record (arrivals.py). It stops asking while the window is full;
Kafka keeps the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from service.core.facts import EventsRead, Trouble
from service.core.offsets import CHUNK
from service.errors import BrokerUnavailable, RecordsGone
from service.pipeline.arrivals import Arrivals
from service.pipeline.bell import Bell
from service.pipeline.state import LaneState
from service.ports import Reader, TopicPartition

FETCH_RECORDS_MAX = 1000
"""Of one fetch: some 10 ms of work, so that answers and heartbeats are not kept waiting."""
FETCH_SECONDS = 1.0
"""How long a fetch waits for something to come."""
SPREAD_PER_WINDOW = 4
"""Offsets that a lane's ledgers may have maps of, as a multiple of its window: what is open may lie
far apart, and each stretch with an open offset costs a map."""
MAPS_MIN = 16
"""Maps that a ledger may have whatever the window."""
TROUBLE_SECONDS = 1.0
COUNT_SECONDS = 5.0
"""Between two looks for new partitions, of a lane that has none."""
ENDS_SECONDS = 5.0
"""Between two looks for what has come, while nothing is read."""


class Reading:
    """The loop that fills the window of one lane."""

    def __init__(
        self,
        state: LaneState,
        reader: Reader,
        arrivals: Arrivals,
        make_room: Callable[[], bool],
        count: Callable[[], Awaitable[int]],
        changed: Callable[[], None],
    ) -> None:
        """Nothing is read yet.

        Args:
            state: of the lane.
            reader: for this loop alone.
            arrivals: takes what was read.
            make_room: asked when the window is full; True if it is less so.
            count: asks the broker how many partitions the requests topic has.
            changed: wakes the turns.
        """
        self.bell = Bell()
        self._state = state
        self._reader = reader
        self._arrivals = arrivals
        self._make_room = make_room
        self._count = count
        self._counted_at = self._looked_at = float("-inf")
        self._changed = changed
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
            await self._look_at_ends()
            await self.bell.wait(FETCH_SECONDS)
            return
        self._arrivals.skip_what_is_done(self._reader, partitions)
        try:
            batches = await self._reader.fetch(
                partitions, min(room, FETCH_RECORDS_MAX), FETCH_SECONDS
            )
        except RecordsGone:
            await self._arrivals.look_where_logs_begin(self._reader, partitions)
            return
        for tp, records in batches.items():
            wanted = self._arrivals.take(tp, records)
            await self._arrivals.admit(wanted)
            self._state.observer.tell(EventsRead(tp, len(wanted)))
        for tp in partitions:
            end = self._reader.known_end(tp)
            if end is not None:
                self._state.ends[tp] = end

    def _wanted(self) -> tuple[Collection[TopicPartition], int]:
        """Partitions that may be read, and how many records there is room for."""
        state, events = self._state, self._state.settings.events
        ledgers = {tp: each for tp, each in state.ledgers.items() if tp not in state.aside}
        recovering = {(topic, partition) for topic, partition, _ in state.recovering}
        if recovering & ledgers.keys():
            # Sealed batches are read again whatever the window: they were held before, too.
            return recovering & ledgers.keys(), 10**9
        if state.checkpoint_full(0.8) or state.outbox.full:
            return (), 0
        if self._is_full() and not self._make_room():
            return (), 0
        room = max(1, events.window_events_max - state.memory.events)
        offsets_max = SPREAD_PER_WINDOW * events.window_events_max // max(1, len(ledgers))
        maps_max = max(MAPS_MIN, offsets_max // CHUNK)
        # What a predecessor had read already is read again, however far it had come.
        return [
            tp
            for tp, ledger in ledgers.items()
            if ledger.maps < maps_max or ledger.cursor < ledger.end
        ], room

    def _is_full(self) -> bool:
        state, events = self._state, self._state.settings.events
        return (
            state.memory.events >= events.window_events_max
            or state.memory.bytes >= events.window_bytes_max
        )

    async def _look_at_ends(self) -> None:
        """What comes while nothing is read is seen all the same."""
        state, now = self._state, asyncio.get_running_loop().time()
        partitions = [tp for tp in state.ledgers if tp not in state.aside]
        if partitions and now > self._looked_at + ENDS_SECONDS:
            self._looked_at = now
            bounds = await self._reader.bounds(partitions)
            state.ends |= {tp: end for tp, (_, end) in bounds.items()}

    async def _add_partitions(self) -> None:
        """Partitions added to the requests topic while running begin at their first record."""
        state = self._state
        topic = state.settings.kafka.topics.requests
        count = self._reader.partition_count(topic)
        now = asyncio.get_running_loop().time()
        if state.aside.keys() == state.ledgers.keys() and now > self._counted_at + COUNT_SECONDS:
            # A client that reads nothing of a topic hears no news of it.
            self._counted_at = now
            count = await self._count()
        if count <= self._partitions:
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
