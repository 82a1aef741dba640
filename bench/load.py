"""Fills a requests topic as fast as the broker takes it.

Knows nothing of what is measured afterwards.
"""

from __future__ import annotations

import asyncio
from itertools import cycle
from typing import Any

from aiokafka import AIOKafkaProducer

BATCH_BYTES_MAX = 512 * 1024
IN_FLIGHT_MAX = 8
EVENT = (
    '{"flow-id":"%s","client-identifier":"order-%08d","contact-numbers":["9%09d"],'
    '"keys":[{"name":"$flow.key.amount","value":"%d"}]}'
)
"""About 140 bytes."""


def flow_ids(count: int) -> list[str]:
    """So many valid flow ids."""
    return [f"Flow{number:04d}" for number in range(count)]


async def load(bootstrap: str, topic: str, partitions: int, events: int, flows: int) -> None:
    """Write `events` events; flow follows flow, and partition follows partition batch by batch."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, max_batch_size=BATCH_BYTES_MAX, max_request_size=2**20, acks=1
    )
    await producer.start()
    try:
        await _write(producer, topic, partitions, events, flow_ids(flows))
    finally:
        await producer.stop()


async def _write(producer: Any, topic: str, partitions: int, events: int, flows: list[str]) -> None:
    places, sent = cycle(range(partitions)), []
    batch = producer.create_batch()
    for number in range(events):
        value = (EVENT % (flows[number % len(flows)], number, number, number % 997)).encode()
        key = b"customer-%d" % (number // 3)
        if batch.append(key=key, value=value, timestamp=None) is None:
            sent.append(await _send(producer, batch, topic, next(places)))
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None)
            if len(sent) == IN_FLIGHT_MAX:
                await asyncio.gather(*sent)
                sent.clear()
    sent.append(await _send(producer, batch, topic, next(places)))
    await asyncio.gather(*sent)


async def _send(producer: Any, batch: Any, topic: str, partition: int) -> Any:
    batch.close()
    return await producer.send_batch(batch, topic, partition=partition)
