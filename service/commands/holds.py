"""`call-dispatcher holds`: stops and starts sending for a flow or an account, and says what stands.

Knows nothing of any replica's address: commands go through the control topic, and what is held is
read from it and from the checkpoints.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from service.commands.giving import Asked, accounts_of, asking, control_of, give, order_of
from service.commands.options import Decorated, config_option, load_settings
from service.commands.tables import Section, show
from service.errors import OrderRefused

if TYPE_CHECKING:
    from service.adapters.kafka.control import KafkaControl
    from service.core.control import AnyCommand
    from service.core.held import Held

EVERY = "*"
"""`EVERY_ACCOUNT`, written here so that `--help` needs no models."""


@click.group()
def holds() -> None:
    """Stop and start sending, for a flow, an account or all."""


def _target(command: Decorated) -> Decorated:
    account = click.option(
        "--account",
        is_flag=False,
        flag_value=EVERY,
        metavar="[NAME]",
        help="The account, as `status` names it; without a name all accounts.",
    )
    return click.option("--flow", metavar="ID", help="The flow's id.")(account(command))


def _scope(flow: str | None, account: str | None) -> tuple[Literal["flow", "account"], str]:
    if flow is not None and account is None:
        return "flow", flow
    if account is not None and flow is None:
        return "account", account
    raise OrderRefused("say what is meant: either --flow ID, or --account [NAME]")


@holds.command(name="set")
@_target
@asking
def set_(*, asked: Asked, flow: str | None, account: str | None) -> None:
    """Stop sending, until it is released.

    Calls that are under way are answered; all others wait, in Kafka. Nothing is lost, and nothing
    is sent as a probe.
    """
    scope, name = _scope(flow, account)

    async def make(_: KafkaControl) -> AnyCommand:
        from service.core.orders import hold_set  # noqa: PLC0415 - quick --help

        return hold_set(order_of(asked), scope, name, accounts_of(asked.settings))

    give(asked, make)


@holds.command()
@_target
@asking
def release(*, asked: Asked, flow: str | None, account: str | None) -> None:
    """Start sending again, whoever or whatever stopped it.

    `--account` without a name ends the holds of all accounts. A flow whose account is held waits on
    until that is released too.
    """
    scope, name = _scope(flow, account)

    async def make(control: KafkaControl) -> AnyCommand:
        from service.core.orders import hold_released  # noqa: PLC0415 - quick --help

        accounts = accounts_of(asked.settings)
        if scope == "account" and name not in {EVERY, *accounts}:
            # Perhaps one of an earlier configuration, which would else be held for ever.
            accounts |= {each.name for each in (await _seen(control))[0] if each.scope == scope}
        return hold_released(order_of(asked), scope, name, accounts)

    give(asked, make)


@holds.command(name="list")
@config_option
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_(config_path: Path | None, output: str) -> None:
    """Show what is held now: since when, why, by whom, and how it ends.

    It asks Kafka alone, so it works while no replica runs.
    """
    control = control_of(load_settings(config_path))
    rows, unknown = asyncio.run(_seen(control))
    if unknown:
        click.echo(
            f"caution: {unknown} records of the control topic are no commands that this release "
            "knows",
            err=True,
        )
    if output == "json":
        click.echo(json.dumps({"holds": [_json(row) for row in rows]}, indent=2))
    elif rows:
        show([_section(rows)])
    else:
        click.echo("nothing is held")


async def _seen(control: KafkaControl) -> tuple[list[Held], int]:
    from service.core.held import held  # noqa: PLC0415 - quick --help

    # The commands first: what is applied meanwhile shows as held, never as still to come.
    commands, unknown = await control.commands()
    return held(await control.lanes(), commands), unknown


def _json(row: Held) -> dict[str, Any]:
    return {**asdict(row), "until": _until(row)}


def _section(rows: Sequence[Held]) -> Section:
    header = ("scope", "name", "code", "since", "by", "lanes", "until", "reason")
    return Section("holds", header, [_cells(row) for row in rows])


def _cells(row: Held) -> tuple[str, ...]:
    return (
        row.scope,
        "all accounts" if (row.scope, row.name) == ("account", EVERY) else row.name,
        "-" if row.code is None else str(row.code),
        row.since,
        row.by or "dispatcher",
        _lanes(row),
        _until(row),
        row.reason,
    )


def _lanes(row: Held) -> str:
    kinds = (
        (row.lanes, "{}"),
        (row.setting, "{} not yet"),
        (row.releasing, "{} until it reads its release"),
    )
    return "; ".join(text.format(", ".join(map(str, lanes))) for lanes, text in kinds if lanes)


def _until(row: Held) -> str:
    """How it ends: what the operator may have to do."""
    if row.releasing and not (row.lanes or row.setting):
        return "released"
    name = "" if row.name == EVERY else f" {row.name}"
    command = f"holds release --{row.scope}{name}"
    return command if row.by else f"a probe is accepted, or {command}"
