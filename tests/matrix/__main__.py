"""`python -m tests.matrix`: plays the matrix, or some of its cases; its last line is JSON.

Knows nothing of how a case is played.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence

import click

from service.demo.stage import Stage
from tests.matrix.cases import Case, all_cases, chosen, grouped
from tests.matrix.play import Wrong, play


@click.command()
@click.argument("names", nargs=-1)
@click.option("--jobs", default=5, show_default=True, type=click.IntRange(1), help="At once.")
@click.option("--list", "listed", is_flag=True, help="Name the cases, and play none.")
def main(names: tuple[str, ...], jobs: int, *, listed: bool) -> None:
    """Play every case, or those whose names PROFILE/FAULT/HISTORY fit, such as */code-301/lost.

    What comes out otherwise than the table demands is printed, with how to play it alone.
    """
    cases = chosen(all_cases(), names)
    if listed or not cases:
        click.echo("\n".join(f"{case.name}: {case.expected}" for case in cases) or "no such case")
        sys.exit(0 if cases else 2)
    began = time.monotonic()
    wrong = asyncio.run(_play_all(cases, jobs))
    figures = {
        "cases": len(cases),
        "wrong": len(wrong),
        "calls": 3 * len(cases),
        "seconds": round(time.monotonic() - began),
    }
    click.echo(json.dumps(figures))
    sys.exit(1 if wrong else 0)


async def _play_all(cases: Sequence[Case], jobs: int) -> list[Wrong]:
    slots = asyncio.Semaphore(jobs)
    async with Stage("matrix") as stage:
        await stage.start_kafka()

        async def one(group: list[Case]) -> list[Wrong]:
            async with slots:
                began = time.monotonic()
                wrong = await play(stage.bootstrap, group)
                first = group[0]
                click.echo(
                    f"{first.profile}, {first.group}: {len(group)} cases, {len(wrong)} wrong, "
                    f"{time.monotonic() - began:.0f} s"
                )
                for each in wrong:
                    click.echo(str(each))
                return wrong

        found = await asyncio.gather(*map(one, grouped(cases)))
    return [each for wrong in found for each in wrong]


if __name__ == "__main__":
    main()
