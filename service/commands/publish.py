"""`call-dispatcher publish`: JSON Lines of events into the requests topic, exactly once.

Knows nothing of transactions (adapters/kafka/publisher.py), nor of what makes an event valid
(core/intake.py). Nothing is kept on disk: how far a run has come is committed with its events.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.commands.options import config_option, load_settings
from service.core.identifiers import string_form
from service.errors import EventRefused

if TYPE_CHECKING:
    from service.commands.publish_run import Asked, MakeEvent
    from service.core.calls import Call
    from service.settings import Settings

STDIN_FD = 0
KEY_FLOW_VARIABLE = "$flow.key."
RUN_ID = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)
"""It becomes part of a transactional id and of a group's name."""


def event_maker(settings: Settings, key: str) -> MakeEvent:
    """Lines to events, by the rules of the dispatcher that will read them."""
    from service.pipeline.flows import Flows, make_intake  # noqa: PLC0415 - quick --help

    intake = make_intake(settings, Flows(settings))
    topic, meta_bytes_max = settings.kafka.topics.requests, settings.events.meta_bytes_max

    def make(value: bytes) -> tuple[bytes | None, bytes]:
        key_bytes = key_of(intake.accept_value(value, topic=topic), key)
        if key_bytes is not None and len(key_bytes) > meta_bytes_max:
            raise EventRefused(
                "invalid",
                None,
                f"its key has {len(key_bytes)} bytes, more than the {meta_bytes_max} of "
                "events.meta_bytes_max: choose another --key",
            )
        return key_bytes, value

    return make


def key_of(call: Call, key: str) -> bytes | None:
    """The record's key that `--key` asks for.

    Raises:
        EventRefused: the event has no such flow variable.
    """
    if key == "none":
        return None
    if key == "flow-id":
        return call.flow_id.encode()
    if key == "client-identifier":
        return string_form(call.identity).encode()
    import msgspec  # noqa: PLC0415 - quick --help

    for pair in msgspec.json.decode(call.fragment)["keys"]:
        if pair["name"] == key:
            return str(pair["value"]).encode()
    raise EventRefused("invalid", "keys", f"{key} is not among them, and --key asks for it")


def _key(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if value in {"client-identifier", "flow-id", "none"} or (
        value.startswith(KEY_FLOW_VARIABLE) and value != KEY_FLOW_VARIABLE
    ):
        return value
    raise click.BadParameter("must be client-identifier, flow-id, none or $flow.key.NAME")


def _run_id(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is None or RUN_ID.fullmatch(value):
        return value
    raise click.BadParameter("must be letters, digits, dots, dashes or underscores, 100 at most")


@click.command()
@config_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--key",
    default="client-identifier",
    show_default=True,
    callback=_key,
    help="The records' key: client-identifier, flow-id, none, or a variable, $flow.key.NAME.",
)
@click.option("--skip-invalid", is_flag=True, help="List invalid lines and go on without them.")
@click.option("--resume", is_flag=True, help="Go on after the lines that are published already.")
@click.option(
    "--again", is_flag=True, help="Publish all of it once more: customers are called twice."
)
@click.option(
    "--id",
    "run_id",
    callback=_run_id,
    help="Name of the run.  [default: made of the file's content]",
)
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many events a second."
)
def publish(
    *,
    config_path: Path | None,
    file: str,
    key: str,
    skip_invalid: bool,
    resume: bool,
    again: bool,
    run_id: str | None,
    rate: float | None,
) -> None:
    """Publish the events of FILE, JSON Lines of one event each; `-` reads standard input.

    Every line is checked by the rules of the dispatcher. The first invalid one ends the run:
    all lines before it are published, none from it on. Blank lines are passed over.

    A run that was interrupted, however hard, is ended by --resume without doubling or losing an
    event.
    """
    from service.commands.publish_run import Asked  # noqa: PLC0415 - quick --help

    if resume and again:
        raise click.UsageError("--resume and --again exclude each other")
    settings = load_settings(config_path)
    make_event = event_maker(settings, key)
    fd = STDIN_FD if file == "-" else os.open(file, os.O_RDONLY)
    try:
        name = "standard input" if file == "-" else file
        asked = Asked(name, run_id or _content_id(fd), resume, again, skip_invalid, rate)
        asyncio.run(_run(settings, fd, make_event, asked))
    finally:
        os.close(fd)


def _content_id(fd: int) -> str:
    """The same for the same content of a file; a name of chance for a pipe."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return secrets.token_hex(8)
    with open(fd, "rb", buffering=0, closefd=False) as file:
        begin = file.tell()
        digest = hashlib.file_digest(file, "sha256")
        file.seek(begin)
    return digest.hexdigest()[:16]


async def _run(settings: Settings, fd: int, make_event: MakeEvent, asked: Asked) -> None:
    from service.adapters.kafka.connection import client_options  # noqa: PLC0415 - quick --help
    from service.adapters.kafka.publisher import KafkaPublisher  # noqa: PLC0415 - quick --help
    from service.adapters.lines import LineReader  # noqa: PLC0415 - quick --help
    from service.commands.publish_progress import PublishShown  # noqa: PLC0415 - quick --help
    from service.commands.publish_run import Run  # noqa: PLC0415 - quick --help

    # aiokafka leaves futures of a failed transaction behind, which nobody can look at; without
    # this their traceback would stand beside our one line.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    kafka = settings.kafka
    lines = LineReader(fd)
    publisher = KafkaPublisher(
        client_options(kafka), kafka.topics.requests, f"{kafka.group_id}.publish.{asked.run_id}"
    )
    with PublishShown(os.fstat(fd)) as shown:
        run = Run(lines, publisher, make_event, asked, shown)
        try:
            await run.run()
        except asyncio.CancelledError:
            shown.say(f"interrupted: {run.way_on}")
            raise
        finally:
            await publisher.stop()
    click.echo(
        f"published {run.published} events of {asked.name} to {kafka.topics.requests}; "
        f"{run.skipped} invalid lines skipped; {run.before} lines were done before"
    )
