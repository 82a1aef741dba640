"""How `dead-letters replay` tells of a plan, of its execution, and of the replays there were.

Knows nothing of how either is done.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click
import msgspec

from service.commands.tables import Section, show
from service.core.replay import ReplayState
from service.letters.listing import row

if TYPE_CHECKING:
    from service.replay.planning import Made

LINE_SECONDS = 2.0
"""Between two lines of progress."""
KINDS_SHOWN = 40
STATES_SHOWN = 20


def print_plan(
    made: Made, output: str, per_second: float, how: str, text: Callable[[str], str]
) -> None:
    """What would be sent, what not and why, and how to do it."""
    found = made.found
    seconds = round(found.planned / per_second, 1)
    samples = [row(letter, value, text) for some in made.samples.values() for letter, value in some]
    if output == "json":
        whole = {
            "replay-id": made.id,
            "plan": str(made.path),
            "planned": found.planned,
            "by-reason": found.by_reason,
            "by-kind": found.by_kind,
            "left-out": found.left_out,
            "seconds": seconds,
            "samples": samples,
        }
        click.echo(msgspec.json.encode(whole).decode())
        return
    sections = [
        Section(
            f"{found.planned:,} would be sent",
            ("count", "reason", "code", "flow"),
            [(f"{kind[3]:,}", *kind[:3]) for kind in found.by_kind[:KINDS_SHOWN]],
        ),
        Section(
            f"{sum(found.left_out.values()):,} would not",
            ("count", "why"),
            [(f"{count:,}", why) for why, count in found.left_out.items()],
        ),
        Section(
            "samples",
            ("reason", "source", "message"),
            [(each.reason, each.source, each.message) for each in samples],
        ),
    ]
    show([section for section in sections if section.rows])
    if made.unreadable:
        click.echo(f"caution: {made.unreadable} records are no dead letters of a dispatcher")
    click.echo(f"nothing is sent yet; the plan is in {made.path}")
    if found.planned:
        path = shlex.quote(str(made.path))
        click.echo(f"it takes {_duration(seconds)} {how}; to do it:")
        click.echo(f"  call-dispatcher dead-letters replay --execute {path}")


def _duration(seconds: float) -> str:
    if seconds < 90:  # noqa: PLR2004 - short times are read better in seconds
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"


class ExecutionShown:
    """Tells how far an execution has come, on standard error."""

    def __init__(self) -> None:
        self._last_line = 0.0

    def tell(self, state: ReplayState) -> None:
        """Now and then a line."""
        now = time.monotonic()
        if now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            self.say(_line(state))

    @staticmethod
    def say(line: str) -> None:
        """A line of its own."""
        click.echo(line, err=True)


def _line(state: ReplayState) -> str:
    return (
        f"{state.sent:,} of {state.planned:,} sent, {state.left_out:,} left out; so far "
        f"{state.accepted:,} accepted, {state.failed:,} failed again"
    )


def print_execution(state: ReplayState, sent_now: int, output: str) -> None:
    """How it ended."""
    if output == "json":
        whole = msgspec.to_builtins(state) | {"sent-now": sent_now}
        click.echo(msgspec.json.encode(whole).decode())
        return
    click.echo(f"replay {state.id} is {state.state}: {_line(state)}; {sent_now:,} sent by this run")
    click.echo("what fails again: call-dispatcher dead-letters list --since 1h --not-replayed")


def print_states(states: list[ReplayState], output: str, *, busy: bool) -> None:
    """The replays there were, the newest first; `busy`: one is under way."""
    states = sorted(states, key=lambda state: state.updated_at, reverse=True)
    for number, state in enumerate(states):
        if state.state == "running" and not (busy and number == 0):
            state.state = "interrupted"
    if output == "json":
        click.echo(msgspec.json.encode(states).decode())
        return
    if not states:
        click.echo("no replays")
        return
    rows = [
        (
            *(state.id, state.state, state.updated_at, state.who),
            *(f"{state.planned:,}", f"{state.sent:,}", f"{state.accepted:,}", f"{state.failed:,}"),
        )
        for state in states[:STATES_SHOWN]
    ]
    header = ("replay", "state", "updated", "who", "planned", "sent", "accepted", "failed")
    show([Section("replays", header, rows)])
