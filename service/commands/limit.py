"""`call-dispatcher limit`: changes the limit of running replicas.

Knows nothing of any replica's address: the command goes through the control topic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from service.commands.giving import Asked, asking, give, order_of

if TYPE_CHECKING:
    from service.adapters.kafka.control import KafkaControl
    from service.core.control import AnyCommand


@click.group()
def limit() -> None:
    """The limit in calls a minute, of all lanes together."""


@limit.command(name="set")
@click.argument("calls_per_minute", metavar="N", type=click.INT)
@asking
def set_(*, asked: Asked, calls_per_minute: int) -> None:
    """Send at most N calls a minute, over all lanes, until `limit reset`.

    It outlives restarts. A share of it, N over the number of lanes, must hold one full batch.
    """
    settings = asked.settings

    async def make(control: KafkaControl) -> AnyCommand:
        from service.core.orders import limit_set  # noqa: PLC0415 - quick --help

        lanes = await control.lane_count()
        command = limit_set(order_of(asked), calls_per_minute, lanes, settings.batching.calls_max)
        if calls_per_minute > settings.provider.calls_per_minute:
            click.echo(
                f"caution: {calls_per_minute} is above provider.calls_per_minute, "
                f"{settings.provider.calls_per_minute}: the provider may refuse what is more",
                err=True,
            )
        return command

    give(asked, make)


@limit.command()
@asking
def reset(*, asked: Asked) -> None:
    """Take the configured limit again."""

    async def make(_: KafkaControl) -> AnyCommand:
        from service.core.orders import limit_reset  # noqa: PLC0415 - quick --help

        return limit_reset(order_of(asked))

    give(asked, make)
