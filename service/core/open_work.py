"""What the lanes' checkpoints say of events that have no outcome yet, and of those that are lost.

Knows nothing of when the checkpoints were read: that they are older than the outcomes they are
compared with is the reader's affair (docs/audit.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from service.core.calls import Place
from service.core.checkpoint import Checkpoint, unpack_sources
from service.core.offsets import Ledger, PartitionState
from service.errors import CheckpointUnreadable

TopicPartition = tuple[str, int]


class Gap(msgspec.Struct, frozen=True, rename="kebab"):
    """Records [first, end) that were gone before the dispatcher could read or decide them."""

    topic: str
    partition: int
    first: int
    end: int

    @property
    def records(self) -> int:
        """How many offsets it spans."""
        return self.end - self.first


class OpenWork:
    """The open work of all lanes."""

    def __init__(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Of every lane that ever ran, its last checkpoint.

        Raises:
            CheckpointUnreadable: one is damaged.
        """
        self.in_batches: set[Place] = set()
        """Where the records of open batches lie; the lanes' windows bound them."""
        self._ledgers: dict[TopicPartition, Ledger] = {}
        self.limit: int | None = None
        """Calls a minute of all lanes together, if an operator changed it."""
        for checkpoint in checkpoints:
            self.limit = checkpoint.limit or self.limit
            for state in checkpoint.partitions:
                self._add(state)
            self._add_batches(checkpoint)

    def _add(self, state: PartitionState) -> None:
        tp = (state.topic, state.partition)
        try:
            ledger = Ledger.restore(state)
        except ValueError as error:
            raise CheckpointUnreadable(f"a checkpoint is damaged: {error}") from error
        before = self._ledgers.get(tp)
        # While the number of lanes changes two may name it: the one that came further is right.
        if before is None or before.end <= ledger.end:
            self._ledgers[tp] = ledger

    def _add_batches(self, checkpoint: Checkpoint) -> None:
        partitions = [(state.topic, state.partition) for state in checkpoint.partitions]
        for batch in checkpoint.batches:
            for index, offset in unpack_sources(batch.sources, batch.calls):
                self.in_batches.add((*partitions[index], offset))

    def began(self, tp: TopicPartition) -> int:
        """Where its lane first took the partition up; 0 if none has."""
        ledger = self._ledgers.get(tp)
        return 0 if ledger is None else ledger.began

    def position(self, tp: TopicPartition) -> int:
        """All records below it are done; 0 if no lane has taken the partition up."""
        ledger = self._ledgers.get(tp)
        return 0 if ledger is None else ledger.position

    def backlog(self, tp: TopicPartition, start: int, end: int) -> int:
        """How many of the records in the log [start, end) have no outcome and are not set aside.

        Behind the last record there may be the marker of its transaction.
        """
        ledger = self._ledgers.get(tp)
        unread = end - (start if ledger is None else max(start, ledger.end))
        return max(0, unread - 1) + (0 if ledger is None else ledger.open)

    def is_open(self, tp: TopicPartition, offset: int) -> bool:
        """Whether a record has not been done: unread, or read and undecided."""
        ledger = self._ledgers.get(tp)
        return ledger is None or offset >= ledger.end or ledger.is_open(offset)

    def gaps(self, topics: Iterable[str]) -> Iterator[Gap]:
        """What retention, or somebody, removed too early from these topics."""
        wanted = set(topics)
        for tp in sorted(self._ledgers):
            if tp[0] in wanted:
                yield from (Gap(*tp, first, end) for first, end in self._ledgers[tp].lost)
