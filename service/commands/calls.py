"""`call-dispatcher calls`: cancels calls that have not been sent.

Knows nothing of any replica's address: the command goes through the control topic.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import click

from service.commands.giving import Asked, asking, control_of, give, order_of
from service.errors import ConfigurationError, DispatcherError

if TYPE_CHECKING:
    from service.adapters.kafka.control import KafkaControl
    from service.core.control import AnyCommand


@click.group()
def calls() -> None:
    """Calls that wait to be sent."""


@calls.command()
@click.option("--flow", required=True, metavar="ID", help="The flow's id.")
@click.option(
    "--before",
    metavar="TIME",
    help="Only events published before this time, such as 2030-01-31T09:30:00+05:30.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@asking
def cancel(*, asked: Asked, flow: str, before: str | None, yes: bool) -> None:
    """Dead-letter a flow's unsent calls as `cancelled`.

    It means events that are published by now. What is published later is not covered: stop the
    upstream, or hold the flow.
    """
    from service.core.orders import calls_cancelled, moment_ms  # noqa: PLC0415 - quick --help

    settings, order = asked.settings, order_of(asked)
    calls_cancelled(order, flow, {})  # What is wrong is said before anything is asked.
    before_ms = None
    if before is not None:
        before_ms = moment_ms(before, settings.provider.time_zone, time.time() * 1000)
    ends = asyncio.run(control_of(settings).request_ends(before_ms))
    _show(flow, settings.kafka.topics.requests, before)
    if not yes:
        _confirm()

    async def make(_: KafkaControl) -> AnyCommand:
        return calls_cancelled(order, flow, ends)

    give(asked, make)


def _show(flow: str, topic: str, before: str | None) -> None:
    click.echo(
        f"flow {flow}: its calls whose events stand in {topic} by now"
        + (f" and were published before {before}" if before else "")
        + "\n  never sent: end as dead letters `cancelled`, for good"
        "\n  sent, and in doubt: end `unconfirmed`, and are not sent again"
        "\n  under way: are answered as usual"
        "\n  published from now on: are called as usual; stop the upstream, or hold the flow"
    )


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise ConfigurationError("there is no terminal to ask on: say --yes to cancel these calls")
    if not click.confirm("Cancel them?"):
        raise DispatcherError("nothing was cancelled")
