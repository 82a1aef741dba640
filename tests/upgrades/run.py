"""A whole run: each round replaces both replicas, one after the other, while events come.

Knows nothing of the command line, nor of how outcomes are judged (tests/chaos).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from tests.chaos.arena import Arena
from tests.chaos.replica import Replica
from tests.chaos.run import Chaos

REPLICAS = 2
EVENTS_PER_SECOND = 120
LOST_ANSWERS_SHARE = 0.2
"""So that batches are in doubt whenever a replica ends, and the next one must make their bytes."""
DOWN_SECONDS = 1.0
SEED = 8
"""Of the load."""

Way = Literal["drained", "killed"]


@dataclass(frozen=True, slots=True)
class Round:
    """What both replicas are replaced by, and how the old ones end."""

    new_release: bool
    new_security_id: bool
    way: Way

    def __str__(self) -> str:
        release = "new" if self.new_release else "old"
        security_id = "second" if self.new_security_id else "first"
        return f"{release} release, {security_id} security-id, {self.way}"


ROUNDS = (
    Round(new_release=True, new_security_id=False, way="drained"),
    Round(new_release=False, new_security_id=False, way="drained"),
    Round(new_release=True, new_security_id=False, way="killed"),
    Round(new_release=False, new_security_id=False, way="killed"),
    Round(new_release=True, new_security_id=False, way="drained"),
    Round(new_release=True, new_security_id=True, way="drained"),
    Round(new_release=True, new_security_id=False, way="killed"),
)
"""Begun with the old release and the first security-id: there and back, in order and by crashes."""


class Upgrades:
    """One run; `tell` takes a line at a time."""

    def __init__(self, arena: Arena, old: Path, tell: Callable[[str], None]) -> None:
        self.chaos = Chaos(arena, SEED, tell)
        self.pause_seconds: dict[Way, float] = {"drained": 0.0, "killed": 0.0}
        """The longest time in which no request came to the provider, although events did."""
        self._arena, self._old, self._tell = arena, old, tell

    async def run(self) -> None:
        """Play the rounds, and stop after the first that breaks a promise."""
        async with self.chaos.playing():
            await self._arena.twin.program(
                {"rules": [{"fault": "cut-after", "share": LOST_ANSWERS_SHARE}]}
            )
            for each in ROUNDS:
                self._tell(f"to {each}")
                if not await self.chaos.under_load(EVENTS_PER_SECOND, self._replace(each)):
                    break

    async def _replace(self, each: Round) -> None:
        began = time.time()
        for replica in self._arena.replicas:
            self._set_up(replica, each)
            await (replica.kill if each.way == "killed" else replica.terminate)(DOWN_SECONDS)
            if not await replica.ready():
                self.chaos.trouble.append(f"replica {replica.number} is not ready: {each}")
        pause = await self._longest_pause(began)
        self.pause_seconds[each.way] = max(self.pause_seconds[each.way], round(pause, 1))
        self._tell(f"to {each}: no request for {pause:.1f} s at most")

    def _set_up(self, replica: Replica, each: Round) -> None:
        first, second = self._arena.security_ids
        new, previous = (second, first) if each.new_security_id else (first, second)
        replica.release = None if each.new_release else self._old
        replica.environment = {
            "DISPATCHER_PROVIDER__SECURITY_ID": new,
            "DISPATCHER_PROVIDER__PREVIOUS_SECURITY_IDS": previous,
        }

    async def _longest_pause(self, began: float) -> float:
        arrivals = [seen.at for seen in await self._arena.twin.requests() if seen.at >= began]
        return max(after - before for before, after in pairwise([began, *arrivals, time.time()]))


async def play(old: Path, tell: Callable[[str], None]) -> Upgrades:
    """One run from its begin to its end; `old` holds the other release's `service`.

    Raises:
        DispatcherError: what it stands on did not start.
    """
    async with Arena(REPLICAS, release=old) as arena:
        upgrades = Upgrades(arena, old, tell)
        await upgrades.chaos.kept(upgrades.run())
        return upgrades
