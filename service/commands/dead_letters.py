"""`call-dispatcher dead-letters`: finds the events that failed, and tells their history.

Knows nothing of any replica: it asks Kafka alone. Phone numbers and the values of keys are masked
unless somebody asks for them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.commands.dead_letters_choices import (
    choosing,
    mask_of,
    replayed_option,
    scanning,
    unmask_option,
    wanted_of,
)
from service.commands.dead_letters_replay import replay
from service.commands.options import config_option, load_settings

if TYPE_CHECKING:
    from service.adapters.kafka.scan import KafkaScan
    from service.letters.history import History

ROWS = 20
"""Newest ones under the counts of a table; a file has all."""


@click.group(name="dead-letters")
def dead_letters() -> None:
    """Find events that failed, understand why, send them again."""


dead_letters.add_command(replay)


@dead_letters.command(name="list")
@config_option
@choosing
@replayed_option
@click.option(
    "--output", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
)
@click.option(
    "--rows",
    "rows_max",
    type=click.IntRange(min=0),
    help=f"Show so many, the newest.  [default: {ROWS} in a table, else all]",
)
@unmask_option
def list_(
    config_path: Path | None,
    chosen: dict[str, Any],
    output: str,
    rows_max: int | None,
    *,
    replayed: bool | None,
    unmask: bool,
) -> None:
    """Count dead letters by reason, code, flow and hour, and show them."""
    from service.commands.dead_letters_list import printer  # noqa: PLC0415 - quick --help
    from service.letters.listing import Listing, row  # noqa: PLC0415 - quick --help

    settings = load_settings(config_path)
    wanted = wanted_of(chosen, settings.provider.time_zone)
    text = mask_of(settings, unmask=unmask)
    rows = ROWS if output == "table" and rows_max is None else rows_max
    shown = printer(output, rows, lambda letter, record: row(letter, record.value, text))

    async def act(scan: KafkaScan) -> None:
        listing = Listing(scan, settings.kafka.topics, wanted)
        async for letter, record in listing.found(replayed=replayed):
            listing.counts.add(letter)
            shown.add(letter, record)
        shown.end(listing.counts, listing.unreadable.total())

    asyncio.run(scanning(settings, act))


@dead_letters.command(name="show")
@config_option
@click.argument("record")
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@unmask_option
def show(config_path: Path | None, record: str, output: str, *, unmask: bool) -> None:
    """Tell the whole history of one event that failed.

    RECORD names the event's record in the requests as `[topic-]partition-offset`, such as 3-1234,
    or a dead letter by its own place.
    """
    from service.commands.dead_letters_show import print_history  # noqa: PLC0415 - quick --help
    from service.letters.history import history_of, place_of  # noqa: PLC0415 - quick --help

    settings = load_settings(config_path)
    names = settings.kafka.topics
    place = place_of(record, names)

    async def act(scan: KafkaScan) -> History:
        return await history_of(scan, names, place)

    history = asyncio.run(scanning(settings, act))
    print_history(history, mask_of(settings, unmask=unmask), output, unmask=unmask)
