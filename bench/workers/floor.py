"""The floor: the least Python that reads events, POSTs batches by flow and writes results.

Knows nothing of validation, limits, retries, dead letters or crashes: events may be lost, or sent
twice.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from itertools import cycle
from typing import Any

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

BOOTSTRAP, REQUESTS, RESULTS, URL = (
    os.environ[f"BENCH_{name}"] for name in ("BOOTSTRAP", "REQUESTS", "RESULTS", "URL")
)
CALLS_MAX, CONCURRENCY, LINGER_MS, PARTITIONS = 500, 16, 200, 6
BODY = b'{"api-version":"1.0","security-id":"none","flow-id":"%b","calls":[%b]}'
CALL = b'{"client-identifier":%b,"contact-numbers":%b,"keys":%b}'
RESULT = b'{"client-identifier":%b,"flow-id":"%b","status":"accepted","request-id":%b}'


class Event(msgspec.Struct, rename="kebab"):
    flow_id: str
    client_identifier: msgspec.Raw
    contact_numbers: msgspec.Raw
    keys: msgspec.Raw


class Answer(msgspec.Struct, rename="kebab"):
    request_id: msgspec.Raw


async def main() -> None:
    decode, answered = msgspec.json.Decoder(Event).decode, msgspec.json.Decoder(Answer).decode
    drafts: dict[str, list[tuple[Any, Event]]] = defaultdict(list)
    slots, places = asyncio.Semaphore(CONCURRENCY), cycle(range(PARTITIONS))
    consumer = AIOKafkaConsumer(
        REQUESTS,
        bootstrap_servers=BOOTSTRAP,
        group_id=RESULTS,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, max_batch_size=512 * 1024)
    await consumer.start()
    await producer.start()

    async def fly(flow_id: str, draft: list[tuple[Any, Event]]) -> None:
        flow = flow_id.encode()
        calls = (CALL % (e.client_identifier, e.contact_numbers, e.keys) for _, e in draft)
        async with session.post(URL, data=BODY % (flow, b",".join(calls))) as response:
            request_id = answered(await response.read()).request_id
        batch = producer.create_batch()
        for key, event in draft:
            value = RESULT % (event.client_identifier, flow, request_id)
            batch.append(key=key, value=value, timestamp=None)
        await (await producer.send_batch(batch, RESULTS, partition=next(places)))
        slots.release()

    async def take_off(flow_id: str) -> None:
        await slots.acquire()
        flights.create_task(fly(flow_id, drafts.pop(flow_id)))

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as flights:
        while True:
            runs = await consumer.getmany(timeout_ms=LINGER_MS, max_records=1000)
            for record in (record for run in runs.values() for record in run):
                event = decode(record.value)
                drafts[event.flow_id].append((record.key, event))
                if len(drafts[event.flow_id]) == CALLS_MAX:
                    await take_off(event.flow_id)
            for flow_id in [] if runs else list(drafts):
                await take_off(flow_id)


asyncio.run(main())
