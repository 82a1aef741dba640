"""`python -m tests.chaos`: chaos on real processes, with one line of JSON at the end.

Knows nothing of how a round is played.
"""

from __future__ import annotations

import asyncio
import secrets
import sys

import click

from tests.chaos.run import play


@click.command()
@click.option("--rounds", default=20, show_default=True, type=click.IntRange(1))
@click.option("--seed", type=int, help="The faults come from it.  [default: a random one]")
@click.option("--replicas", default=3, show_default=True, type=click.IntRange(2, 3))
@click.option(
    "--brokers",
    default=1,
    show_default=True,
    type=click.Choice([1, 3]),
    help="With three, each record has three copies, and each round kills one broker.",
)
@click.option("--measure/--no-measure", default=True, help="How soon a fresh batch goes out.")
def main(rounds: int, seed: int | None, replicas: int, brokers: int, *, measure: bool) -> None:
    """Break a real Kafka, the provider's twin and some replicas, and let the oracle judge."""
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    click.echo(f"seed {seed}")
    chaos = asyncio.run(play(rounds, seed, replicas, click.echo, brokers=brokers, measured=measure))
    for line in chaos.trouble:
        click.echo(line, err=True)
    click.echo(chaos.report.as_json(ok=not chaos.trouble))
    sys.exit(0 if chaos.report.clean and not chaos.trouble else 1)


if __name__ == "__main__":
    main()
