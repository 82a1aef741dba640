"""A simulated Kafka: topics, transactions with fencing, and what an outage does to them.

Everything here is the broker's side: it happens outside of all nodes, at the moment a request
arrives. Follows KIP-98 and KIP-447 as far as the ports can see. Knows nothing of lanes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence

from service.core.calls import Header
from tests.simulation.group import Group
from tests.simulation.log import Fate, Log, SimRecord, Transaction
from tests.simulation.loop import VirtualLoop

TopicPartition = tuple[str, int]
Write = tuple[bytes | None, bytes | None, Sequence[Header]]

TRANSACTION_SECONDS_MAX = 60.0
RECORD_BYTES_MAX = 1_048_588
MARKER_SECONDS_MAX = 0.03
"""A transaction's markers reach its partitions one by one, after it is decided."""


class Fenced(Exception):
    """The producer's epoch is not the latest of its transactional id."""


class SimKafka:
    """One broker with all its state, which survives its outages."""

    def __init__(
        self,
        loop: VirtualLoop,
        rng: random.Random,
        partitions: Mapping[str, int],
        wall: Callable[[], float],
    ) -> None:
        self.loop = loop
        self.rng = rng
        self.up = True
        self.calm = False
        """Whether nothing goes wrong any more: then its clients need not look so often."""
        self.logs = {
            (topic, partition): Log(topic, partition)
            for topic, number in partitions.items()
            for partition in range(number)
        }
        self.group_offsets: dict[TopicPartition, int] = {}
        self.committed: Callable[[Transaction], None] = lambda _: None
        """Told of every transaction of a lane as soon as it is decided."""
        self.deleted: Callable[[TopicPartition, int], None] = lambda _tp, _before: None
        """Told when a dispatcher deletes the records before an offset."""
        self.group = Group(self)
        self._wall = wall
        self._epochs: dict[str, int] = {}
        self._current: dict[str, Transaction] = {}
        self._stamps: dict[tuple[str, int, int], int] = {}

    # Outages

    def stop(self) -> None:
        """Nobody is answered any more."""
        self.up = False

    def start(self) -> None:
        """The broker is back, with all that was acknowledged."""
        self.up = True
        self.group.reload()
        for log in self.logs.values():
            log.wake()

    def now_ms(self) -> int:
        """The broker's own clock, which stamps the checkpoints."""
        return int(self._wall() * 1000)

    # Topics

    def partitions_of(self, topic: str) -> int:
        """How many there are now."""
        return sum(1 for name, _ in self.logs if name == topic)

    def add_partition(self, topic: str) -> None:
        """An operator gives a topic one more."""
        partition = self.partitions_of(topic)
        self.logs[topic, partition] = Log(topic, partition)

    def recreate(self, topic: str) -> None:
        """An operator deletes a topic, and makes it anew with as many partitions."""
        for tp, log in list(self.logs.items()):
            if tp[0] == topic:
                self.logs[tp] = Log(*tp)
                self.group_offsets.pop(tp, None)
                log.wake()

    def publish(self, tp: TopicPartition, write: Write, by: Transaction | None = None) -> SimRecord:
        """Upstream writes one record; in a transaction of its own choice, or in none."""
        record = self.logs[tp].append(*write, self.now_ms(), by)
        if by is None:
            self.logs[tp].wake()
        return record

    def delete_records(self, tp: TopicPartition, before: int) -> None:
        """A dispatcher needs what lies before an offset no more."""
        self.deleted(tp, before)
        self.logs[tp].delete_before(before)

    # Transactions, as the coordinator sees them

    def init(self, producer: str) -> int | None:
        """The epoch of a new owner of this id; None: an earlier transaction is still ending."""
        current = self._current.get(producer)
        if current is not None and current.fate is Fate.OPEN:
            self._epochs[producer] += 1
            self.decide(current, Fate.ABORTED)
        if current is not None and current.logs:
            return None
        self._epochs[producer] = self._epochs.get(producer, -1) + 1
        return self._epochs[producer]

    def produce(
        self, producer: str, epoch: int, turn: int, writes: Mapping[TopicPartition, Iterable[Write]]
    ) -> int | None:
        """Write into the producer's transaction; the stamp of its last record in ms.

        None: the one before is still ending. A repeat (`turn` is the same) changes nothing.

        Raises:
            Fenced: nothing was written.
        """
        self._check(producer, epoch)
        current = self._current.get(producer)
        if (producer, epoch, turn) in self._stamps:
            return self._stamps[producer, epoch, turn]
        if current is None or current.fate is not Fate.OPEN:
            if current is not None and current.logs:
                return None
            current = self._current[producer] = Transaction(producer, epoch)
            self.loop.after(TRANSACTION_SECONDS_MAX, self._expire, current)
        stamp = 0
        for tp, records in writes.items():
            for key, value, headers in records:
                stamp = self.now_ms()
                self.logs[tp].append(key, value, headers, stamp, current)
        self._stamps[producer, epoch, turn] = stamp
        return stamp

    def end(self, producer: str, epoch: int, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the producer's transaction; a repeat changes nothing.

        Raises:
            Fenced: nothing was committed.
        """
        self._check(producer, epoch)
        current = self._current[producer]
        if current.fate is Fate.OPEN:
            current.offsets.update(offsets)
            self.decide(current, Fate.COMMITTED)
        elif current.fate is Fate.ABORTED:
            raise Fenced

    def decide(self, transaction: Transaction, fate: Fate) -> None:
        """From here on the outcome is certain; readers see it as the markers arrive."""
        transaction.fate = fate
        if fate is Fate.COMMITTED:
            self.group_offsets.update(transaction.offsets)
            self.committed(transaction)
        for log in list(transaction.logs):
            self.loop.after(self.rng.random() * MARKER_SECONDS_MAX, self._mark, transaction, log)

    def _mark(self, transaction: Transaction, log: Log) -> None:
        if not self.up:
            self.loop.after(0.5, self._mark, transaction, log)
            return
        log.mark(transaction)
        log.wake()

    def _expire(self, transaction: Transaction) -> None:
        """The coordinator aborts what is open for too long, and fences its producer."""
        if transaction.fate is Fate.OPEN:
            self._epochs[transaction.producer] += 1
            self.decide(transaction, Fate.ABORTED)

    def _check(self, producer: str, epoch: int) -> None:
        if self._epochs.get(producer) != epoch:
            raise Fenced
