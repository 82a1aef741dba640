"""Operators' commands to running lanes, as records of the control topic.

Knows nothing of how they are written or read. A command is idempotent and named by its id: reading
one again changes nothing, and each lane applies them in the order of the topic.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from service.core.holds import EVERY_ACCOUNT
from service.errors import ControlUnreadable

__all__ = [
    "EVERY_ACCOUNT",
    "AnyCommand",
    "CallsCancelled",
    "Command",
    "HoldReleased",
    "HoldSet",
    "LimitSet",
    "decode",
    "encode",
]


class Command(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, kw_only=True):
    """One command: who asks, when, what, why. The record's key is its id."""

    id: str
    at: str
    """RFC 3339, by the clock of whoever asks; for people, nothing is decided by it."""
    who: str
    """For people: user and host, or the address that called the HTTP interface."""
    reason: str = ""


class HoldSet(Command, frozen=True, tag="hold-set", tag_field="command"):
    """Stop sending for a flow or an account until it is released; there is no canary."""

    scope: Literal["flow", "account"]
    name: str
    """The flow-id, an account's name as `/status` shows it, or `EVERY_ACCOUNT`."""


class HoldReleased(Command, frozen=True, tag="hold-release", tag_field="command"):
    """End the hold of that scope and name, whoever set it."""

    scope: Literal["flow", "account"]
    name: str
    """As in `HoldSet`; `EVERY_ACCOUNT` ends the holds of all accounts."""


class CallsCancelled(Command, frozen=True, tag="calls-cancel", tag_field="command"):
    """Calls of a flow that have not been sent end as `cancelled`."""

    flow_id: str
    ends: dict[int, int]
    """By partition of the requests topic: only events below this offset are meant."""


class LimitSet(Command, frozen=True, tag="limit-set", tag_field="command"):
    """Another limit for all lanes together; None: the configured one again."""

    calls_per_minute: int | None


AnyCommand = HoldSet | HoldReleased | CallsCancelled | LimitSet

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)


def encode(command: AnyCommand) -> bytes:
    """The record's value."""
    return _encoder.encode(command)


def decode(value: bytes | None) -> AnyCommand:
    """The command that a record holds.

    Raises:
        ControlUnreadable: it is none, or one of a newer release.
    """
    try:
        return _decoder.decode(value or b"")
    except msgspec.MsgspecError as error:
        raise ControlUnreadable(f"a record of the control topic is no command: {error}") from error
