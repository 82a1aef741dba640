"""`python -m tests.limit.idle`: what a dispatcher costs with nothing to do, and at the limit.

The last line is JSON. Exits with 1 if idling takes more than a hundredth of a core, or makes any
transaction. Knows nothing of what a call costs without a limit (bench).
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import asdict, dataclass

import aiohttp

from bench.load import Loader, flow_ids
from bench.process import cpu_seconds
from service.adapters.kafka.admin import NewTopicPlan, admin_client, create_topics
from service.demo.evidence import TwinPages
from service.demo.stage import Dispatcher, Stage
from tests.limit.course import FLOWS, LIMIT, PARTITIONS

SETTLE_SECONDS = 10.0
MEASURED_SECONDS = 60.0
CPU_SHARE_MAX = 0.01
CALLS_BEFORE = 1_000
"""So that the idle lane is one that has worked: with an account that is proven, and connections."""
POLL_SECONDS = 0.5
TURNS = re.compile(r"^\w*turn_duration_seconds_count(?:{.*})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; shares are of one core."""

    idle_cpu_share: float
    idle_transactions: int
    cpu_share_at_limit: float


async def measure() -> Figures:
    """One dispatcher, idle and then with a backlog."""
    async with Stage("idle") as stage:
        await stage.start_kafka()
        topic = stage.names.topics["requests"]
        async with admin_client({"bootstrap_servers": stage.bootstrap}) as admin:
            await create_topics(admin, [NewTopicPlan(topic, PARTITIONS)])
        url = await stage.start_twin("--limit", str(LIMIT), "--latency-ms", "20-80")
        dispatcher = await stage.start_dispatcher(url)
        async with Loader(stage.bootstrap, topic, PARTITIONS) as loader, TwinPages(url) as twin:
            await loader.write(range(CALLS_BEFORE), flow_ids(FLOWS))
            await loader.commit()
            while await _accepted(twin) < CALLS_BEFORE:  # noqa: ASYNC110 - in another process
                await asyncio.sleep(POLL_SECONDS)
            await asyncio.sleep(SETTLE_SECONDS)
            turns = await _turns(dispatcher)
            idle = await _cpu_share(dispatcher)
            turns = await _turns(dispatcher) - turns
            seconds = SETTLE_SECONDS + MEASURED_SECONDS + 10.0
            last = CALLS_BEFORE + int(seconds * LIMIT / 60)
            await loader.write(range(CALLS_BEFORE, last), flow_ids(FLOWS))
            await loader.commit()
            await asyncio.sleep(SETTLE_SECONDS)
            busy = await _cpu_share(dispatcher)
    return Figures(round(idle, 4), turns, round(busy, 4))


async def _accepted(twin: TwinPages) -> int:
    return (await twin.summary()).calls_accepted


async def _cpu_share(dispatcher: Dispatcher) -> float:
    pid, loop = dispatcher.process.pid, asyncio.get_running_loop()
    used, started = cpu_seconds(pid), loop.time()
    await asyncio.sleep(MEASURED_SECONDS)
    return (cpu_seconds(pid) - used) / (loop.time() - started)


async def _turns(dispatcher: Dispatcher) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{dispatcher.address}/metrics") as answer,
    ):
        found = TURNS.search(await answer.text())
    assert found is not None
    return int(float(found[1]))


def main() -> int:
    """The command; returns its exit code."""
    figures = asyncio.run(measure())
    sys.stdout.write(f"{json.dumps(asdict(figures))}\n")
    return 0 if figures.idle_cpu_share < CPU_SHARE_MAX and not figures.idle_transactions else 1


if __name__ == "__main__":
    sys.exit(main())
