"""`python -m tests.rotation`: every credential changed under load.

Knows nothing of how one is changed. The last line is JSON; exits with 1 if not all is well.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import click

from service.errors import DispatcherError
from tests.rotation.run import play


@click.command()
def main() -> None:
    """Change every credential but the security-id (`make upgrades`), and let the oracle judge."""
    figures: dict[str, Any] = {}
    try:
        rotation = asyncio.run(play(click.echo))
        found = rotation.found[-1]
        figures = {
            "changes": len(rotation.pauses),
            "events": found.events,
            "lost": found.lost,
            "doubled": found.doubled,
            "wrong": found.wrong,
            "pause_seconds": rotation.pauses,
        }
    except (AssertionError, DispatcherError, ExceptionGroup, TimeoutError) as error:
        click.echo(f"error: {error!r}", err=True)
    click.echo(json.dumps({"ok": bool(figures), **figures}))
    sys.exit(0 if figures else 1)


if __name__ == "__main__":
    main()
