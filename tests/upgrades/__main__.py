"""`python -m tests.upgrades OLD`: upgrades, rollbacks and a new security-id under load.

Knows nothing of how a round is played. The last line is JSON; exits with 1 if not all is well.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from service.errors import ConfigurationError
from tests.upgrades.releases import name_of, unpack
from tests.upgrades.run import REPLICAS, play

SHOWN = (
    *("rounds", "events", "lost", "doubled", "wrong"),
    *("windows_above_limit", "recovered_batches", "takeovers"),
)


@click.command()
@click.argument("old")
def main(old: str) -> None:
    """Replace replicas of the release OLD by this one and back, and let the oracle judge."""
    try:
        with tempfile.TemporaryDirectory(prefix="release-") as folder:
            release = unpack(old, Path(folder))
            upgrades = asyncio.run(play(release, click.echo))
            name = name_of(old)
    except ConfigurationError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    chaos = upgrades.chaos
    for line in chaos.trouble:
        click.echo(line, err=True)
    ok = chaos.report.clean and not chaos.trouble
    found = asdict(chaos.report)
    figures = {
        "old": name,
        "replaced": chaos.report.rounds * REPLICAS,
        **{field: found[field] for field in SHOWN},
        **{f"pause_{way}_seconds": longest for way, longest in upgrades.pause_seconds.items()},
    }
    click.echo(json.dumps({"ok": ok, **figures}))
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
