"""`call-dispatcher topics`: makes what is missing in Kafka, and says what is there.

Knows nothing of how a topic must be set: adapters/kafka/topics.py does.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.commands.options import config_option, load_settings
from service.errors import LaneFenced, TopicsError

if TYPE_CHECKING:
    from service.settings import Settings


@click.group()
def topics() -> None:
    """The topics that the dispatcher reads and writes."""


@topics.command()
@config_option
@click.option(
    "--lanes",
    type=click.IntRange(min=1),
    help="Lanes of a new dispatcher, a partition of the checkpoints topic each.  [default: 1]",
)
@click.option(
    "--migrate",
    is_flag=True,
    help="Raise the number of lanes of a dispatcher that has run before to --lanes. Stop it first.",
)
def create(config_path: Path | None, lanes: int | None, *, migrate: bool) -> None:
    """Make the topics that are missing, and check the settings of those that exist.

    One lane carries the whole limit of an account, so one is enough for most. Partitions of the
    requests, results and dead letters topics are independent of it. Safe to run again.
    """
    from service.adapters.kafka.connection import client_options  # noqa: PLC0415 - quick --help
    from service.adapters.kafka.topics import ensure_topics  # noqa: PLC0415 - quick --help

    settings = load_settings(config_path)
    if migrate:
        if lanes is None:
            raise click.UsageError("--migrate needs --lanes")
        _migrate(settings, lanes)
        return
    options = client_options(settings.kafka)
    made = asyncio.run(ensure_topics(settings, options, lanes=lanes, create=True))
    for name in settings.kafka.topics.model_dump().values():
        click.echo(f"{name}: {'created' if name in made else 'already there'}")


def _migrate(settings: Settings, lanes: int) -> None:
    changed = asyncio.run(_migrated(settings, lanes))
    click.echo(f"lanes: {lanes}" if changed else f"lanes: {lanes} already")


async def _migrated(settings: Settings, lanes: int) -> bool:
    from service.adapters.kafka.broker import KafkaBroker  # noqa: PLC0415 - quick --help
    from service.pipeline.migration import migrate  # noqa: PLC0415 - quick --help

    # A fenced client leaves futures behind, and asyncio would print each beside our one line.
    asyncio.get_running_loop().set_exception_handler(lambda _, __: None)
    broker = KafkaBroker(settings, "call-dispatcher-migrate")
    try:
        return await migrate(broker, settings, lanes)
    except LaneFenced as error:
        raise TopicsError(
            "a running dispatcher took a lane back: stop all replicas, then run this again"
        ) from error
