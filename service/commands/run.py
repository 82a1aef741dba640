"""`call-dispatcher run`: dispatches until stopped.

Knows nothing of how: app.py does.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from service.commands.options import config_option
from service.settings.loading import load_settings

if TYPE_CHECKING:
    from service.core.replay_words import Replay, State

GARBAGE_OBJECTS = 50_000
"""New objects between two collections of the young: some MB."""


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Let imports believe that a module is not installed."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # as the import system has it
    try:
        yield
    finally:
        del sys.modules[module]


@click.command()
@config_option
def run(config_path: str | None) -> None:
    """Dispatch calls until SIGTERM or SIGINT, then drain.

    Exit codes: 0 stopped and drained, 1 failed, 2 wrong configuration.
    """
    settings = load_settings(config_path)
    # Imported late: `--help` and wrong configurations need none of it.
    # structlog would load rich for tracebacks on terminals, which are not shown: it keeps 4 MB.
    with _without("rich"):
        from service.adapters.logs import configure_logs  # noqa: PLC0415
    from service.adapters.loop import Loop  # noqa: PLC0415
    from service.app import run as run_app  # noqa: PLC0415
    from service.replay import replays  # noqa: PLC0415

    async def standings() -> list[tuple[Replay, State]]:
        return [(each.replay, each.state) for each in await replays(settings)]

    configure_logs(settings)
    # What is imported stays, so no collection needs to walk it. What a batch makes dies with its
    # turn, by its counts alone: at the default of 700 the collector walks it twice a batch anyway.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(run_app(settings, standings, config_path))
