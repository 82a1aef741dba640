"""`python -m bench.lanes`: calls a second of several lanes, each on a process of its own.

Knows nothing of one lane's cost: here the answers' time is what holds each lane back, as it does
with a provider far away.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Sequence

import aiohttp
import click

from bench.contenders import LIMIT_PER_MINUTE
from bench.load import Loader, flow_ids
from bench.measure import Plan, worked_off
from bench.points import Row, configured
from bench.process import cpu_seconds, peak_rss_mb
from service.adapters.kafka.admin import NewTopicPlan, admin_client, create_topics
from service.cli import exit_code
from service.demo.evidence import TwinPages
from service.demo.processes import ProcessFailed
from service.demo.stage import Dispatcher, Stage

ANSWER_MS, CONCURRENCY = 500, 4
PARTITIONS, FLOWS = 8, 10
WARM, EVENTS_PER_LANE = 20_000, 80_000
FROM_SHARE, TO_SHARE = 0.1, 0.8
"""The stretch over which the rate is taken: the beginning and the last, partial batches are out."""
WORTH_MIN = 1.7
"""Two lanes have at least so many times the calls a second of one."""
READY_SECONDS_MAX, ARRIVED_SECONDS_MAX, POLL_SECONDS = 60.0, 300.0, 0.2
CHECKPOINTS = {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"}
_OWNED = re.compile(r"^\w*lane_owned(?:{.*})? 1(?:\.0)?$", re.MULTILINE)


async def worth(bootstrap: str, lanes: int) -> Row:
    """The figures of so many lanes on as many processes; CPU of all of them together."""
    plan = Plan(FLOWS, (WARM, EVENTS_PER_LANE * lanes), PARTITIONS, answer_seconds=ANSWER_MS / 1000)
    async with Stage("bench") as stage:
        stage.bootstrap = bootstrap
        await stage.start_kafka()
        topics = stage.names.topics
        async with admin_client({"bootstrap_servers": bootstrap}) as admin:
            await create_topics(
                admin,
                [
                    NewTopicPlan(topics["requests"], PARTITIONS),
                    NewTopicPlan(topics["results"], PARTITIONS),
                    NewTopicPlan(topics["checkpoints"], lanes, CHECKPOINTS),
                ],
            )
        url = await stage.start_twin(
            "--limit", str(LIMIT_PER_MINUTE), "--latency-ms", str(ANSWER_MS)
        )
        more = configured({"provider": {"concurrency": CONCURRENCY}})
        running = [
            await stage.start_dispatcher(url, more, name=f"dispatcher-{number}")
            for number in range(lanes)
        ]
        await _one_lane_each(running)
        return await _work(stage, running, url, plan)


async def _work(stage: Stage, running: Sequence[Dispatcher], url: str, plan: Plan) -> Row:
    pids, ids = [each.process.pid for each in running], flow_ids(plan.flows)
    warm, events = plan.steps
    topic = stage.names.topics["requests"]
    async with (
        TwinPages(url) as twin,
        Loader(stage.bootstrap, topic, plan.partitions) as loader,
    ):
        await loader.write(range(warm), ids)
        await loader.commit()
        await worked_off(stage, running[0].process, twin, warm, plan)
        await loader.write(range(warm, warm + events), ids)
        used = sum(map(cpu_seconds, pids))
        await loader.commit()
        first, last = [
            await _arrived(twin, warm + int(events * share)) for share in (FROM_SHARE, TO_SHARE)
        ]
        await worked_off(stage, running[0].process, twin, warm + events, plan)
        used = sum(map(cpu_seconds, pids)) - used
    return {
        "cpu_us_per_call": round(1e6 * used / events, 1),
        "peak_rss_mb": round(max(map(peak_rss_mb, pids))),
        "calls_per_second": round((last[0] - first[0]) / (last[1] - first[1])),
    }


async def _arrived(twin: TwinPages, calls: int) -> tuple[int, float]:
    """How many calls have arrived, and when, once it is `calls` or more."""
    received = 0
    try:
        async with asyncio.timeout(ARRIVED_SECONDS_MAX):
            while received < calls:
                await asyncio.sleep(POLL_SECONDS / 10)
                received = (await twin.summary()).calls_received
    except TimeoutError as error:
        raise ProcessFailed(f"{received} of {calls} calls have arrived") from error
    return received, time.monotonic()


async def _one_lane_each(running: Sequence[Dispatcher]) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS_MAX), aiohttp.ClientSession() as session:
            for each in running:
                while True:
                    async with session.get(f"{each.address}/metrics") as answer:
                        if len(_OWNED.findall(await answer.text())) == 1:
                            break
                    await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        raise ProcessFailed("the lanes are not owned one by one") from error


async def _compare(lanes: int) -> dict[str, float | bool]:
    async with Stage("bench") as home:
        await home.start_kafka()
        rates = {}
        for number in (1, lanes):
            row = await worth(home.bootstrap, number)
            click.echo(f"{number} lanes: {json.dumps(row)}", err=True)
            rates[number] = row["calls_per_second"]
    times = round(rates[lanes] / rates[1], 2)
    least = WORTH_MIN * lanes / 2
    return {"ok": times >= least, "lanes": lanes, "times_one_lane": times, "least": least}


@click.command()
@click.option("--lanes", type=click.IntRange(2, 8), default=2, show_default=True)
def compare(*, lanes: int) -> None:
    """Compare several lanes with one. The last line is JSON; exits with 1 if too little is won."""
    summary = asyncio.run(_compare(lanes))
    print(json.dumps(summary))
    sys.exit(0 if summary["ok"] else 1)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: compare.main(standalone_mode=False)))
