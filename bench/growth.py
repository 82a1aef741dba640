"""`python -m bench.growth`: what grows with partitions, flows, events, answers' time and lanes.

Knows nothing of how curves are drawn (draw.py).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import click

from bench.figures import keep, kept_before
from bench.lanes import worth
from bench.measure import Plan
from bench.points import MORE, Row, point
from bench.takeover import takeover_seconds
from service.cli import exit_code
from service.demo.stage import Stage

WARM, EVENTS = 20_000, 100_000
FLOWS, PARTITIONS = 10, 6
STEADY_SHARE_MAX = 1.5
"""CPU a call of a curve's dearest point, as a multiple of its cheapest, that still is flat."""
FLAT = ("partitions", "events")
"""What no user can help to have more of; the other curves are explained where they are not flat."""

Points = Callable[[str], Awaitable[list[Row]]]


def _plan(**changes: Any) -> Plan:
    return replace(Plan(FLOWS, (WARM, EVENTS), PARTITIONS), **changes)


def _over(
    name: str, plans: Mapping[int, Plan], more: Mapping[int, MORE] | None = None, *, kills: bool
) -> Points:
    """A curve: one plan a value, and the time of a takeover with the same plan."""

    async def measured(bootstrap: str) -> list[Row]:
        rows = []
        for value, plan in plans.items():
            row = await point(bootstrap, plan, (more or {}).get(value, {}))
            if kills:
                row["takeover_seconds"] = await takeover_seconds(bootstrap, plan)
            rows.append({"value": value, **row})
            click.echo(f"{name} {json.dumps(rows[-1])}, load {os.getloadavg()[0]:.1f}", err=True)
        return rows

    return measured


async def _lanes(bootstrap: str) -> list[Row]:
    rows = []
    for lanes in (1, 2, 4):
        rows.append({"value": lanes, **await worth(bootstrap, lanes)})
        click.echo(f"lanes {json.dumps(rows[-1])}, load {os.getloadavg()[0]:.1f}", err=True)
    return rows


def _answers(milliseconds: int) -> Plan:
    sink = ("--latency-ms", str(milliseconds))
    return _plan(steps=(WARM // 2, EVENTS // 2), sink=sink, answer_seconds=milliseconds / 1000)


def _curves(events_max: int) -> Mapping[str, Points]:
    counts = [n for n in (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000) if n <= events_max]
    return {
        "partitions": _over(
            "partitions", {n: _plan(partitions=n) for n in (1, 4, 16, 64)}, kills=True
        ),
        "flows": _over(
            "flows", {10**power: _plan(flows=10**power) for power in range(6)}, kills=True
        ),
        "events": _over("events", {n: _plan(steps=(WARM, n)) for n in counts}, kills=False),
        "answer ms": _over(
            "answer ms", {n: _answers(n) for n in (1, 10, 100, 1000, 5000)}, kills=False
        ),
        "open batches": _over(
            "open batches",
            dict.fromkeys((4, 16, 64, 256), _answers(500)),
            {n: {"provider": {"concurrency": n}} for n in (4, 16, 64, 256)},
            kills=False,
        ),
        "lanes": _lanes,
    }


@click.command()
@click.option("--only", multiple=True, help="Only the curves of these names.")
@click.option("--events-max", type=int, default=1_000_000, show_default=True)
@click.option("--keep", "kept", is_flag=True, help="Keep the figures, for the page and the curves.")
def growth(*, only: Sequence[str], events_max: int, kept: bool) -> None:
    """Measure the curves. The last line is JSON; exits with 1 if one grows that should be flat."""
    curves = {name: run for name, run in _curves(events_max).items() if not only or name in only}
    found = asyncio.run(_all(curves))
    if kept:
        keep("growth", {**kept_before("growth"), **found})
    summary = _summary(found)
    print(json.dumps(summary))
    sys.exit(0 if summary["ok"] else 1)


async def _all(curves: Mapping[str, Points]) -> dict[str, list[Row]]:
    async with Stage("bench") as home:
        await home.start_kafka()
        return {name: await run(home.bootstrap) for name, run in curves.items()}


def _summary(found: Mapping[str, Sequence[Row]]) -> dict[str, object]:
    shares = {}
    for name, rows in found.items():
        costs = [row["cpu_us_per_call"] for row in rows]
        shares[name] = round(max(costs) / min(costs), 2)
    grown = [name for name in FLAT if shares.get(name, 0.0) > STEADY_SHARE_MAX]
    return {"ok": not grown, "grown": grown, "dearest_to_cheapest": shares}


if __name__ == "__main__":
    sys.exit(exit_code(lambda: growth.main(standalone_mode=False)))
