"""Fills a requests topic as fast as the broker takes it.

Knows nothing of what is measured afterwards.
"""

from __future__ import annotations

import asyncio
from itertools import cycle
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer

BATCH_BYTES_MAX = 512 * 1024
IN_FLIGHT_MAX = 8
TRANSACTION_MS_MAX = 600_000
FOUR_DIGITS = 10_000
EVENT = (
    '{"flow-id":"%s","client-identifier":"order-%08d","contact-numbers":["9%09d"],'
    '"keys":[{"name":"$flow.key.amount","value":"%d"}]}'
)
"""About 140 bytes."""


def flow_ids(count: int) -> list[str]:
    """So many valid flow ids, 10,000,000 at most."""
    width, prefix = (4, "Flow") if count <= FOUR_DIGITS else (7, "F")
    return [f"{prefix}{number:0{width}d}" for number in range(count)]


class Loader:
    """Writes events in one transaction, so that all of them can be read at the same moment."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._topic = topic
        self._partitions = partitions
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            transactional_id=f"{topic}.bench",
            transaction_timeout_ms=TRANSACTION_MS_MAX,
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=2**20,
        )

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._producer.stop()

    async def write(self, events: range, flows: list[str]) -> None:
        """Write events of these numbers; nobody can read them before `commit`.

        Flow follows flow, and partition follows partition batch by batch.
        """
        await self._producer.begin_transaction()
        places, sent = cycle(range(self._partitions)), []
        batch = self._producer.create_batch()
        for number in events:
            value = (EVENT % (flows[number % len(flows)], number, number, number % 997)).encode()
            key = b"customer-%d" % (number // 3)
            if batch.append(key=key, value=value, timestamp=None) is None:
                sent.append(await self._send(batch, next(places)))
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
                if len(sent) == IN_FLIGHT_MAX:
                    await asyncio.gather(*sent)
                    sent.clear()
        sent.append(await self._send(batch, next(places)))
        await asyncio.gather(*sent)

    async def commit(self) -> None:
        """From now on what was written is there."""
        await self._producer.commit_transaction()

    async def _send(self, batch: Any, partition: int) -> Any:
        batch.close()
        return await self._producer.send_batch(batch, self._topic, partition=partition)
