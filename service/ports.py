"""What the pipeline asks of the world, and what it tells it.

Knows nothing of any client library. Each port has an adapter on the real thing and an in-memory
one for the simulator, both held to the same laws (tests/contracts).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.core.calls import Header, Record
from service.core.control import AnyCommand
from service.core.facts import Fact
from service.core.held import Given
from service.core.shared import Heard, Said
from service.core.verdicts import Answer

TopicPartition = tuple[str, int]
"""(topic, partition)"""

Write = tuple[bytes | None, bytes | None, list[Header]]
"""(key, value, headers) of one record to be written"""


@dataclass(slots=True)
class Outgoing:
    """What one transaction carries, checkpoint last; each try iterates `writes` anew."""

    writes: Mapping[TopicPartition, Iterable[Write]]
    offsets: Mapping[TopicPartition, int]
    """For lag tools only; nobody here reads them back."""
    lane: int
    checkpoint: bytes
    key: bytes | None = None
    """Of the checkpoint's record, if it is not the lane's."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A committed checkpoint record."""

    value: bytes | None
    timestamp_ms: int
    """The broker's LogAppendTime."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The topics as the broker describes them."""

    partitions: Mapping[str, int]
    """Partitions by topic; a missing topic is left out."""
    record_bytes_max: Mapping[str, int]
    """`max.message.bytes` by topic."""
    group_offsets: Mapping[TopicPartition, int] = field(default_factory=dict)
    """Committed offsets of the group on the requests topic."""


class Clock(Protocol):
    """Times other than the loop's own."""

    def boot(self) -> float:
        """Seconds on CLOCK_BOOTTIME: goes on while the machine is suspended."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch."""
        ...


class Writer(Protocol):
    """The transactional producer of one lane, good for one life: after an error it is spent."""

    async def start(self) -> None:
        """Fence every earlier owner and abort what it left open.

        Raises:
            BrokerUnavailable: try again later.
            LaneFenced: somebody fenced this one while it started.
        """
        ...

    async def commit(self, outgoing: Outgoing) -> int:
        """Write all of it in one transaction; returns the checkpoint's LogAppendTime in ms.

        Raises:
            LaneFenced: a successor has started; nothing of this was committed.
            CommitUnknown: it may be committed or not; the writer is spent.
        """
        ...

    async def stop(self) -> None:
        """Give up the connection, whatever state it is in; bounded in time, never raises."""
        ...


class Reader(Protocol):
    """Reads a lane's partitions by manual assignment, read_committed, with no automatic reset."""

    async def start(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read from these offsets on.

        Raises:
            BrokerUnavailable: try again later.
        """
        ...

    async def fetch(
        self, partitions: Collection[TopicPartition], records_max: int, wait_seconds: float
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        """Up to `records_max` records of these partitions; empty after `wait_seconds`.

        Raises:
            RecordsGone: a position is outside its log; see `bounds`, then `seek`.
            BrokerUnavailable: try again later.
        """
        ...

    async def add(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions too."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from `offset`."""
        ...

    async def bounds(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, tuple[int, int]]:
        """(first offset, offset after the last committed one) of each.

        Raises:
            BrokerUnavailable: try again later.
        """
        ...

    def known_end(self, partition: TopicPartition) -> int | None:
        """The offset after the last committed record, as of the last fetch."""
        ...

    def partition_count(self, topic: str) -> int:
        """How many partitions the topic has, as of the client's last refresh."""
        ...

    async def stop(self) -> None:
        """Give up the connection; bounded in time, never raises."""
        ...


class Broker(Protocol):
    """Kafka, as a lane needs it."""

    async def survey(self) -> Survey:
        """Describe the topics.

        Raises:
            BrokerUnavailable: try again later.
        """
        ...

    async def last_checkpoint(self, lane: int) -> Stored | None:
        """The last committed record of a lane's checkpoint partition, or None.

        Raises:
            BrokerUnavailable: try again later.
        """
        ...

    async def delete_records(self, partition: TopicPartition, before: int) -> None:
        """Remove the records below an offset for good.

        Raises:
            BrokerUnavailable: try again later.
        """
        ...

    async def owns(self, lane: int) -> bool:
        """Whether the group's coordinator counts the lane as this process's, asked just now."""
        ...

    def writer(self, lane: int) -> Writer:
        """A new producer with the lane's transactional id, not started."""
        ...

    def reader(self, *, sparse: bool = False) -> Reader:
        """A new reader, not started; `sparse` for one partition in which little happens."""
        ...


class MigrationBroker(Broker, Protocol):
    """What raising the number of lanes needs besides."""

    async def add_lanes(self, lanes: int) -> None:
        """Give parked, overflow and checkpoints topic `lanes` partitions each, if they have fewer.

        The checkpoints topic comes last, for it says how many lanes there are.

        Raises:
            BrokerUnavailable: try again later.
        """
        ...

    def migrator(self) -> Writer:
        """The producer that writes the checkpoints of all lanes, not started."""
        ...


class Election(Protocol):
    """Membership of the consumer group on the checkpoints topic: a partition is a lane."""

    async def join(self, on_lanes: Callable[[frozenset[int]], None]) -> None:
        """Take part; `on_lanes` is told the whole set of lanes after each rebalance."""
        ...

    async def leave(self) -> None:
        """Leave the group at once, so that others need not wait for the session to end."""
        ...


class Provider(Protocol):
    """The provider's HTTP API."""

    async def post(self, body: bytes, may_begin: Callable[[], bool]) -> Answer:
        """Send one body; every failure is an Answer. Cancelling aborts it on the wire.

        Args:
            body: the exact bytes.
            may_begin: asked once, just before the first byte leaves (connecting takes time, and a
                lease may run out meanwhile); if it says no, the answer is `NotSent`.
        """
        ...


class SharedWindow(Protocol):
    """One window guard for all lanes of the group (service/core/shared.py)."""

    async def exchange(self, said: Said) -> Heard:
        """Say it, at most once, and hear what holds now; at most `CALL_SECONDS_MAX`.

        Raises:
            WindowUnavailable: it was heard or not, and may still be.
        """
        ...


class Control(Protocol):
    """The control topic, as those who give commands need it."""

    async def write(self, command: AnyCommand, *, given_id: bool) -> Given:
        """Write one command, and return once Kafka keeps it.

        Args:
            command: its `id` names it.
            given_id: whether the operator chose that id. Then a command that stands there already
                is returned instead.

        Raises:
            OrderRefused: the id belongs to a command that asks for something else.
            TopicsError: the topic does not exist.
            BrokerUnavailable: it may be written or not; the text says how to find out.
        """
        ...

    async def request_ends(self, before_ms: int | None) -> Mapping[int, int]:
        """By partition of the requests topic, the offset after the last committed record.

        With `before_ms`, milliseconds since the epoch: the first record of that time or later.

        Raises:
            TopicsError: the topic does not exist.
            BrokerUnavailable: try again later.
        """
        ...

    async def lane_count(self) -> int:
        """How many lanes there are.

        Raises:
            TopicsError: the checkpoints topic does not exist.
            BrokerUnavailable: try again later.
        """
        ...

    async def owners(self) -> Mapping[int, str]:
        """By lane that a replica owns just now: that replica's client-id.

        Raises:
            BrokerUnavailable: try again later; also while the group is rebalancing.
        """
        ...


class Observer(Protocol):
    """Told every fact; metrics and logs are observers. It must never raise."""

    def tell(self, fact: Fact) -> None:
        """One more fact."""
        ...
