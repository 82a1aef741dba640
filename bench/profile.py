"""`python -m bench.profile`: µs of CPU a call by stage of the real `run`, beside the least.

Knows nothing of how stacks are taken (sampling.py) or told apart (stages.py).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.bare import bare, bare_post
from bench.contenders import LIMIT_PER_MINUTE, dispatcher
from bench.figures import Figures, keep
from bench.measure import Measured, Plan, measure
from bench.sampling import sampled
from bench.stages import REST, by_stage
from service.cli import exit_code
from service.demo.stage import Stage

EVENTS = 1_000_000
WARM = 100_000
FLOWS_FEW = 100


@click.command()
@click.option("--events", type=click.IntRange(min=50_000), default=EVENTS, show_default=True)
@click.option("--flows", type=click.IntRange(1, 100_000), default=10, show_default=True)
@click.option("--stacks", type=click.Path(dir_okay=False), help="Leave the sampled stacks here.")
@click.option("--keep", "kept", is_flag=True, help="Keep the figures, for docs/performance.md.")
def profile(*, events: int, flows: int, stacks: str | None, kept: bool) -> None:
    """Profile the dispatcher by stage. The last line is JSON; exits with 1 if a result misses."""
    measured, rows = asyncio.run(_profile(events, flows, stacks))
    _show(rows)
    summary = {
        "ok": measured.complete,
        "cpu_us_per_call": round(measured.cpu_us_per_call, 1),
        "load": os.getloadavg()[0],
        "events": events,
        "flows": flows,
    }
    if kept:
        keep(
            "profile-many" if flows > FLOWS_FEW else "profile", {"stages": rows, "summary": summary}
        )
    print(json.dumps(summary))
    sys.exit(0 if measured.complete else 1)


async def _profile(events: int, flows: int, stacks: str | None) -> tuple[Measured, Figures]:
    async with Stage("bench") as stage:
        await stage.start_kafka()
        file = Path(stacks) if stacks else stage.directory / "stacks"
        plan = Plan(flows, (WARM, events), during=lambda pid: sampled(pid, file))
        measured = await measure(stage, dispatcher, plan)
        shares = by_stage(file.read_text().splitlines())
        url = await stage.start_twin("--limit", str(LIMIT_PER_MINUTE), "--sink")
        least = {**bare(), "POST": await bare_post(url)}
    rows = {
        name: {
            "us": round(share * measured.cpu_us_per_call, 2),
            "share": round(share, 3),
            "least_us": round(least.get(name, 0.0), 2),
        }
        for name, share in shares.items()
    }
    return measured, rows


def _show(rows: Figures) -> None:
    table = Table(title="CPU by stage", title_justify="left")
    table.add_column("")
    for name in ("µs a call", "share", "bare operation"):
        table.add_column(name, justify="right")
    for name, row in rows.items():
        least = "" if name == REST else f"{row['least_us']:.2f}"
        table.add_row(name, f"{row['us']:.2f}", f"{row['share']:.0%}", least)
    columns = list(zip(*(tuple(row.values()) for row in rows.values()), strict=True))
    table.add_row("all", f"{sum(columns[0]):.2f}", "", f"{sum(columns[2]):.2f}")
    Console(highlight=False, soft_wrap=True).print(table)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: profile.main(standalone_mode=False)))
