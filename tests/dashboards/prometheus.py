"""Asks a Prometheus what a dashboard's queries gave over a time.

Knows nothing of which queries there are.
"""

from __future__ import annotations

import math

import aiohttp

WINDOW = "10s"
"""What Grafana makes of `$__rate_interval` here: several scrapes of a second each."""
STEP_SECONDS = 2


def plain(expression: str) -> str:
    """The query as Grafana would send it, with everything chosen."""
    return (
        expression.replace("$__rate_interval", WINDOW)
        .replace("$namespace", ".*")
        .replace("$job", ".*")
    )


async def values(address: str, expression: str, start: float, end: float) -> int:
    """How many numbers it gave between two moments; NaN and infinities are none.

    Raises:
        RuntimeError: Prometheus refuses the query.
    """
    over = {"start": start, "end": end, "step": STEP_SECONDS}
    asked: dict[str, str | float] = {"query": plain(expression), **over}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{address}/api/v1/query_range", params=asked) as answer,
    ):
        said = await answer.json()
    if said["status"] != "success":
        raise RuntimeError(f"{expression}: {said['error']}")
    series = said["data"]["result"]
    return sum(math.isfinite(float(text)) for each in series for _, text in each["values"])
