"""How the latest replays stand, read now and then from where they are noted.

Knows nothing of how that is read. Whoever runs a replay is a command that nobody scrapes, so each
dispatcher tells it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge

from service.adapters.metrics.catalogue import PREFIX
from service.core.replay_words import Replay, State
from service.errors import DispatcherError

LOOK_SECONDS = 60.0
LATEST_SECONDS = 86_400.0
"""An older one is nobody's task of tonight."""


class ReplayStandings:
    """The gauge, and the loop that sets it."""

    def __init__(
        self,
        registry: CollectorRegistry,
        standings: Callable[[], Awaitable[Sequence[tuple[Replay, State]]]],
    ) -> None:
        self._standings = standings
        self._gauge = Gauge(
            PREFIX + "replays",
            "Replays that took a step within the last day, by where they stand now; the same in "
            "each process.",
            ["state"],
            registry=registry,
        )
        self._tell(())

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Set the gauge; while Kafka is away, what was last seen stands."""
        with contextlib.suppress(DispatcherError):
            self._tell(await self._standings())

    def _tell(self, standings: Sequence[tuple[Replay, State]]) -> None:
        since = time.time() - LATEST_SECONDS
        found = Counter(
            state
            for replay, state in standings
            if datetime.fromisoformat(replay.updated_at).timestamp() >= since
        )
        for state in State:
            self._gauge.labels(state).set(found[state])
