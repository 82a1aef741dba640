"""One measurement: events that wait in Kafka, worked off by a real `run` against a sink.

Knows nothing of how the figures are shown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.load import load
from bench.process import cpu_seconds, peak_rss_mb
from service.adapters.kafka.admin import NewTopicPlan, admin_client, create_topics
from service.demo.evidence import Outcomes, TwinPages
from service.demo.oracle import ACCEPTED
from service.demo.processes import Process, ProcessFailed
from service.demo.stage import Stage

LIMIT_PER_MINUTE = 1_000_000_000
"""No limit that one process could reach."""
WARM_SHARE = 0.2
"""The slope begins when so much is done: imports, connections and the first turns are over."""
PARTITIONS = 6
POLL_SECONDS = 0.05
STALL_SECONDS_MAX = 60.0
"""Without a new outcome for so long nothing more will come."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run showed."""

    events: int
    flows: int
    results: int
    """Committed results that were read back; fewer or more than `events` is a fault."""
    others: int
    cpu_us_per_call: float
    """From the warm mark to the last outcome."""
    cpu_us_per_call_whole: float
    """With the start of the process."""
    calls_per_second: float
    peak_rss_mb: float
    calls_per_request: float

    @property
    def complete(self) -> bool:
        """Whether each event has its result."""
        return (self.results, self.others) == (self.events, 0)


@dataclass(frozen=True, slots=True)
class _Sample:
    done: int
    """By the ends of the results' logs, which count the marks of transactions too."""
    cpu_seconds: float
    at: float


async def measure(
    stage: Stage, events: int, flows: int, python_options: Sequence[str] = ()
) -> Measured:
    """Load a fresh topic and work it off; the stage's Kafka is running.

    Raises:
        ProcessFailed: the dispatcher ended, or stands still.
    """
    topics = stage.names.topics
    async with admin_client({"bootstrap_servers": stage.bootstrap}) as admin:
        await create_topics(admin, [NewTopicPlan(topics["requests"], PARTITIONS)])
    await load(stage.bootstrap, topics["requests"], PARTITIONS, events, flows)
    url = await stage.start_twin("--sink", "--limit", str(LIMIT_PER_MINUTE))
    unlimited = {"provider": {"calls_per_minute": LIMIT_PER_MINUTE}}
    dispatcher = await stage.start_dispatcher(url, unlimited, python_options)
    async with TwinPages(url) as twin:
        warm, last = await _slope(stage, dispatcher.process, twin, events)
        peak = peak_rss_mb(dispatcher.process.pid)
        summary = await twin.summary()
    await dispatcher.stop()
    results, others = await _count(stage)
    # The marks of transactions are spread evenly, so calls are to log entries as in the whole.
    calls = (last.done - warm.done) * results / max(1, last.done)
    return Measured(
        events=events,
        flows=flows,
        results=results,
        others=others,
        cpu_us_per_call=1e6 * (last.cpu_seconds - warm.cpu_seconds) / max(1.0, calls),
        cpu_us_per_call_whole=1e6 * last.cpu_seconds / max(1, results),
        calls_per_second=calls / (last.at - warm.at),
        peak_rss_mb=peak,
        calls_per_request=summary.calls_received / max(1, summary.requests),
    )


async def _slope(
    stage: Stage, process: Process, twin: TwinPages, events: int
) -> tuple[_Sample, _Sample]:
    """A sample at the warm mark, and one when the last outcome is committed."""
    consumer = AIOKafkaConsumer(bootstrap_servers=stage.bootstrap, isolation_level="read_committed")
    await consumer.start()
    topic = stage.names.topics["results"]
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    try:
        warm: _Sample | None = None
        last = await _sample(consumer, partitions, process)
        while True:
            await asyncio.sleep(POLL_SECONDS)
            now = await _sample(consumer, partitions, process)
            if warm is None and now.done >= WARM_SHARE * events:
                warm = now
            if now.done > last.done:
                last = now
            elif warm is not None and last.done >= events and await _all_sent(twin, events):
                return warm, last
            elif now.at - last.at > STALL_SECONDS_MAX:
                raise ProcessFailed(f"the dispatcher stands still: {process.last_words}")
    finally:
        await consumer.stop()


async def _all_sent(twin: TwinPages, events: int) -> bool:
    return (await twin.summary()).calls_received >= events


async def _sample(consumer: Any, partitions: list[TopicPartition], process: Process) -> _Sample:
    if process.exit_code is not None:
        raise ProcessFailed(f"the dispatcher ended: {process.last_words}")
    ends = await consumer.end_offsets(partitions)
    return _Sample(sum(ends.values()), cpu_seconds(process.pid), time.monotonic())


async def _count(stage: Stage) -> tuple[int, int]:
    """Committed results, and other outcomes."""
    topics = stage.names.topics
    outcomes = Outcomes(stage.bootstrap, topics["results"], topics["dead_letters"])
    await outcomes.start()
    try:
        await outcomes.read_to_end()
    finally:
        await outcomes.stop()
    sources = {outcome.source for outcome in outcomes.found if outcome.kind == ACCEPTED}
    return len(sources), len(outcomes.found) - len(sources)
