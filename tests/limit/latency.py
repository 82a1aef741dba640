"""`python -m tests.limit.latency`: from an event to its committed outcome at half of the limit.

Small flows leave on linger, not on count, so an outcome may take the linger, the answer, and little
more. The last line is JSON. Exits with 1 if one in a hundred took longer. Knows nothing of what a
full limit does.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from datetime import datetime

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.load import EVENT, flow_ids
from service.adapters.kafka.admin import NewTopicPlan, admin_client, create_topics
from service.demo.stage import Stage
from tests.limit.course import FLOWS, LIMIT, PARTITIONS

EVENTS_PER_SECOND = LIMIT // 60 // 2
TICK_SECONDS = 0.04
WARM_SECONDS = 15.0
MEASURED_SECONDS = 60.0
LINGER_SECONDS = 1.0
ANSWER_MS = (20, 80)
ALLOWANCE_SECONDS = 0.25


async def measure() -> list[float]:
    """Seconds from each event's timestamp to when its result could be read."""
    async with Stage("latency") as stage:
        await stage.start_kafka()
        topics = stage.names.topics
        plans = [NewTopicPlan(topics[name], PARTITIONS) for name in ("requests", "results")]
        async with admin_client({"bootstrap_servers": stage.bootstrap}) as admin:
            await create_topics(admin, plans)
        latency = "-".join(map(str, ANSWER_MS))
        url = await stage.start_twin("--limit", str(LIMIT), "--latency-ms", latency)
        await stage.start_dispatcher(url, {"batching": {"linger_seconds": LINGER_SECONDS}})
        producer = AIOKafkaProducer(bootstrap_servers=stage.bootstrap)
        consumer = AIOKafkaConsumer(
            topics["results"],
            bootstrap_servers=stage.bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        await producer.start()
        await consumer.start()
        publishing = asyncio.create_task(_publish(producer, topics["requests"]))
        try:
            found = await _read(consumer, time.time() + WARM_SECONDS)
            await publishing
        finally:
            publishing.cancel()
            await consumer.stop()
            await producer.stop()
    return found


async def _publish(producer: AIOKafkaProducer, topic: str) -> None:
    loop, ids, number = asyncio.get_running_loop(), flow_ids(FLOWS), 0
    started = loop.time()
    while (gone := loop.time() - started) < WARM_SECONDS + MEASURED_SECONDS:
        while number < gone * EVENTS_PER_SECOND:
            value = EVENT % (ids[number % FLOWS], number, number, number % 997)
            await producer.send(topic, value.encode(), partition=number // FLOWS % PARTITIONS)
            number += 1
        await asyncio.sleep(TICK_SECONDS)


async def _read(consumer: AIOKafkaConsumer, since: float) -> list[float]:
    found: list[float] = []
    while time.time() < since + MEASURED_SECONDS:
        for records in (await consumer.getmany(timeout_ms=100)).values():
            now = time.time()
            times = (_published_at(record.value) for record in records)
            found += [now - at for at in times if at > since]
    return found


def _published_at(result: bytes) -> float:
    return datetime.fromisoformat(json.loads(result)["source"]["timestamp"]).timestamp()


def main() -> int:
    """The command; returns its exit code."""
    found = asyncio.run(measure())
    bound = LINGER_SECONDS + ANSWER_MS[1] / 1000 + ALLOWANCE_SECONDS
    cuts = statistics.quantiles(found, n=100)
    figures = {
        "events": len(found),
        "event_to_outcome_p50_seconds": round(cuts[49], 3),
        "event_to_outcome_p99_seconds": round(cuts[98], 3),
        "bound_seconds": bound,
    }
    sys.stdout.write(f"{json.dumps(figures)}\n")
    return 0 if cuts[98] <= bound else 1


if __name__ == "__main__":
    sys.exit(main())
