"""How fast a replay goes: at a rate, or as the live traffic leaves room.

Knows nothing of what is sent.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from service.adapters.kafka.broker import KafkaBroker
from service.adapters.kafka.scan import KafkaScan
from service.core.checkpoint import decode
from service.core.offsets import Ledger
from service.core.replay import spare
from service.settings import Settings

STEP_SECONDS = 0.5
"""Between two transactions."""
EVENTS_MAX = 5_000
"""Of one transaction."""
NEWS_SECONDS = 5.0
"""Between two words on why nothing is sent."""


class Pace(ABC):
    """Says how many events may be sent now."""

    @abstractmethod
    async def room(self) -> int:
        """Return once there is room for one event or more, and for how many."""


class Fixed(Pace):
    """So many events a second, whatever else goes on."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._due = 0.0

    async def room(self) -> int:
        """See `Pace.room`; time that was not used is not made up for."""
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(self._due - now)
        count = max(1, min(EVENTS_MAX, int(self._rate * STEP_SECONDS)))
        self._due = max(now, self._due) + count / self._rate
        return count


class Spare(Pace):
    """What the provider's limit allows beyond what waits already."""

    def __init__(
        self, settings: Settings, scan: KafkaScan, client_id: str, tell: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._scan = scan
        self._broker = KafkaBroker(settings, client_id)
        self._tell = tell
        self._told_at = 0.0
        self._due = 0.0

    async def room(self) -> int:
        """See `Pace.room`."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._due - loop.time())
            limit, backlog = await self._look()
            if count := spare(limit, backlog, STEP_SECONDS):
                self._due = loop.time() + max(STEP_SECONDS, count * 60 / limit)
                return min(EVENTS_MAX, count)
            self._due = loop.time() + STEP_SECONDS
            if loop.time() - self._told_at > NEWS_SECONDS:
                self._told_at = loop.time()
                self._tell(f"waits: {backlog} events are ahead of it")

    async def _look(self) -> tuple[int, int]:
        """The limit (calls a minute), and how many requests have no outcome and are not set aside.

        Behind the last record of a partition there may be the marker of its transaction.
        """
        names = self._settings.kafka.topics
        facts = await self._scan.topics([names.requests, names.checkpoints])
        count = facts[names.requests].partitions
        tps = [(names.requests, partition) for partition in range(count)]
        ends = await self._scan.ends(tps)
        limit, ledgers = self._settings.provider.calls_per_minute, dict[tuple[str, int], Ledger]()
        for lane in range(facts[names.checkpoints].partitions):
            stored = await self._broker.last_checkpoint(lane)
            if stored is None:
                continue
            checkpoint = decode(stored.value)
            limit = checkpoint.limit or limit
            for state in checkpoint.partitions:
                if (state.topic, state.partition) in ends:
                    ledgers[state.topic, state.partition] = Ledger.restore(state)
        starts = await self._scan.starts([tp for tp in tps if tp not in ledgers])
        backlog = 0
        for tp, end in ends.items():
            ledger = ledgers.get(tp)
            unread = end - (starts[tp] if ledger is None else ledger.end)
            backlog += max(0, unread - 1) + (0 if ledger is None else ledger.open)
        return limit, backlog
