"""How long a killed dispatcher's work stands still: from SIGKILL to its standby's first request.

Knows nothing of why: docs/performance.md says what the time is made of.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time

from bench.contenders import LIMIT_PER_MINUTE
from bench.load import Loader, flow_ids
from bench.measure import Plan
from bench.points import configured
from service.adapters.kafka.admin import NewTopicPlan, admin_client, create_topics
from service.demo.evidence import TwinPages
from service.demo.processes import ProcessFailed
from service.demo.stage import Stage

EVENTS = 300_000
"""More than is worked off before the kill."""
KILLED_AT = 10_000
SESSION_SECONDS = 6.0
"""A killed process is missed after this, and its lease ends at about the same time."""
ARRIVING_SECONDS = 0.5
"""What the killed process had written to its sockets arrives meanwhile."""
TAKEOVER_SECONDS_MAX = 120.0
POLL_SECONDS = 0.02


async def takeover_seconds(bootstrap: str, plan: Plan) -> float:
    """One takeover in the middle of a backlog."""
    async with Stage("bench") as stage:
        stage.bootstrap = bootstrap
        await stage.start_kafka()
        topics = stage.names.topics
        async with admin_client({"bootstrap_servers": bootstrap}) as admin:
            await create_topics(admin, [NewTopicPlan(topics["requests"], plan.partitions)])
        url = await stage.start_twin("--limit", str(LIMIT_PER_MINUTE), "--sink")
        more = configured({"kafka": {"session_timeout_seconds": SESSION_SECONDS}})
        first = await stage.start_dispatcher(url, more, name="first")
        await stage.start_dispatcher(url, more, name="second")
        async with (
            TwinPages(url) as twin,
            Loader(bootstrap, topics["requests"], plan.partitions) as loader,
        ):
            await loader.write(range(EVENTS), flow_ids(plan.flows))
            await loader.commit()
            await _received(twin, KILLED_AT)
            os.kill(first.process.pid, signal.SIGKILL)
            killed = time.monotonic()
            await asyncio.sleep(ARRIVING_SECONDS)
            await _received(twin, (await twin.summary()).calls_received + 1)
            return round(time.monotonic() - killed, 1)


async def _received(twin: TwinPages, calls: int) -> None:
    try:
        async with asyncio.timeout(TAKEOVER_SECONDS_MAX):
            while (await twin.summary()).calls_received < calls:  # noqa: ASYNC110 - elsewhere
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        raise ProcessFailed("nothing is sent any more") from error
