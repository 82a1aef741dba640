"""The turns of a lane: one transaction for everything that became known since the last one.

Knows nothing of verdicts or HTTP. Only after a turn's commit are the batches that it sealed handed
to the sender; a send needs a committed turn that began less than the lease ago.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from service.core import checkpoint as checkpoints
from service.core.facts import Trouble, TurnCommitted
from service.errors import BrokerUnavailable, CommitUnknown, LaneFenced
from service.pipeline.batch import Batch
from service.pipeline.bell import Bell
from service.pipeline.durable import checkpoint_of
from service.pipeline.outbox import Outbox
from service.pipeline.state import LaneState
from service.ports import Broker, Clock, Outgoing, Stored, TopicPartition, Writer

GATHER_SECONDS = 0.08
"""A turn waits no longer than this for what flights bring while they need no turn themselves."""
RETAKE_SECONDS = 1.0
"""Between two tries to find out what became of a transaction."""


def lease_seconds(session_timeout_seconds: float) -> float:
    """How long after a turn's begin its owner may send.

    No longer than the group waits for a heartbeat, less one heartbeat (a tenth of the session
    timeout) and a second.
    """
    return session_timeout_seconds * 0.9 - 1.0


@dataclass(frozen=True, slots=True)
class TurnHooks:
    """What happens around a turn, supplied by the lane."""

    pick: Callable[[], Sequence[Batch]]
    """Seals what may be sent soon."""
    next_pick_at: Callable[[], float | None]
    """Loop time at which `pick` may find something; None: when the bell rings."""
    release: Callable[[Batch], None]
    """A sealed batch is durable."""
    after: Callable[[], None]
    """A turn is committed."""
    supplied: Callable[[], bool]
    """Whether the flights have enough to go on with for some time without a turn."""


class Turns:
    """Commits a lane's turns, one at a time."""

    def __init__(
        self,
        state: LaneState,
        broker: Broker,
        writer: Writer,
        owner: str,
        clock: Clock,
        last: tuple[str, int] | None,
        hooks: TurnHooks,
    ) -> None:
        """`last` is the owner and turn of the predecessor's last checkpoint."""
        self.bell = Bell()
        self.needed = Bell()
        """Rung when the flights are no longer supplied."""
        self.committed = 0
        self._state = state
        self._broker = broker
        self._writer = writer
        self._owner = owner
        self._clock = clock
        self._hooks = hooks
        self._lease = lease_seconds(state.settings.kafka.session_timeout_seconds)
        self._began = float("-inf")
        self._others_send_until = self._others_arrive_until = float("-inf")
        self._fresh = asyncio.Condition()
        self._stopping = False
        self._last = last
        self._offsets: Mapping[TopicPartition, int] = {}
        """The group's offsets as they were last committed."""

    async def run(self) -> None:
        """Make turns as they are needed until `stop`; when idle, none."""
        loop = asyncio.get_running_loop()
        while not self._stopping:
            if self._state.outbox and self._hooks.supplied():
                await self.needed.wait_next(GATHER_SECONDS)
            sealed = self._hooks.pick()
            if sealed or self._state.outbox:
                await self.commit(sealed)
                continue
            at = self._hooks.next_pick_at()
            await self.bell.wait(None if at is None else max(0.0, at - loop.time()))

    def stop(self) -> None:
        """Let `run` return after the turn that is under way."""
        self._stopping = True
        self.bell.ring()

    def leased(self) -> bool:
        """Whether a send may start now."""
        return self._clock.boot() - self._began < self._lease

    async def lease(self) -> None:
        """Return when a send may start: at once, or after a turn made for this."""
        while not self.leased():
            self._state.outbox.wanted = True
            self.bell.ring()
            async with self._fresh:
                await self._fresh.wait()

    async def commit(self, sealed: Sequence[Batch] = (), *, released: bool = False) -> int:
        """One turn; returns the broker's time of it in ms.

        Raises:
            LaneFenced: a successor has taken the lane over; nothing of this turn was written.
        """
        state, loop = self._state, asyncio.get_running_loop()
        started = loop.time()
        state.turn += 1
        outbox = state.take_outbox()
        saved = checkpoint_of(state, self._owner, *self._bounds(), started, released=released)
        offsets = state.positions()
        changed = {tp: at for tp, at in offsets.items() if self._offsets.get(tp) != at}
        outgoing = Outgoing(state.writes_of(outbox), changed, state.lane, checkpoints.encode(saved))
        stamp = await self._write(outgoing)
        self.committed = state.turn
        self._last = (self._owner, state.turn)
        self._offsets = offsets
        self._tell(outbox, outgoing, loop.time() - started)
        for batch in state.open.values():
            if batch.saved.first_possible_ms is None:
                batch.saved = msgspec.structs.replace(batch.saved, first_possible_ms=stamp)
        for batch in sealed:
            self._hooks.release(batch)
        self._hooks.after()
        async with self._fresh:
            self._fresh.notify_all()
        return stamp

    def inherit(self, send_until: float, arrive_until: float) -> None:
        """Earlier owners may send, and their requests arrive, until then (CLOCK_BOOTTIME)."""
        self._others_send_until, self._others_arrive_until = send_until, arrive_until

    def _bounds(self) -> tuple[float, float]:
        """Lease and time limit for a successor, who must wait for earlier owners too."""
        now = self._clock.boot()
        timeout = self._state.settings.provider.timeout_seconds
        return (
            max(self._lease, self._others_send_until - now),
            max(timeout, self._others_arrive_until - now),
        )

    def _tell(self, outbox: Outbox, outgoing: Outgoing, seconds: float) -> None:
        state = self._state
        for fact in outbox.facts:
            state.observer.tell(fact)
        size = state.checkpoint_bytes = len(outgoing.checkpoint)
        state.observer.tell(TurnCommitted(state.lane, state.turn, seconds, size, len(state.open)))

    async def _write(self, outgoing: Outgoing) -> int:
        failures = 0
        while True:
            if failures > 1:
                await asyncio.sleep(RETAKE_SECONDS)
            began = self._clock.boot()
            try:
                stamp = await self._writer.commit(outgoing)
            except CommitUnknown as error:
                failures += 1
                self._state.observer.tell(Trouble("commit", str(error)))
                known = await self._find_out()
                if known is not None:
                    return known
            else:
                self._began = began
                return stamp

    async def _find_out(self) -> int | None:
        """Take the lane over from itself and look what became of the turn.

        Returns:
            The time of the turn if it was committed, None if it has to be written again.

        Raises:
            LaneFenced: the lane is another's by now.
        """
        while True:
            try:
                stored = await self._retake()
            except BrokerUnavailable as error:
                self._state.observer.tell(Trouble("commit", str(error)))
                await asyncio.sleep(RETAKE_SECONDS)
            else:
                return self._known(stored)

    def _known(self, stored: Stored | None) -> int | None:
        last = checkpoints.decode(stored.value) if stored else None
        if last is not None and last.migrating:
            raise LaneFenced("the number of lanes is being changed")
        found = (last.owner, last.turn) if last else None
        if stored is not None and found == (self._owner, self._state.turn):
            return stored.timestamp_ms
        if found != self._last:
            raise LaneFenced("another replica has written the lane's last checkpoint")
        return None

    async def _retake(self) -> Stored | None:
        lane = self._state.lane
        await self._writer.stop()
        if not await self._broker.owns(lane):
            raise LaneFenced("the group has given the lane to another replica")
        self._writer = self._broker.writer(lane)
        await self._writer.start()
        return await self._broker.last_checkpoint(lane)

    async def close(self) -> None:
        """Give the producer up."""
        await self._writer.stop()
