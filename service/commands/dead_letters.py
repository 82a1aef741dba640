"""`call-dispatcher dead-letters`: finds the events that failed, and tells their history.

Knows nothing of any replica: it asks Kafka alone. Phone numbers and the values of keys are masked
unless somebody asks for them.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.commands.options import Decorated, config_option, load_settings
from service.commands.scanning import ScanShown, moment_ms
from service.errors import ConfigurationError

if TYPE_CHECKING:
    from service.adapters.kafka.scan import KafkaScan
    from service.core.letter_filter import Wanted
    from service.letters.history import History
    from service.settings import Settings

REASONS = (
    "invalid",
    "oversize",
    "expired",
    "rejected",
    "exhausted",
    "cancelled",
    "duplicate",
    "unconfirmed",
)
"""As `outcome_schemas.REASONS`, written here so that `--help` needs no models."""
ROWS = 20
"""Newest ones under the counts of a table; a file has all."""


@click.group(name="dead-letters")
def dead_letters() -> None:
    """Find events that failed, understand why."""


def choosing(command: Decorated) -> Decorated:
    """Add the options that choose dead letters, given to the command as one `chosen`."""

    @functools.wraps(command)
    def run(**options: Any) -> None:
        chosen = {name: options.pop(name) for name in CHOICES}
        command(chosen=chosen, **options)

    for option in reversed(CHOICES.values()):
        run = option(run)
    return run  # type: ignore[return-value]


CHOICES: dict[str, Callable[[Any], Any]] = {
    "reason": click.option(
        "--reason", type=click.Choice(REASONS), multiple=True, help="Repeatable, as the next two."
    ),
    "code": click.option("--code", multiple=True, metavar="CODE", help="The provider's code."),
    "flow": click.option("--flow", multiple=True, metavar="ID", help="The flow's id."),
    "since": click.option("--since", metavar="TIME", help="Failed since; a time, or 2h, 7d."),
    "until": click.option("--until", metavar="TIME", help="Failed before."),
    "partition": click.option(
        "--partition", type=click.IntRange(min=0), help="Of the event's record in the requests."
    ),
    "offset": click.option(
        "--offset", metavar="N or FIRST-END", help="Of the event's record; END is not among them."
    ),
    "batch": click.option("--batch", metavar="ID", help="The batch in which it was sent."),
    "client_identifier": click.option("--client-identifier", metavar="TEXT"),
    "replayed": click.option(
        "--replayed/--not-replayed",
        default=None,
        help="Whether the event was sent again after it had failed; reads the requests too.",
    ),
}


def wanted_of(chosen: dict[str, Any], time_zone: str) -> Wanted:
    """What the options ask for.

    Raises:
        ConfigurationError: one of them cannot be understood.
    """
    from service.core.letter_filter import Wanted  # noqa: PLC0415 - quick --help

    now_ms = int(time.time() * 1000)
    first, end = _offsets(chosen["offset"])
    return Wanted(
        reasons=frozenset(chosen["reason"]),
        codes=frozenset(chosen["code"]),
        flows=frozenset(chosen["flow"]),
        since_ms=moment_ms("--since", chosen["since"], time_zone, now_ms),
        until_ms=moment_ms("--until", chosen["until"], time_zone, now_ms),
        partition=chosen["partition"],
        first=first,
        end=end,
        batch_id=chosen["batch"],
        client_identifier=chosen["client_identifier"],
    )


def _offsets(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    first, dash, end = text.partition("-")
    if not first.isdecimal() or (dash and not end.isdecimal()):
        raise ConfigurationError("--offset: write it like 1000, or 1000-2000")
    return int(first), int(end) if dash else int(first) + 1


def mask_of(settings: Settings, *, unmask: bool) -> Callable[[str], str]:
    """What takes numbers and secrets out of a text."""
    from service.adapters.logs.configuration import secrets_of  # noqa: PLC0415 - quick --help
    from service.adapters.logs.redaction import Redactor  # noqa: PLC0415 - quick --help

    if unmask:
        return str
    # Thousands of dead letters have the same few messages.
    return functools.lru_cache(maxsize=4096)(Redactor(secrets_of(settings)).text)


def unmask_option(command: Decorated) -> Decorated:
    """Add `--unmask`."""
    return click.option(
        "--unmask", is_flag=True, help="Show phone numbers and the values of keys."
    )(command)


async def scanning(settings: Settings, act: Callable[[KafkaScan], Any]) -> Any:
    """Do something with a connected scan, its progress shown."""
    from service.adapters.kafka.connection import client_options  # noqa: PLC0415 - quick --help
    from service.adapters.kafka.scan import KafkaScan  # noqa: PLC0415 - quick --help

    with ScanShown() as told:
        async with KafkaScan(client_options(settings.kafka), told) as scan:
            return await act(scan)


@dead_letters.command(name="list")
@config_option
@choosing
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
        async for letter, record in listing.found(replayed=chosen["replayed"]):
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
