"""The shape of a call event (contract.md, Call event): its typed model and its JSON Schema.

Knows nothing of what values mean: numbers, times and names are checked by intake.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

KEY_PREFIX = "$flow.key."
"""What every flow variable's name begins with."""
DEPTH_MAX = 32
"""Of an event's nested objects and lists, the event itself included."""

_EMPTY: list[Any] = [None, "", [], {}]
_FLOW_ID = Meta(
    description="The flow that takes the call: 8 ASCII letters or digits.",
    extra_json_schema={"pattern": "^[A-Za-z0-9]{8}$"},
)
_IDENTIFIER = Meta(
    description="Any JSON value but null and empty ones; it comes back in the result.",
    extra_json_schema={"not": {"enum": _EMPTY}},
)
_NUMBERS = Meta(
    description="One customer's numbers, tried in this order until one connects. Ten digits are "
    "Indian; numbers of other countries begin with +. Required, unless a dummy number is "
    "configured for the flow."
)
_START_TIME = Meta(
    description="ISO 8601, with an offset or in the configured zone. Left out or earlier today: "
    "now. An earlier day: the call is dead-lettered as expired.",
    examples=["2030-01-31T09:30:00+05:30"],
)
_KEYS = Meta(description="Variables of the flow; their names are unique.")
_EXPIRES_AT = Meta(
    description="After it the call must no longer be sent; not sent on. Forms as in start-time.",
    examples=["2030-01-31T18:00:00+05:30"],
)
_NAME = Meta(
    description="The variable's name, case-sensitive.",
    extra_json_schema={"pattern": r"^\$flow\.key\.(.|\s)"},
    examples=["$flow.key.name"],
)
_VALUE = Meta(description="Its value; integers and booleans are sent as strings.")


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One variable of the flow."""

    name: Annotated[str, _NAME]
    value: Annotated[str | int | bool, _VALUE] = ""


class Event(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True, gc=False):
    """One call, as upstream asks for it. Of a field given twice the last counts."""

    flow_id: Annotated[str, _FLOW_ID]
    client_identifier: Annotated[Raw, _IDENTIFIER]
    contact_numbers: Annotated[list[str | int], _NUMBERS] | UnsetType = UNSET
    start_time: Annotated[str, _START_TIME] | UnsetType = UNSET
    keys: Annotated[list[Key], _KEYS] | UnsetType = UNSET
    expires_at: Annotated[str, _EXPIRES_AT] | UnsetType = UNSET


decode_event = msgspec.json.Decoder(Event).decode
"""Raises msgspec.MsgspecError, UnicodeDecodeError or RecursionError, whatever the bytes. The
client-identifier is skipped over by syntax alone: its UTF-8 and its numbers are still unchecked."""


def event_json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a call event. Intake is stricter: it knows numbers and times."""
    schema = msgspec.json.schema(Event)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": schema["$ref"],
        "$defs": schema["$defs"],
    }
