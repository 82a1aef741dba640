"""One measurement: events that wait in Kafka, worked off by a real `run` against a sink.

Knows nothing of how the figures are shown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.load import Loader, flow_ids
from bench.process import cpu_seconds, peak_rss_mb
from service.adapters.kafka.admin import NewTopicPlan, admin_client, create_topics
from service.demo.evidence import Outcomes, TwinPages
from service.demo.oracle import ACCEPTED
from service.demo.processes import Process, ProcessFailed
from service.demo.stage import Stage

LIMIT_PER_MINUTE = 1_000_000_000
"""No limit that one process could reach."""
WARM_EVENTS = 20_000
"""Worked off before anything is measured: imports, connections and the first turns are over."""
PARTITIONS = 6
POLL_SECONDS = 0.05
QUIET_SECONDS = 1.0
"""Without a new outcome for so long the last one is there, if everything was sent."""
STALL_SECONDS_MAX = 60.0
"""Without a new outcome for so long nothing more will come."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run showed."""

    events: int
    flows: int
    results: int
    """Committed results that were read back; other than `events` is a fault."""
    others: int
    cpu_us_per_call: float
    """From the moment when all events can be read to the last outcome, in a warm process."""
    calls_per_second: float
    peak_rss_mb: float
    calls_per_request: float

    @property
    def complete(self) -> bool:
        """Whether each event has its result."""
        return (self.results, self.others) == (self.events, 0)


@dataclass(frozen=True, slots=True)
class _Sample:
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
    url = await stage.start_twin("--sink", "--limit", str(LIMIT_PER_MINUTE))
    unlimited = {"provider": {"calls_per_minute": LIMIT_PER_MINUTE}}
    dispatcher = await stage.start_dispatcher(url, unlimited, python_options)
    pid, every, ids = dispatcher.process.pid, WARM_EVENTS + events, flow_ids(flows)
    async with (
        TwinPages(url) as twin,
        Loader(stage.bootstrap, topics["requests"], PARTITIONS) as loader,
    ):
        await loader.write(range(WARM_EVENTS), ids)
        await loader.commit()
        await _worked_off(stage, dispatcher.process, twin, WARM_EVENTS)
        before = await twin.summary()
        await loader.write(range(WARM_EVENTS, every), ids)
        first = _Sample(cpu_seconds(pid), time.monotonic())
        await loader.commit()
        last = await _worked_off(stage, dispatcher.process, twin, every)
        summary, peak = await twin.summary(), peak_rss_mb(pid)
    await dispatcher.stop()
    results, others = await _count(stage)
    return Measured(
        events=events,
        flows=flows,
        results=results - WARM_EVENTS,
        others=others,
        cpu_us_per_call=1e6 * (last.cpu_seconds - first.cpu_seconds) / events,
        calls_per_second=events / (last.at - first.at),
        peak_rss_mb=peak,
        calls_per_request=events / (summary.requests - before.requests),
    )


async def _worked_off(stage: Stage, process: Process, twin: TwinPages, events: int) -> _Sample:
    """A sample of when the last of `events` outcomes was committed."""
    consumer = AIOKafkaConsumer(bootstrap_servers=stage.bootstrap, isolation_level="read_committed")
    await consumer.start()
    topic = stage.names.topics["results"]
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    written, last = -1, _Sample(0.0, time.monotonic())
    try:
        while True:
            if process.exit_code is not None:
                raise ProcessFailed(f"the dispatcher ended: {process.last_words}")
            now = _Sample(cpu_seconds(process.pid), time.monotonic())
            # The logs' ends count the marks of transactions too, so they tell growth, no count.
            ends = sum((await consumer.end_offsets(partitions)).values())
            if ends > written:
                written, last = ends, now
            quiet_seconds = now.at - last.at
            if quiet_seconds > QUIET_SECONDS and await _all_sent(twin, events):
                return last
            if quiet_seconds > STALL_SECONDS_MAX:
                raise ProcessFailed(f"the dispatcher stands still: {process.last_words}")
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await consumer.stop()


async def _all_sent(twin: TwinPages, events: int) -> bool:
    return (await twin.summary()).calls_received >= events


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
