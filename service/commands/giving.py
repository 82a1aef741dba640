"""What the commands to running lanes share: their options, writing one, waiting for the lanes.

Knows nothing of what each command is for.
"""

from __future__ import annotations

import asyncio
import functools
import getpass
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.commands.options import Decorated, config_option, load_settings
from service.errors import BrokerUnavailable, DispatcherError

if TYPE_CHECKING:
    from service.adapters.kafka.control import KafkaControl
    from service.core.control import AnyCommand
    from service.core.held import Given
    from service.core.orders import Order
    from service.settings import Settings

WAIT_SECONDS = 10.0
"""A lane reads a command at once; the turn that makes it durable may wait for a slow broker."""
POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Asked:
    """The options that all these commands have."""

    settings: Settings
    reason: str
    given_id: str | None
    wait_seconds: float


def asking(command: Decorated) -> Decorated:
    """Add `--config`, `--reason`, `--id` and `--wait`, given to the command as one `asked`."""

    @functools.wraps(command)
    def run(
        *,
        config_path: Path | None,
        reason: str,
        given_id: str | None,
        wait_seconds: float,
        **more: Any,
    ) -> None:
        asked = Asked(load_settings(config_path), reason, given_id, wait_seconds)
        command(asked=asked, **more)

    wait = click.option(
        "--wait",
        "wait_seconds",
        type=click.FloatRange(min=0, max=3600),
        default=WAIT_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait until all lanes have applied it.",
    )
    name = click.option(
        "--id",
        "given_id",
        help="Name of this command; repeating it under the same one changes nothing.",
    )
    why = click.option("--reason", default="", help="Why; whoever looks will read it.")
    return config_option(why(name(wait(run))))  # type: ignore[return-value]


def order_of(asked: Asked) -> Order:
    """Who asks, now."""
    from service.core.orders import Order  # noqa: PLC0415 - quick --help
    from service.core.outcomes import rfc3339  # noqa: PLC0415 - quick --help

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"  # A container's user often has no name.
    command_id = secrets.token_hex(8) if asked.given_id is None else asked.given_id
    at = rfc3339(int(time.time() * 1000))
    return Order(command_id, at, f"{user}@{socket.gethostname()}", asked.reason)


def accounts_of(settings: Settings) -> set[str]:
    """Names of the accounts that are configured."""
    from service.pipeline.flows import Flows  # noqa: PLC0415 - quick --help

    return Flows(settings).accounts


def control_of(settings: Settings) -> KafkaControl:
    """The control topic of this configuration."""
    from service.adapters.kafka.broker import KafkaBroker  # noqa: PLC0415 - quick --help
    from service.adapters.kafka.control import KafkaControl  # noqa: PLC0415 - quick --help

    return KafkaControl(settings, KafkaBroker(settings, "call-dispatcher-control"))


def give(asked: Asked, make: Callable[[KafkaControl], Awaitable[AnyCommand]]) -> None:
    """Write the command that `make` makes, and wait for the lanes."""

    async def run() -> None:
        control = control_of(asked.settings)
        command = await make(control)
        given = await control.write(command, given_id=asked.given_id is not None)
        if given.command == command:
            click.echo(f"written to {asked.settings.kafka.topics.control} as {command.id}")
        else:
            click.echo(
                f"{command.id} was given before, at {given.command.at} by {given.command.who}: "
                "nothing is written"
            )
        if asked.wait_seconds:
            await _wait(control, given, asked.wait_seconds)

    asyncio.run(run())


async def _wait(control: KafkaControl, given: Given, seconds: float) -> None:
    """Say which lanes have applied it.

    Raises:
        DispatcherError: a lane that has an owner did not apply it in time.
        BrokerUnavailable: it cannot be seen.
    """
    try:
        late, ownerless, count = await _lanes(control, given.offset, seconds)
    except BrokerUnavailable as error:
        raise BrokerUnavailable(
            f"the command is written, but whether lanes have applied it cannot be seen: {error}"
        ) from error
    if late:
        raise DispatcherError(
            f"{_named(late)} did not apply it within {seconds:g} s, although a replica owns it: "
            "the command is written and will be applied; the log of `run` says what is wrong"
        )
    if ownerless:
        click.echo(
            f"{_named(ownerless)}: no replica owns it; whichever takes it over applies the "
            "command before it sends anything"
        )
    if count > len(ownerless):
        click.echo(f"applied by {'all' if not ownerless else 'the other'} lanes")


async def _lanes(
    control: KafkaControl, offset: int, seconds: float
) -> tuple[list[int], list[int], int]:
    """Lanes that have not applied it, owned and not, and how many lanes there are."""
    from service.core.held import unapplied  # noqa: PLC0415 - quick --help

    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        lanes = await control.lanes()
        waiting = unapplied(lanes, offset)
        owned = await _owned(control) if waiting else set()
        late = [lane for lane in waiting if owned is None or lane in owned]
        if not late or loop.time() >= until:
            return late, [lane for lane in waiting if lane not in late], len(lanes)
        await asyncio.sleep(POLL_SECONDS)


async def _owned(control: KafkaControl) -> set[int] | None:
    """Lanes that have an owner; None where that is not settled."""
    try:
        return await control.owned_lanes()
    except BrokerUnavailable:
        return None


def _named(lanes: Iterable[int]) -> str:
    numbers = [str(lane) for lane in lanes]
    return f"lane {numbers[0]}" if len(numbers) == 1 else f"lanes {', '.join(numbers)}"
