"""Keeps one flow from filling the window: what exceeds its share waits in the overflow topic.

Knows nothing of requests. When the window is full the largest flow gives up its latest calls, a
turn's worth at a time, so that the events of others behind them are read. They come back in the
order in which they went, flow by flow as each has room; a flow whose calls are passed over does not
stop those behind.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from service.core.aside import Aside
from service.core.facts import Trouble
from service.errors import BrokerUnavailable
from service.pipeline.arrivals import Arrivals
from service.pipeline.bell import Bell
from service.pipeline.flows import Flows
from service.pipeline.outbox import OUTBOX_BYTES_MAX, OUTBOX_RECORDS_MAX
from service.pipeline.reading import FETCH_RECORDS_MAX, TROUBLE_SECONDS
from service.pipeline.shelf import Shelf
from service.pipeline.state import LaneState

WINDOW_SHARE = 4
"""Calls that came back may take this part of the window beside the others; a flow with more than
this part of it when it is full gives some up."""
FLOW_SHARE = 8
"""A flow is left with at least, and filled up to, this part of the window."""
LOOK_SECONDS_MAX = 1.0
"""Between two looks for a flow that is too large: a share shrinks when events grow."""
EMPTY_FETCHES_MAX = 2
"""Then the end is reached."""
FETCH_SECONDS = 0.25
"""How long a fetch waits for more, where nothing new is expected."""


class Overflow:
    """The loop over one lane's partition of the overflow topic."""

    def __init__(
        self,
        state: LaneState,
        flows: Flows,
        shelf: Shelf,
        arrivals: Arrivals,
        changed: Callable[[], None],
    ) -> None:
        """`changed` wakes the turns."""
        self.bell = Bell()
        self._state = state
        self._flows = flows
        self._shelf = shelf
        self._arrivals = arrivals
        self._changed = changed
        self._events = state.settings.events
        self._unread: Counter[str] | None = None
        """By flow, what waits there; None: not known since the takeover."""
        self._spilled = Counter[str]()
        """By flow, what has gone there since the last pass began."""
        self._look_at_added = 0
        self._looked_at = float("-inf")
        self._all = False
        """Whether every record is to be looked at, since something has changed for some."""

    # Out of the window

    def make_room(self) -> bool:
        """The window is full: the largest flow gives some up if it exceeds its share; True if so.

        No more than a turn may write: what others sealed, and results, wait for that turn.
        """
        flow_id = self._too_large()
        if flow_id is None:
            return False
        state = self._state
        account = self._flows.account(flow_id)
        if account not in state.proven or state.holds.holds(flow_id, account):
            # Nothing of it is sent anyway: Kafka keeps the backlog best where it is.
            return False
        excess = state.batcher.waiting_of(flow_id) - self._window_of(FLOW_SHARE)
        few = min(OUTBOX_RECORDS_MAX, self._events_of(OUTBOX_BYTES_MAX))
        calls = state.batcher.withdraw_last(flow_id, min(excess, few))
        state.spill(calls)
        self._spilled[flow_id] += len(calls)
        if self._unread is not None:
            self._unread[flow_id] += len(calls)
        self._changed()
        return bool(calls)

    def _too_large(self) -> str | None:
        """The largest flow, if it exceeds its share; with thousands of them not asked each time."""
        batcher, now = self._state.batcher, asyncio.get_running_loop().time()
        if batcher.added < self._look_at_added and now < self._looked_at + LOOK_SECONDS_MAX:
            return None
        waiting, share = batcher.waiting, self._window_of(WINDOW_SHARE)
        flow_id = max(waiting, key=waiting.__getitem__, default=None)
        if flow_id is not None and waiting[flow_id] > share:
            return flow_id
        # Before so many more have come, none can have grown beyond its share.
        self._look_at_added = batcher.added + share - (waiting[flow_id] if flow_id else 0)
        self._looked_at = now
        return None

    # Back into it

    def wake(self) -> None:
        """Something has changed for calls that wait: look at all of them."""
        self._all = True
        self.bell.ring()

    async def run(self) -> None:
        """Read back what has room until cancelled.

        Raises:
            TopicsError, CheckpointUnreadable: somebody else changed the topic.
        """
        while True:
            try:
                await self._shelf.start()
                if self._shelf.recovering or self._due():
                    await self._pass()
                    self._changed()
                else:
                    await self._shelf.delete()
                    await self.bell.wait()
            except BrokerUnavailable as error:
                self._state.observer.tell(Trouble("overflow", str(error)))
                await asyncio.sleep(TROUBLE_SECONDS)

    def _due(self) -> bool:
        """Whether a pass would bring something back."""
        if not self._shelf.counts.unread:
            # So what goes there from now on is all that there is.
            self._all, self._unread = False, Counter()
            return False
        if not self._has_room():
            return False
        if self._all or self._unread is None:
            return True
        # Half of what it may have at least, or a pass would bring too little.
        half = self._window_of(FLOW_SHARE) / 2
        return any(self._room_of(flow) >= half for flow in self._unread)

    def _has_room(self) -> bool:
        state = self._state
        bytes_max = self._events.window_bytes_max
        return (
            len(self._shelf.counts.held) < self._window_of(WINDOW_SHARE)
            and state.memory.bytes < bytes_max + bytes_max // WINDOW_SHARE
            and not state.checkpoint_full(0.8)
            and not state.outbox.full
        )

    def _room_of(self, flow_id: str) -> int:
        return self._window_of(FLOW_SHARE) - self._state.batcher.waiting_of(flow_id)

    def _window_of(self, share: int) -> int:
        """Events in this part of a full window, as large as those are that it holds now."""
        fit = min(self._events.window_events_max, self._events_of(self._events.window_bytes_max))
        return max(1, fit // share)

    def _events_of(self, size: int) -> int:
        """How many events of the present size make so many bytes."""
        state = self._state
        if not state.memory.bytes:
            return self._events.window_events_max
        return max(1, size * state.memory.events // state.memory.bytes)

    def _someone_waits(self) -> bool:
        """Whether a flow with something unread has room."""
        return self._has_room() and any(self._room_of(flow) > 0 for flow in self._unread or ())

    async def _pass(self) -> None:
        """From the first record that waits on, until nobody who waits has room."""
        complete, self._all = self._all or self._unread is None or self._shelf.recovering, False
        passed_over, empty = Counter[str](), 0
        self._spilled = Counter()
        self._shelf.rewind()
        while empty < EMPTY_FETCHES_MAX:
            if not complete and not self._someone_waits():
                return
            records, others = await self._shelf.read(FETCH_RECORDS_MAX, FETCH_SECONDS)
            empty = 0 if records or others else empty + 1
            for record in records:
                if self._takes(record):
                    await self._arrivals.admit([record])
                else:
                    passed_over[record.note.flow_id] += 1
            self._changed()
            await asyncio.sleep(0)
        # What was spilled meanwhile may be counted twice; the next pass knows better. What a slow
        # broker did not show must not be forgotten.
        seen = passed_over + self._spilled
        self._unread = seen if seen.total() >= self._shelf.counts.unread else None

    def _takes(self, record: Aside) -> bool:
        state, flow_id = self._state, record.note.flow_id
        if record.place in state.recovering:
            return True
        if state.holds.flow(flow_id) is not None or state.cancels.of(flow_id, record) is not None:
            # The gate knows where it goes, and that is not the window.
            return not state.outbox.full
        return self._has_room() and self._room_of(flow_id) > 0
