"""What both FastStream workers share: calls of one flow become requests, answers become results.

Knows nothing of how an event is decoded; an event has its fields as attributes, in snake_case.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp

BOOTSTRAP, REQUESTS, RESULTS, URL = (
    os.environ[f"BENCH_{name}"] for name in ("BOOTSTRAP", "REQUESTS", "RESULTS", "URL")
)
CALLS_MAX = 500
BATCH_BYTES_MAX = 1_000_000
"""Room for the results of one poll: a batch is published whole or not at all."""
SUBSCRIPTION = {
    "batch": True,
    "group_id": RESULTS,
    "auto_offset_reset": "earliest",
    "isolation_level": "read_committed",
    "max_records": 4000,
}
"""More in a poll, and its results do not fit into one batch of the topic."""


async def dispatch(
    events: Sequence[Any],
    body_of: Callable[[str, Sequence[Any]], bytes],
    request_id_of: Callable[[bytes], str],
    result_of: Callable[[Any, str], Any],
) -> list[Any]:
    """POST a poll's events by flow, in requests of at most `CALLS_MAX`; returns their results."""
    flows: dict[str, list[Any]] = defaultdict(list)
    for event in events:
        flows[event.flow_id].append(event)
    runs = [
        (flow_id, calls[at : at + CALLS_MAX])
        for flow_id, calls in flows.items()
        for at in range(0, len(calls), CALLS_MAX)
    ]

    async def fly(flow_id: str, calls: Sequence[Any]) -> list[Any]:
        async with _session().post(URL, data=body_of(flow_id, calls)) as response:
            request_id = request_id_of(await response.read())
        return [result_of(call, request_id) for call in calls]

    landed = await asyncio.gather(*(fly(*run) for run in runs))
    return [result for results in landed for result in results]


_sessions: list[aiohttp.ClientSession] = []


def _session() -> aiohttp.ClientSession:
    if not _sessions:
        _sessions.append(aiohttp.ClientSession())
    return _sessions[0]
