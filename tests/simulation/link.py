"""One process's connection to the simulated broker: slow, lossy, or cut.

Knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.kafka import Fenced, SimKafka

CALL_SECONDS = 15.0
"""For one exchange, and for a whole commit, as in the real adapter."""


@dataclass(slots=True)
class Weather:
    """How badly a client's connection to the broker fares; drawn anew for each world."""

    slow_share: float = 0.0
    """Of requests, those that take up to `slow_seconds`."""
    slow_seconds: float = 0.0
    commit_lost_share: float = 0.0
    """Of commits, those whose answer is lost though the broker is up."""
    short_reads: bool = False


@dataclass(slots=True)
class Link:
    """One process's connection to the broker."""

    kafka: SimKafka
    rng: random.Random
    weather: Weather = field(default_factory=Weather)
    up: bool = True
    heartbeats_up: bool = True

    @property
    def open(self) -> bool:
        """Whether a request would arrive now."""
        return self.up and self.kafka.up

    def delay(self) -> float:
        """Seconds that one way takes."""
        weather, rng = self.weather, self.rng
        if weather.slow_share and rng.random() < weather.slow_share:
            return rng.random() * weather.slow_seconds
        return rng.uniform(0.0005, 0.004)

    async def ask(self, request: Callable[[], Any]) -> Any:
        """The broker's answer; asks again until there is one.

        Raises:
            Fenced: that was the answer.
        """
        while True:
            if self.open:
                answer = self.kafka.loop.create_future()
                self.kafka.loop.after(self.delay(), self._arrive, request, answer)
                came, value = await answer
                if came:
                    if isinstance(value, Fenced):
                        raise value
                    return value
            await asyncio.sleep(self.rng.uniform(0.1, 0.5))

    def _arrive(self, request: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
        if not self.open:
            give(answer, (False, None))
            return
        try:
            value = request()
        except Fenced as fenced:
            value = fenced
        self.kafka.loop.after(self.delay(), self._answer, answer, value)

    def _answer(self, answer: asyncio.Future[Any], value: Any) -> None:
        give(answer, (self.open, value))


def give(future: asyncio.Future[Any], value: Any) -> None:
    """Set the result, unless whoever waits for it has gone."""
    if not future.done():
        future.set_result(value)
