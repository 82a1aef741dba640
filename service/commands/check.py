"""`call-dispatcher check`: validates the configuration and prints what it means.

Knows nothing of brokers and endpoints: what `--connect` asks of them is handed in by cli.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.commands.options import config_option, load_settings
from service.errors import DispatcherError

if TYPE_CHECKING:
    from service.settings import Settings

ConnectChecks = Callable[["Settings"], Sequence[str]]
"""Connects to everything outside; one line for each thing found wrong."""


@click.command()
@config_option
@click.option("--connect", is_flag=True, help="Also try broker, topics, endpoint and Redis.")
@click.pass_obj
def check(connect_checks: ConnectChecks, config_path: Path | None, *, connect: bool) -> None:
    """Validate the configuration and print it, defaults filled in and secrets masked."""
    from service.settings.display import cautions, masked_yaml  # noqa: PLC0415 - quick --help

    settings = load_settings(config_path)
    click.echo(masked_yaml(settings), nl=False)
    for caution in cautions(settings):
        click.echo(f"caution: {caution}", err=True)
    if connect:
        faults = connect_checks(settings)
        if faults:
            raise DispatcherError("\n".join(faults))
    click.echo("configuration ok")
