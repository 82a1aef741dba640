"""What the commands on dead letters share: which are wanted, what is masked, a scan with progress.

Knows none of the commands.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from service.commands.options import Decorated
from service.commands.scanning import ScanShown, moment_ms
from service.errors import ConfigurationError

if TYPE_CHECKING:
    from service.adapters.kafka.scan import KafkaScan
    from service.core.letter_filter import Wanted
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


def choosing(command: Decorated) -> Decorated:
    """Add the options that choose dead letters, given to the command as one `chosen`."""

    @functools.wraps(command)
    def run(**options: Any) -> None:
        chosen = {name: options.pop(name) for name in CHOICES}
        command(chosen=chosen, **options)

    for option in reversed(CHOICES.values()):
        run = option(run)
    return run  # type: ignore[return-value]


def replayed_option(command: Decorated) -> Decorated:
    """Add `--replayed/--not-replayed`."""
    return click.option(
        "--replayed/--not-replayed",
        default=None,
        help="Whether the event was sent again after it had failed; reads the requests too.",
    )(command)


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
