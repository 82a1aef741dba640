"""One measurement: events that wait in Kafka, worked off by one contender against a sink.

Knows nothing of who the contender is, nor of how the figures are shown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.contenders import LIMIT_PER_MINUTE, STOP_SECONDS_MAX, Start
from bench.load import Loader, flow_ids
from bench.process import cpu_seconds, peak_rss_mb
from service.adapters.kafka.admin import NewTopicPlan, admin_client, create_topics
from service.demo.evidence import TwinPages
from service.demo.processes import Process, ProcessFailed
from service.demo.stage import Stage

POLL_SECONDS = 0.05
QUIET_SECONDS = 1.5
"""Without a new outcome for so long the last one is there, if everything was sent; longer than any
contender lets a batch linger."""
STALL_SECONDS_MAX = 60.0
"""Without a new outcome for so long nothing more will come."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is worked off: one backlog after the other by the same process, the last is measured."""

    flows: int
    steps: Sequence[int]
    """Events of each backlog. The first ones warm up: imports, connections, a JVM's compiler."""
    partitions: int = 6
    sink: Sequence[str] = ("--sink",)
    """How the provider's twin answers."""
    answer_seconds: float = 0.0
    """After which it answers."""
    during: Callable[[int], AbstractAsyncContextManager[object]] = field(
        default=lambda _: nullcontext()
    )
    """What goes on around the last step, by the contender's process id."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run showed; the figures are those of its last step."""

    events: int
    flows: int
    missing: int
    """Events of all steps whose committed result was not found."""
    repeats: int
    """Results beyond the first of an event."""
    cpu_us_per_call: float
    calls_per_second: float
    peak_rss_mb: float
    calls_per_request: float

    @property
    def complete(self) -> bool:
        """Whether each event has one result."""
        return not self.missing and not self.repeats


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process had used at a moment."""

    cpu_seconds: float
    at: float


async def measure(stage: Stage, begin: Start, plan: Plan) -> Measured:
    """Load a fresh topic and let it be worked off; the stage's Kafka is running.

    Raises:
        ProcessFailed: the contender ended, or stands still.
    """
    topics = stage.names.topics
    plans = [NewTopicPlan(topics[name], plan.partitions) for name in ("requests", "results")]
    async with admin_client({"bootstrap_servers": stage.bootstrap}) as admin:
        await create_topics(admin, plans)
    url = await stage.start_twin("--limit", str(LIMIT_PER_MINUTE), *plan.sink)
    process = await begin(stage, url)
    try:
        async with TwinPages(url) as twin:
            measured = await _steps(stage, process, twin, plan)
    finally:
        await process.stop(STOP_SECONDS_MAX)
    return measured


async def _steps(stage: Stage, process: Process, twin: TwinPages, plan: Plan) -> Measured:
    ids, done = flow_ids(plan.flows), 0
    before, first, last = await twin.summary(), Sample(0, 0), Sample(0, 0)
    async with Loader(stage.bootstrap, stage.names.topics["requests"], plan.partitions) as loader:
        for number, events in enumerate(plan.steps, start=1):
            await loader.write(range(done, done + events), ids)
            done += events
            before = await twin.summary()
            async with plan.during(process.pid) if number == len(plan.steps) else nullcontext():
                first = sample(process.pid)
                await loader.commit()
                last = await worked_off(stage, process, twin, done, plan)
    summary, peak = await twin.summary(), peak_rss_mb(process.pid)
    found, records = await _count(stage, plan.partitions)
    events = plan.steps[-1]
    return Measured(
        events=events,
        flows=plan.flows,
        missing=done - found,
        repeats=records - found,
        cpu_us_per_call=1e6 * (last.cpu_seconds - first.cpu_seconds) / events,
        calls_per_second=events / (last.at - first.at),
        peak_rss_mb=peak,
        calls_per_request=events / max(1, summary.requests - before.requests),
    )


def sample(pid: int) -> Sample:
    """Now."""
    return Sample(cpu_seconds(pid), time.monotonic())


async def worked_off(
    stage: Stage, process: Process, twin: TwinPages, events: int, plan: Plan
) -> Sample:
    """A sample of when the last of `events` results was committed.

    Raises:
        ProcessFailed: the process ended, or nothing comes any more.
    """
    consumer = AIOKafkaConsumer(bootstrap_servers=stage.bootstrap, isolation_level="read_committed")
    await consumer.start()
    topic = stage.names.topics["results"]
    partitions = [TopicPartition(topic, number) for number in range(plan.partitions)]
    written, last = -1, Sample(0.0, time.monotonic())
    try:
        while True:
            if process.exit_code is not None:
                raise ProcessFailed(f"the {process.name} ended: {process.last_words}")
            now = sample(process.pid)
            # The logs' ends count the marks of transactions too, so they tell growth, no count.
            ends = sum((await consumer.end_offsets(partitions)).values())
            if ends > written:
                written, last = ends, now
            quiet_seconds = now.at - last.at - plan.answer_seconds
            if quiet_seconds > QUIET_SECONDS and await _received(twin) >= events:
                return last
            if quiet_seconds > STALL_SECONDS_MAX:
                raise ProcessFailed(f"the {process.name} stands still: {process.last_words}")
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await consumer.stop()


async def _received(twin: TwinPages) -> int:
    return (await twin.summary()).calls_received


class _Result(msgspec.Struct, rename="kebab"):
    client_identifier: str


async def _count(stage: Stage, partitions: int) -> tuple[int, int]:
    """Events that have a committed result, and results."""
    decode = msgspec.json.Decoder(_Result).decode
    consumer = AIOKafkaConsumer(
        bootstrap_servers=stage.bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    found, records = set[str](), 0
    try:
        topic = stage.names.topics["results"]
        assigned = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(assigned)
        ends = await consumer.end_offsets(assigned)
        while any([await consumer.position(tp) < ends[tp] for tp in assigned]):
            for run in (await consumer.getmany(timeout_ms=200)).values():
                found.update(decode(record.value).client_identifier for record in run)
                records += len(run)
    finally:
        await consumer.stop()
    return len(found), records
