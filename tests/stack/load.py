"""A small steady load: what upstream would publish on a quiet afternoon, with its usual mistakes.

Knows nothing of what becomes of it.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from aiokafka import AIOKafkaProducer

FLOWS = ("Welcome1", "Remind24", "Survey07")
"""Configured by name; every tenth event is of a flow that is not."""
UNLISTED = "Seldom99"
TICK_SECONDS = 0.2
MALFORMED_SHARE = 0.01
REFUSED_SHARE = 0.01
REFUSED_ENDING = "00000"
"""The twin refuses numbers that end so."""


class Load:
    """Publishes `rate` events a second to `topic` until it is cancelled."""

    def __init__(self, bootstrap: str, topic: str, rate: float) -> None:
        self.published = 0
        self._topic = topic
        self._rate = rate
        self._chance = random.Random(7)
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)

    async def run(self) -> None:
        """Publish evenly; what is late is made up for."""
        await self._producer.start()
        try:
            began = asyncio.get_running_loop().time()
            while True:
                due = (asyncio.get_running_loop().time() - began) * self._rate
                while self.published < due:
                    await self._publish()
                await asyncio.sleep(TICK_SECONDS)
        finally:
            await self._producer.stop()

    async def _publish(self) -> None:
        self.published += 1
        event = self._event(self.published)
        malformed = self._chance.random() < MALFORMED_SHARE
        value = b"{" if malformed else json.dumps(event).encode()
        key = str(event["client-identifier"]).encode()
        await self._producer.send(self._topic, value, key=key)

    def _event(self, number: int) -> dict[str, Any]:
        refused = self._chance.random() < REFUSED_SHARE
        ending = REFUSED_ENDING if refused else f"{self._chance.randrange(1, 100_000):05d}"
        return {
            "flow-id": UNLISTED if number % 10 == 0 else self._chance.choice(FLOWS),
            "client-identifier": f"order-{number:06d}",
            "contact-numbers": [f"9{self._chance.randrange(10_000):04d}{ending}"],
        }
