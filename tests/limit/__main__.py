"""`python -m tests.limit`: how much of the limit is used, and that no minute is above it.

The last line is JSON with the worst figures of all runs. Exits with 1 if a window was above the
limit, or too little of it was used. Knows nothing of what a run does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from service.demo.stage import Stage
from tests.limit.course import FLOWS, Plan, Run
from tests.limit.figures import Figures, figures_of, worst

USED_RATIO_MIN = 0.98
SCOPES = ("lane", "redis")
LANES = (1, 2, 4)

Found = dict[Plan, Figures]


async def measure(plans: Sequence[Plan]) -> Found:
    """The figures of each run."""
    found: Found = {}
    async with Stage("limit") as home:
        await home.start_kafka()
        for plan in plans:
            _say(f"limit_scope {plan.scope}, {plan.lanes} lanes, {plan.flows} flows")
            run = Run(plan, home.bootstrap, lambda text: _say(f"  {text}"))
            found[plan] = figures_of(await run.run())
            _say(f"  {json.dumps(asdict(found[plan]))}")
    return found


def _show(found: Found) -> None:
    table = Table(title="At the limit", title_justify="left")
    names = list(Figures.__dataclass_fields__)
    for name in ("scope", "lanes", *names):
        table.add_column(name.replace("_", " "), justify="right")
    for plan, figures in found.items():
        values = (str(value) for value in asdict(figures).values())
        table.add_row(plan.scope, str(plan.lanes), *values)
    Console(highlight=False, soft_wrap=True).print(table)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.limit", description=__doc__)
    parser.add_argument("--scope", choices=SCOPES, help="only this one")
    parser.add_argument("--lanes", type=int, choices=range(1, 9), help="only so many")
    parser.add_argument("--minutes", type=float, default=2.0, help="of the measured plain stretch")
    parser.add_argument(
        "--settle", type=float, default=1.0, help="minutes before that are left out"
    )
    parser.add_argument("--flows", type=int, default=FLOWS, help="of the backlog")
    parser.add_argument("--plain", action="store_true", help="nothing goes wrong")
    given = parser.parse_args(arguments)
    scopes = [given.scope] if given.scope else SCOPES
    lanes = [given.lanes] if given.lanes else LANES
    plans = [
        Plan(scope, number, given.minutes, given.flows, given.settle, given.plain)
        for scope in scopes
        for number in lanes
    ]
    found = asyncio.run(measure(plans))
    _show(found)
    figures = worst(list(found.values()))
    _say(json.dumps(asdict(figures)))
    well = not figures.windows_above_limit and figures.used_ratio >= USED_RATIO_MIN
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
