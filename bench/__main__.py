"""`python -m bench`: what one call costs, with few flows and with many, and beside others.

Knows nothing of how it is measured (measure.py).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median

import click
from rich.console import Console
from rich.table import Table

from bench.contenders import CONTENDERS, DISPATCHER, FLOOR
from bench.figures import Figures, keep
from bench.measure import Measured, Plan, measure
from service.cli import exit_code
from service.demo.stage import Stage

EVENTS = 1_000_000
WARM_SHARE = 5
"""The first fifth of the events comes before, and is not measured."""
FLOWS = 10
FLOWS_MANY = 10_000
MANY = "dispatcher, 10,000 flows"
ROUNDS = 3
"""All contenders in turn, so many times: a shared machine's speed changes within minutes."""
CPU_US_MAX, RATIO_MAX, CPU_US_MANY_MAX, RSS_MB_MAX = 15.0, 2.0, 25.0, 200.0


@click.command()
@click.option(
    "--events",
    type=click.IntRange(min=10_000),
    default=EVENTS,
    envvar="BENCH_EVENTS",
    show_envvar=True,
    show_default=True,
    help="Events of each run; the slope over the last four fifths is the figure.",
)
@click.option("--peers", is_flag=True, help="FastStream and Apache Camel too.")
@click.option(
    "--rounds",
    type=click.IntRange(1, 9),
    default=ROUNDS,
    show_default=True,
    help="Medians of so many.",
)
@click.option("--only", multiple=True, help="Only contenders whose names contain this.")
@click.option("--keep", "kept", is_flag=True, help="Keep the figures, for docs/performance.md.")
def bench(*, events: int, peers: bool, rounds: int, only: Sequence[str], kept: bool) -> None:
    """Measure the dispatcher beside the floor worker: CPU, memory, calls per second.

    The last line is JSON. Exits with 1 if an event has no result or a figure is above its bound.
    """
    names = [name for name in (*CONTENDERS, MANY) if peers or name in {DISPATCHER, FLOOR, MANY}]
    if only:
        names = [name for name in names if any(part in name for part in only)]
    figures = asyncio.run(_all(names, events, rounds))
    _show(figures)
    summary = _summary(figures)
    if kept:
        keep("peers" if peers else "bench", {"contenders": figures, "summary": summary})
    print(json.dumps(summary))
    sys.exit(0 if summary["ok"] else 1)


async def _all(names: Sequence[str], events: int, rounds: int) -> Figures:
    """Medians; the contenders take turns within each round."""
    found: dict[str, list[Measured]] = {name: [] for name in names}
    warm = events // WARM_SHARE
    async with Stage("bench") as home:
        await home.start_kafka()
        for number in range(1, rounds + 1):
            for name in names:
                flows = FLOWS_MANY if name == MANY else FLOWS
                async with Stage("bench") as stage:
                    stage.bootstrap = home.bootstrap
                    await stage.start_kafka()
                    begin = CONTENDERS[DISPATCHER if name == MANY else name]
                    plan = Plan(flows, (warm, events - warm))
                    measured = await measure(stage, begin, plan)
                found[name].append(measured)
                said = json.dumps({"load": os.getloadavg()[0], **asdict(measured)})
                click.echo(f"{number}/{rounds} {name}: {said}", err=True)
    return {name: _median(runs) for name, runs in found.items()}


def _median(runs: Sequence[Measured]) -> dict[str, float]:
    """Of each figure; of what must not be, the worst."""
    rows = [asdict(run) for run in runs]
    worst = {"missing", "repeats", "peak_rss_mb"}
    return {
        name: round((max if name in worst else median)(row[name] for row in rows), 2)
        for name in rows[0]
    }


def _show(figures: Figures) -> None:
    table = Table(title="What one call costs", title_justify="left")
    table.add_column("")
    for name in ("CPU µs a call", "calls/s", "peak MB", "calls/request", "missing", "repeats"):
        table.add_column(name, justify="right")
    for name, each in figures.items():
        table.add_row(
            name,
            f"{each['cpu_us_per_call']:.1f}",
            f"{each['calls_per_second']:,.0f}",
            f"{each['peak_rss_mb']:.0f}",
            f"{each['calls_per_request']:.0f}",
            f"{each['missing']:,.0f}",
            f"{each['repeats']:,.0f}",
        )
    Console(highlight=False, soft_wrap=True).print(table)


def _summary(figures: Figures) -> dict[str, float | bool]:
    """What the last line says; `ok` judges what was measured of the bounds."""
    said: dict[str, float | bool] = {}
    ours = [figures[name] for name in (DISPATCHER, MANY) if name in figures]
    ok = all(not each["missing"] and not each["repeats"] for each in ours)
    if DISPATCHER in figures:
        said["cpu_us_per_call"] = round(figures[DISPATCHER]["cpu_us_per_call"], 1)
        said["calls_per_second"] = round(figures[DISPATCHER]["calls_per_second"])
        ok &= said["cpu_us_per_call"] <= CPU_US_MAX
    if MANY in figures:
        said["cpu_us_per_call_many_flows"] = round(figures[MANY]["cpu_us_per_call"], 1)
        ok &= said["cpu_us_per_call_many_flows"] <= CPU_US_MANY_MAX
    if ours:
        said["peak_rss_mb"] = round(max(each["peak_rss_mb"] for each in ours), 1)
        ok &= said["peak_rss_mb"] <= RSS_MB_MAX
    if FLOOR in figures:
        said["floor_us_per_call"] = round(figures[FLOOR]["cpu_us_per_call"], 1)
    if FLOOR in figures and DISPATCHER in figures:
        costs = (figures[name]["cpu_us_per_call"] for name in (DISPATCHER, FLOOR))
        said["ratio_to_floor"] = round(next(costs) / next(costs), 2)
        ok &= said["ratio_to_floor"] <= RATIO_MAX
    return {"ok": ok, **said}


if __name__ == "__main__":
    sys.exit(exit_code(lambda: bench.main(standalone_mode=False)))
