"""`call-dispatcher dead-letters replay`: plans what is sent again, and executes a plan.

Knows nothing of what may be sent, nor of how it is sent once only (service/replay).
"""

from __future__ import annotations

import asyncio
import getpass
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from service.commands.dead_letters_choices import (
    choosing,
    mask_of,
    scanning,
    unmask_option,
    wanted_of,
)
from service.commands.options import config_option, load_settings
from service.commands.tables import Section, show
from service.errors import DispatcherError

if TYPE_CHECKING:
    from service.adapters.kafka.scan import KafkaScan
    from service.core.replay_words import Replay
    from service.replay import Plan
    from service.settings import Settings

LINE_SECONDS = 5.0
"""Between two lines of progress."""
SECONDS_OF_A_MINUTE = 60
REPLAYS_SHOWN = 20


@click.command(name="replay")
@config_option
@choosing
@click.option("--force", is_flag=True, help="Also duplicate and unconfirmed: may call twice.")
@click.option(
    "--max-replays",
    type=click.IntRange(min=1),
    help="Leave out what was replayed so often.  [default, and most: dead_letters.replays_max]",
)
@click.option(
    "--set-start-time", type=click.Choice(["now"]), help="For events of a past date: call now."
)
@click.option("--drop-expires-at", is_flag=True, help="For events whose expires-at is over.")
@click.option(
    "--plan",
    "plan_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the plan.  [default: replay-TIME.plan]",
)
@unmask_option
@click.option(
    "--execute",
    "execute_path",
    metavar="PLAN",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Send what this plan says, from where it stopped.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Events a second.  [default: below what live traffic leaves of the limit]",
)
@click.option(
    "--abort-ratio",
    type=click.FloatRange(min=0, max=1),
    default=0.5,
    show_default=True,
    help="Stop when more than this share of the outcomes are failures again.",
)
@click.option("--status", is_flag=True, help="Show the replays there were, and where each stands.")
@click.pass_context
def replay(context: click.Context, /, **options: Any) -> None:
    """Send dead letters again, in two steps.

    Without --execute: write a plan of what would be sent, and say what is left out and why. Nothing
    else changes. With --execute PLAN: send exactly that. A replay that was stopped or killed goes
    on when the same plan is executed again; nothing is sent twice.
    """
    settings = load_settings(options["config_path"])
    if options["status"]:
        _show_replays(settings)
        return
    if options["execute_path"] is None:
        if context.get_parameter_source("abort_ratio") is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError("--abort-ratio goes with --execute")
        _plan(settings, options)
        return
    chosen = options["chosen"]
    given = [
        name
        for name in ("force", "max_replays", "set_start_time", "drop_expires_at")
        if options[name]
    ] + [name for name, what in chosen.items() if what not in (None, ())]
    if given or options["plan_path"]:
        raise click.UsageError("--execute takes what the plan says: no filter, no other plan")
    _execute(settings, options)


def _who() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _plan(settings: Settings, options: dict[str, Any]) -> None:
    from service.core.replay_choice import Rules  # noqa: PLC0415 - quick --help
    from service.replay import Asked, make_plan  # noqa: PLC0415 - quick --help

    chosen = options["chosen"]
    replays_max = settings.dead_letters.replays_max
    rules = Rules(
        force=options["force"],
        replays_max=min(replays_max, options["max_replays"] or replays_max),
        start_time_now=options["set_start_time"] is not None,
        drop_expires_at=options["drop_expires_at"],
    )
    words = {name.replace("_", "-"): what for name, what in chosen.items() if what}
    wanted = wanted_of(chosen, settings.provider.time_zone)
    asked = Asked(wanted, rules, _who(), words)
    path = options["plan_path"] or Path(time.strftime("replay-%Y%m%dT%H%M%S.plan"))

    async def act(scan: KafkaScan) -> Plan:
        return await make_plan(scan, settings, asked, path)

    _show_plan(asyncio.run(scanning(settings, act)), settings, options)


def _show_plan(plan: Plan, settings: Settings, options: dict[str, Any]) -> None:
    from service.core.masking import decoded, masked_event  # noqa: PLC0415 - quick --help

    text = mask_of(settings, unmask=options["unmask"])
    head = plan.head
    samples = [
        (
            reason,
            "-".join(map(str, letter.source)),
            text(letter.message),
            msgspec.json.encode(
                decoded(record.value) if options["unmask"] else masked_event(record.value, text)
            ).decode(),
        )
        for reason, some in plan.samples.items()
        for letter, record in some
    ]
    sections = [
        Section(
            f"{head.planned:,} of {head.planned + sum(head.left_out.values()):,} dead letters "
            "would be sent again",
            ("reason", "count"),
            [(reason, f"{count:,}") for reason, count in head.by_reason.items()],
        )
    ]
    if head.left_out:
        rows = [(f"{count:,}", why) for why, count in head.left_out.items()]
        sections.append(Section("left out", ("count", "why"), rows))
    if samples:
        sections.append(Section("samples", ("reason", "source", "message", "event"), samples))
    show(sections)
    if not head.planned:
        return
    click.echo()
    for rate, words in _rates(settings, options["rate"]):
        click.echo(f"{words}: {_duration(head.planned / rate)}")
    click.echo(f"nothing was sent; the plan is in {plan.path}, sha256 {head.sha256}")
    click.echo(f"to send it: call-dispatcher dead-letters replay --execute {plan.path}")


def _rates(settings: Settings, rate: float | None) -> list[tuple[float, str]]:
    from service.core.replay_pace import Load, spare_rate  # noqa: PLC0415 - quick --help

    if rate is not None:
        return [(rate, f"at {rate:g} a second")]
    limit = settings.provider.calls_per_minute / SECONDS_OF_A_MINUTE
    spare = spare_rate(Load(limit, 0.0, 0))
    return [(spare, f"at {spare:.0f} a second, the most without --rate, if nothing else is to do")]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), SECONDS_OF_A_MINUTE)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _execute(settings: Settings, options: dict[str, Any]) -> None:
    from service.replay import How, execute  # noqa: PLC0415 - quick --help

    path: Path = options["execute_path"]

    async def run() -> Replay:
        how = How(_who(), options["rate"], options["abort_ratio"])
        loop = asyncio.get_running_loop()
        # aiokafka leaves futures of a failed transaction behind, which nobody can look at.
        loop.set_exception_handler(lambda _loop, _context: None)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, how.stop.set)
        return await execute(settings, path, how, Shown())

    try:
        last = asyncio.run(run())
    except DispatcherError:
        click.echo(f"what was sent is noted; to go on, execute {path} again", err=True)
        raise
    _show_end(last, path)


class Shown:
    """Progress on standard error, a line now and then."""

    def __init__(self) -> None:
        self._last_line = time.monotonic()
        self._first = True

    def __call__(self, replay: Replay) -> None:
        """After each step."""
        if self._first:
            self._first = False
            click.echo(f"replay {replay.id}: {replay.left:,} of {replay.planned:,} to do", err=True)
        elif time.monotonic() - self._last_line >= LINE_SECONDS:
            self._last_line = time.monotonic()
            click.echo(_line(replay), err=True)


def _line(replay: Replay) -> str:
    return (
        f"{replay.sent:,} of {replay.planned:,} sent; outcomes so far: "
        f"{replay.accepted:,} accepted, {replay.failed:,} failed again"
    )


def _show_end(last: Replay, path: Path) -> None:
    click.echo(f"replay {last.id} is {last.state}: {_line(last)}")
    for why, count in last.left_out.items():
        click.echo(f"{count:,} left out: {why}")
    if last.note:
        click.echo(last.note)
    if (unknown := last.sent - last.accepted - last.failed) > 0:
        click.echo(
            f"{unknown:,} had no outcome yet at {last.updated_at}; what became of them since: "
            f"call-dispatcher audit --since {last.started_at}"
        )
    if last.left:
        click.echo(f"to go on: call-dispatcher dead-letters replay --execute {path}")
        raise click.exceptions.Exit(1)


def _show_replays(settings: Settings) -> None:
    from service.replay import replays  # noqa: PLC0415 - quick --help

    rows = [
        (
            *(each.replay.id, each.state, each.replay.updated_at, each.replay.run_by),
            *(f"{each.replay.planned:,}", f"{each.replay.sent:,}"),
            *(f"{each.replay.accepted:,}", f"{each.replay.failed:,}", each.replay.note),
        )
        for each in asyncio.run(replays(settings))[:REPLAYS_SHOWN]
    ]
    if not rows:
        click.echo("no replays")
        return
    header = ("replay", "state", "updated", "run by", "planned", "sent", "accepted", "failed again")
    show([Section("replays", (*header, "note"), rows)])
