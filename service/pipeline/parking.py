"""Reads back, in rounds, the calls that a lane has set aside.

Knows nothing of why a call waits or may go now: each passes the gate again. A round reads what was
there when it began; what may not go yet is set aside once more, behind it, so that a round ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.core.facts import Trouble
from service.errors import BrokerUnavailable
from service.pipeline.arrivals import Arrivals
from service.pipeline.bell import Bell
from service.pipeline.gate import Gate
from service.pipeline.reading import FETCH_RECORDS_MAX, FETCH_SECONDS, TROUBLE_SECONDS
from service.pipeline.shelf import Shelf
from service.pipeline.state import LaneState

WINDOW_SHARE = 4
"""Parked calls may take this part of the window, so that they never keep fresh ones out."""
PAUSE_PER_ROUND = 10
"""A round that lasts long is followed by a pause of so many times its length."""
EMPTY_FETCHES_MAX = 5
"""Then a round is given up: fewer records are there than were counted."""


class Parking:
    """The loop over one lane's partition of the parked topic."""

    def __init__(
        self,
        state: LaneState,
        shelf: Shelf,
        arrivals: Arrivals,
        gate: Gate,
        changed: Callable[[], None],
    ) -> None:
        """`changed` wakes the turns."""
        self.bell = Bell()
        self._state = state
        self._shelf = shelf
        self._arrivals = arrivals
        self._gate = gate
        self._changed = changed
        self._urgent = False
        self._began = self._ended = float("-inf")

    def wake(self) -> None:
        """Something has changed for calls that wait: look at all of them soon."""
        self._urgent = True
        self.bell.ring()

    async def run(self) -> None:
        """Read back what is due until cancelled.

        Raises:
            TopicsError, CheckpointUnreadable: somebody else changed the topic.
        """
        while True:
            try:
                await self._shelf.start()
                await self._once()
            except BrokerUnavailable as error:
                self._state.observer.tell(Trouble("parked", str(error)))
                await asyncio.sleep(TROUBLE_SECONDS)

    async def _once(self) -> None:
        if self._shelf.recovering:
            # Sealed batches are read again whatever the window: they were held before, too.
            await self._read(FETCH_RECORDS_MAX)
            return
        if self._gate.work():
            self._changed()
            await asyncio.sleep(0)
            return
        self._end_exhausted()
        await self._shelf.delete()
        wait = self._next_round_in()
        if wait is None or wait > 0:
            await self.bell.wait(wait)
        else:
            await self._round()

    def _next_round_in(self) -> float | None:
        """Seconds until a round may begin, or something else is to be done; None: not yet known."""
        state, now = self._state, asyncio.get_running_loop().time()
        waits = []
        if state.parked.unread > 0:
            length = self._ended - self._began if self._ended > self._began else 0.0
            if self._urgent:
                at = self._ended + length
            else:
                pause = PAUSE_PER_ROUND * length
                at = max(self._began + state.settings.retry.park_seconds, self._ended + pause)
                at = max(at, now + (state.parked.look_ms - state.now_ms()) / 1000)
            waits.append(max(0.0, at - now))
        else:
            self._urgent = False
        if state.holds.flows:
            waits.append(max(1.0, state.settings.retry.park_seconds))
        return min(waits, default=None)

    async def _round(self) -> None:
        loop, state = asyncio.get_running_loop(), self._state
        self._urgent = False
        self._began = loop.time()
        state.parked.look_ms = float("inf")
        state.parked.begin_round()
        left, empty = state.parked.unread, 0
        try:
            while left > 0 and empty < EMPTY_FETCHES_MAX:
                room = self._room()
                if room <= 0:
                    await self.bell.wait(FETCH_SECONDS)
                    continue
                count = await self._read(min(room, left, FETCH_RECORDS_MAX))
                left -= count
                empty = 0 if count else empty + 1
                await asyncio.sleep(0)
        finally:
            # A round that was broken off (Kafka was away) is made again, too.
            if left > 0:
                state.parked.look_ms = state.now_ms()
            else:
                state.parked.end_round()
            self._ended = loop.time()

    def _room(self) -> int:
        state, events = self._state, self._state.settings.events
        if (
            state.memory.bytes >= events.window_bytes_max
            or state.checkpoint_full(0.8)
            or state.outbox.full
        ):
            return 0
        share = max(1, events.window_events_max // WINDOW_SHARE)
        return share - len(state.parked.held)

    async def _read(self, records_max: int) -> int:
        """Returns how many records that wait were read, or found to be gone."""
        wanted, others = await self._shelf.read(records_max, FETCH_SECONDS)
        await self._arrivals.admit(wanted)
        if wanted or others:
            self._changed()
        return len(wanted) + others

    def _end_exhausted(self) -> None:
        for hold in self._state.holds.states():
            if hold.scope == "flow" and not hold.by:
                self._gate.end_exhausted(hold)
        if self._state.outbox:
            self._changed()
