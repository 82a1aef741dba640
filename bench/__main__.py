"""`python -m bench`: what one call costs, with few flows and with many.

Knows nothing of how it is measured (measure.py).
"""

from __future__ import annotations

import asyncio
import json
import pstats
import sys

import click
from rich.console import Console
from rich.table import Table

from bench.measure import Measured, measure
from service.cli import exit_code
from service.demo.stage import Stage

EVENTS = 200_000
FLOWS = 10
FLOWS_MANY = 10_000
PROFILE_LINES = 45


@click.command()
@click.option(
    "--events",
    type=click.IntRange(min=10_000),
    default=EVENTS,
    envvar="BENCH_EVENTS",
    show_envvar=True,
    show_default=True,
    help="Events that wait in Kafka, for each run.",
)
@click.option("--flows", type=click.IntRange(1, 10_000), help="One run with so many flows only.")
@click.option("--profile", is_flag=True, help="Run once under cProfile; print the top functions.")
def bench(*, events: int, flows: int | None, profile: bool) -> None:
    """Measure the dispatcher: CPU and memory per call, calls per second.

    The last line is JSON. Exits with 1 if an event has no result.
    """
    if profile:
        asyncio.run(_profile(events, flows or FLOWS))
        return
    runs = [flows] if flows else [FLOWS, FLOWS_MANY]
    measured = asyncio.run(_all(events, runs))
    _show(measured)
    print(json.dumps(_summary(measured)))
    if not all(each.complete for each in measured):
        click.echo("events are without a result, or have another outcome", err=True)
        sys.exit(1)


async def _all(events: int, runs: list[int]) -> list[Measured]:
    measured = []
    async with Stage("bench") as home:
        await home.start_kafka()
        for flows in runs:
            click.echo(f"{events:,} events of {flows:,} flows", err=True)
            async with Stage("bench") as stage:
                stage.bootstrap = home.bootstrap
                measured.append(await measure(stage, events, flows))
    return measured


async def _profile(events: int, flows: int) -> None:
    async with Stage("bench") as stage:
        await stage.start_kafka()
        file = stage.directory / "profile"
        await measure(stage, events, flows, ("-m", "cProfile", "-o", str(file)))
        for order in ("tottime", "cumulative"):
            pstats.Stats(str(file)).strip_dirs().sort_stats(order).print_stats(PROFILE_LINES)


def _show(measured: list[Measured]) -> None:
    table = Table(title="What one call costs", title_justify="left")
    table.add_column("flows", justify="right")
    for name in ("CPU µs a call", "calls/s", "peak MB", "calls/request", "results"):
        table.add_column(name, justify="right")
    for each in measured:
        table.add_row(
            f"{each.flows:,}",
            f"{each.cpu_us_per_call:.1f}",
            f"{each.calls_per_second:,.0f}",
            f"{each.peak_rss_mb:.0f}",
            f"{each.calls_per_request:.0f}",
            f"{each.results:,}",
        )
    Console(highlight=False, soft_wrap=True).print(table)


def _summary(measured: list[Measured]) -> dict[str, float]:
    """The first run's figures, and the CPU of the one with many flows if there was one."""
    first = measured[0]
    many = (
        {"cpu_us_per_call_many_flows": round(measured[1].cpu_us_per_call, 1)}
        if measured[1:]
        else {}
    )
    return {
        "cpu_us_per_call": round(first.cpu_us_per_call, 1),
        **many,
        "calls_per_second": round(first.calls_per_second),
        "peak_rss_mb": round(max(each.peak_rss_mb for each in measured), 1),
    }


if __name__ == "__main__":
    sys.exit(exit_code(lambda: bench.main(standalone_mode=False)))
