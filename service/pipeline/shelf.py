"""A lane's partition of a topic of calls set aside: read back, and cleared of what is done.

Knows nothing of when a call is looked at (parking.py, overflow.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from service.core.aside import Aside, read_back
from service.errors import RecordsGone
from service.pipeline.arrivals import Arrivals

if TYPE_CHECKING:
    from service.pipeline.outbox import SetAside
    from service.pipeline.state import LaneState
    from service.ports import Broker, Reader, TopicPartition

DELETE_RECORDS_MIN = 1000
"""Finished records are deleted by so many, or when none is left."""


class Shelf:
    """Used by one loop; its reader is for this shelf alone."""

    def __init__(
        self,
        tp: TopicPartition,
        state: LaneState,
        broker: Broker,
        reader: Reader,
        arrivals: Arrivals,
        committed: Callable[[], int],
    ) -> None:
        """`committed` is the number of the last turn that is durable."""
        self.tp = tp
        self._state = state
        self._broker = broker
        self._reader = reader
        self._arrivals = arrivals
        self._committed = committed
        self._started = False
        self._deleted = 0
        self._deletable = (0, 0)
        """(offset, the turn that makes it safe to delete what is before it)"""

    @property
    def counts(self) -> SetAside:
        """What is known of it without reading."""
        return self._state.aside[self.tp]

    @property
    def recovering(self) -> bool:
        """Whether sealed batches wait for records of this shelf."""
        return any(place[:2] == self.tp for place in self._state.recovering)

    async def start(self) -> None:
        """Read from the position on; nothing if that was done.

        Raises:
            BrokerUnavailable: try again later.
        """
        if not self._started:
            await self._reader.start({self.tp: self._state.ledgers[self.tp].position})
            self._started = True

    def rewind(self) -> None:
        """Read again all that has no outcome."""
        ledger = self._state.ledgers[self.tp]
        ledger.rewind()
        self._reader.seek(self.tp, ledger.cursor)

    async def read(self, records_max: int, wait_seconds: float) -> tuple[Sequence[Aside], int]:
        """The next records without an outcome that are not in memory.

        Returns:
            Them, and how many more were read, or found to be gone.

        Raises:
            BrokerUnavailable: try again later.
            CheckpointUnreadable: somebody else writes this topic.
        """
        self._arrivals.skip_what_is_done(self._reader, [self.tp])
        try:
            found = await self._reader.fetch([self.tp], records_max, wait_seconds)
        except RecordsGone:
            await self._arrivals.look_where_logs_begin(self._reader, [self.tp])
            return (), 0
        records = found.get(self.tp, ())
        if not records:
            return (), 0
        # Counted from here to there only: while a fetch waits, calls of this shelf may end.
        before = self.counts.waiting
        todo = self._arrivals.take(self.tp, records)
        gone = max(0, before - self.counts.waiting)
        held = self.counts.held
        wanted = [read_back(record) for record in todo if record.offset not in held]
        return wanted, len(todo) - len(wanted) + gone

    async def delete(self) -> None:
        """Delete what a durable position has passed.

        Raises:
            BrokerUnavailable: try again later.
        """
        offset, turn = self._deletable
        if offset > self._deleted and self._committed() >= turn:
            await self._broker.delete_records(self.tp, offset)
            self._deleted = offset
        position = self._state.ledgers[self.tp].position
        if position - self._deleted >= DELETE_RECORDS_MIN or not self.counts.waiting:
            self._deletable = (position, self._state.turn + 1)
