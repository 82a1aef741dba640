"""What an operator may order: checks it, and makes the command that lanes will read.

Knows nothing of where the order came from: the command line and the HTTP interface ask here alike.
Every refusal is one line that names the way out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from service.core.control import (
    EVERY_ACCOUNT,
    AnyCommand,
    CallsCancelled,
    HoldReleased,
    HoldSet,
    LimitSet,
)
from service.core.times import epoch_seconds
from service.errors import OrderRefused

REASON_CHARACTERS_MAX = 500
"""It stands in checkpoints, logs and tables: a sentence or two."""
WHO_CHARACTERS_MAX = 200
LIMIT_MAX = 1_000_000_000
"""As `provider.calls_per_minute`."""
JOINERS = "\u200c\u200d"
"""Not printable by themselves, and part of ordinary words in Indian scripts."""

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_FLOW_ID = re.compile(r"[A-Za-z0-9]{8}", re.ASCII)

Scope = Literal["flow", "account"]


@dataclass(frozen=True, slots=True)
class Order:
    """What every command says besides what is to be done."""

    id: str
    at: str
    """RFC 3339."""
    who: str
    reason: str = ""

    def checked(self) -> dict[str, str]:
        """The members that all commands share.

        Raises:
            OrderRefused: the id or the reason cannot be taken.
        """
        if not _ID.fullmatch(self.id):
            raise OrderRefused(
                "id: must be 1 to 64 ASCII letters, digits, dots, dashes or underscores"
            )
        reason = self.reason.strip()
        if len(reason) > REASON_CHARACTERS_MAX:
            raise OrderRefused(
                f"reason: has {len(reason)} characters; {REASON_CHARACTERS_MAX} is the most"
            )
        if not all(map(_shows, reason)):
            raise OrderRefused("reason: must be one line, without control characters")
        who = "".join(filter(_shows, self.who))[:WHO_CHARACTERS_MAX]
        return {"id": self.id, "at": self.at, "who": who, "reason": reason}


def _shows(char: str) -> bool:
    return char.isprintable() or char in JOINERS


def hold_set(order: Order, scope: Scope, name: str, accounts: Collection[str]) -> HoldSet:
    """Stop sending; `accounts` are the names of those that are configured.

    Raises:
        OrderRefused: the name is none, or the reason is missing.
    """
    shared = order.checked()
    if not shared["reason"]:
        raise OrderRefused(
            "reason: is required, so that whoever finds the hold knows why calls stand still"
        )
    return HoldSet(**shared, scope=scope, name=_name(scope, name, accounts))


def hold_released(order: Order, scope: Scope, name: str, accounts: Collection[str]) -> HoldReleased:
    """Start sending again; `accounts` are the names of those configured, and of those held.

    Raises:
        OrderRefused: the name is none.
    """
    return HoldReleased(**order.checked(), scope=scope, name=_name(scope, name, accounts))


def _name(scope: Scope, name: str, accounts: Collection[str]) -> str:
    if scope == "flow":
        return flow_id(name)
    if name == EVERY_ACCOUNT or name in accounts:
        return name
    raise OrderRefused(
        f"account: there is none of that name; known are {', '.join(sorted(accounts))}, "
        f"and {EVERY_ACCOUNT} for all"
    )


def flow_id(text: str) -> str:
    """The same text.

    Raises:
        OrderRefused: it is no flow-id.
    """
    if not _FLOW_ID.fullmatch(text):
        raise OrderRefused("flow: a flow-id has exactly 8 ASCII letters and digits, like AbCd1234")
    return text


def calls_cancelled(order: Order, flow: str, ends: Mapping[int, int]) -> CallsCancelled:
    """Cancel a flow's calls below `ends`, by partition of the requests topic.

    Raises:
        OrderRefused: `flow` is no flow-id.
    """
    return CallsCancelled(**order.checked(), flow_id=flow_id(flow), ends=dict(ends))


def moment_ms(text: str, time_zone: str, now_ms: float) -> int:
    """A time up to which events are meant, in milliseconds since the epoch.

    Raises:
        OrderRefused: it is no time, or lies in the future.
    """
    try:
        moment = int(epoch_seconds(text, time_zone) * 1000)
    except ValueError as error:
        raise OrderRefused(f"before: {error}") from error
    if not 0 <= moment <= now_ms:
        raise OrderRefused(
            "before: lies in the future, or before 1970; only what is published by now can be "
            "cancelled: leave it out to mean all of that"
        )
    return moment


def limit_set(order: Order, calls_per_minute: int, lanes: int, calls_max: int) -> LimitSet:
    """Change the limit of all lanes together.

    Args:
        order: who asks.
        calls_per_minute: the new limit.
        lanes: how many lanes share it.
        calls_max: `batching.calls_max`, the calls of a full batch.

    Raises:
        OrderRefused: a lane's share would be under one full batch, or the number is absurd.
    """
    share, least = calls_per_minute // lanes, calls_max * lanes
    if share < calls_max:
        raise OrderRefused(
            f"limit: {calls_per_minute} calls a minute over {_lanes(lanes)} is a share of {share}, "
            f"less than one full batch of {calls_max} (batching.calls_max): {least} is the "
            "least; to stop all calls use `holds set --account`"
        )
    if calls_per_minute > LIMIT_MAX:
        raise OrderRefused(f"limit: {LIMIT_MAX} calls a minute is the most")
    return LimitSet(**order.checked(), calls_per_minute=calls_per_minute)


def _lanes(count: int) -> str:
    return "1 lane" if count == 1 else f"{count} lanes"


def limit_reset(order: Order) -> LimitSet:
    """Take the configured limit again.

    Raises:
        OrderRefused: as `Order.checked`.
    """
    return LimitSet(**order.checked(), calls_per_minute=None)


def same(one: AnyCommand, other: AnyCommand) -> bool:
    """Whether both ask for the same, whoever asked and when.

    A cancel that is repeated finds other ends; it is the first one's that count.
    """
    return _meant(one) == _meant(other)


def _meant(command: AnyCommand) -> AnyCommand:
    blank: dict[str, Any] = {"id": "", "at": "", "who": "", "reason": ""}
    if isinstance(command, CallsCancelled):
        blank["ends"] = {}
    return msgspec.structs.replace(command, **blank)
