"""The simulated group coordinator: members, heartbeats, session timeouts, sticky assignment.

The broker's side only; the member's side is `SimElection`. As in Kafka's eager protocol, a
rebalance ends when every member that is alive has joined again. Knows nothing of what a partition
stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.kafka import SimKafka


@dataclass(eq=False, slots=True)
class Member:
    """One consumer of the group."""

    number: int
    client_id: str
    session_seconds: float
    assigned: Callable[[Member], None]
    """Called when there is a new assignment to fetch."""
    beat_at: float = 0.0
    joined: bool = True
    """Whether it takes part in the rebalance that is under way."""
    gone: bool = False
    partitions: frozenset[int] = field(default_factory=frozenset)
    generation: int = -1


class Group:
    """The only group there is."""

    def __init__(self, kafka: SimKafka) -> None:
        self.partitions = 1
        self.generation = 0
        self.stable = True
        self.members: list[Member] = []
        self._kafka = kafka
        self._numbers = count()

    def join(
        self, client_id: str, session_seconds: float, assigned: Callable[[Member], None]
    ) -> Member:
        """A new member; it begins a rebalance."""
        member = Member(next(self._numbers), client_id, session_seconds, assigned)
        member.beat_at = self._kafka.loop.now
        self.members.append(member)
        self._kafka.loop.after(session_seconds, self._expire, member)
        self._rebalance()
        return member

    def beat(self, member: Member) -> bool:
        """A heartbeat: False if the group does not know the member any more.

        A member that learns of a rebalance joins it with this.
        """
        if member.gone:
            return False
        member.beat_at = self._kafka.loop.now
        if not self.stable and not member.joined:
            member.joined = True
            self._finish()
        return True

    def leave(self, member: Member) -> None:
        """The member goes, and its session needs no waiting out."""
        if not member.gone:
            member.gone = True
            self.members.remove(member)
            self._rebalance()

    def grow(self, partitions: int) -> None:
        """Members have noticed that there are more partitions."""
        if partitions > self.partitions:
            self.partitions = partitions
            self._rebalance()

    def owner_of(self, partition: int) -> str | None:
        """The client-id that a stable group has given the partition to."""
        if not self.stable:
            return None
        return next((m.client_id for m in self.members if partition in m.partitions), None)

    def reload(self) -> None:
        """The coordinator was away: all sessions begin anew."""
        for member in self.members:
            member.beat_at = self._kafka.loop.now

    def _expire(self, member: Member) -> None:
        if member.gone:
            return
        now = self._kafka.loop.now
        left = member.beat_at + member.session_seconds - now
        if not self._kafka.up:
            left = member.session_seconds
        if left > 0.0:
            self._kafka.loop.after(left, self._expire, member)
        else:
            self.leave(member)

    def _rebalance(self) -> None:
        if self.stable:
            self.stable = False
            for member in self.members:
                # Who has just come takes part already.
                member.joined = member.generation < 0
        self._finish()

    def _finish(self) -> None:
        if not all(member.joined for member in self.members):
            return
        self.generation += 1
        self.stable = True
        self._assign()
        for member in self.members:
            member.generation = self.generation
            self._kafka.loop.after(self._kafka.rng.uniform(0.001, 0.02), member.assigned, member)

    def _assign(self) -> None:
        """Sticky: an owner keeps its partitions, unless others would have too few."""
        if not self.members:
            return
        least, extra = divmod(self.partitions, len(self.members))
        by_load = sorted(self.members, key=lambda m: (-len(m.partitions), m.number))
        kept: dict[Member, list[int]] = {}
        for place, member in enumerate(by_load):
            kept[member] = sorted(member.partitions)[: least + (place < extra)]
        held = {partition for partitions in kept.values() for partition in partitions}
        free = [partition for partition in range(self.partitions) if partition not in held]
        for partition in free:
            taker = min(self.members, key=lambda m: (len(kept[m]), m.number))
            kept[taker].append(partition)
        for member in self.members:
            member.partitions = frozenset(kept[member])
