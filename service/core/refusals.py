"""What an undecodable event means for those who publish it: the field, and the way out.

Knows nothing of the rules for values; and repeats nothing of the event but field names that cannot
hold a number, because its texts go into headers and logs.
"""

from __future__ import annotations

import re

import msgspec

from service.core.schema import DEPTH_MAX, KEY_PREFIX, Event
from service.errors import EventRefused

_unknown_field = re.compile(
    r"Object contains unknown field `([A-Za-z][A-Za-z_.-]{0,39})`(?: - at `\$\.(keys\[\d+\])`)?"
).fullmatch
"""Only names that cannot hold a number are repeated in messages."""
_missing_field = re.compile(
    r"Object missing required field `([a-z-]+)`(?: - at `\$\.(keys\[\d+\])`)?"
).fullmatch
_wrong_type = re.compile(
    r"(?:Expected `[^`]+`, got `(?P<got>[a-z]+)`|(?P<big>Integer value out of range))"
    r"(?: - at `\$\.(?P<field>[a-z-]+(?:\[\d+\])?(?:\.[a-z]+)?)`)?"
).fullmatch
_index = re.compile(r"\[\d+\]")
_EXPECTED = {
    "flow-id": "a string of 8 letters or digits",
    "contact-numbers": "a list of strings or integers",
    "contact-numbers[]": "a string or an integer",
    "start-time": "a string such as 2030-01-31T09:30:00+05:30, or left out",
    "expires-at": "a string such as 2030-01-31T09:30:00+05:30, or left out",
    "keys": "a list of objects with name and value, or left out",
    "keys[]": "an object with name and value",
    "keys[].name": f"a string that begins with {KEY_PREFIX}",
    "keys[].value": "a string, an integer or a boolean, or left out",
}
_KNOWN = ", ".join(field.encode_name for field in msgspec.structs.fields(Event))


def undecodable(value: bytes, error: Exception) -> EventRefused:
    """The refusal for an error of `decode_event`."""
    text = str(error)
    if isinstance(error, RecursionError):
        return EventRefused(
            "invalid", None, f"the event nests deeper than {DEPTH_MAX}: send it flat"
        )
    if isinstance(error, UnicodeDecodeError):
        return EventRefused("invalid", None, "the event is no UTF-8: encode it as UTF-8")
    if isinstance(error, msgspec.ValidationError):
        return _misshapen(text)
    if value.startswith(b"\xef\xbb\xbf"):
        return EventRefused(
            "invalid", None, "the event begins with a byte order mark: send the JSON without it"
        )
    position = re.search(r"\(byte \d+\)\Z", text)
    where = f" {position[0]}" if position else ""
    return EventRefused("invalid", None, f"the event is not one JSON object{where}: correct it")


def _misshapen(text: str) -> EventRefused:
    """A refusal for JSON that has not the shape of an event."""
    if found := _missing_field(text):
        field = f"{found[2]}.{found[1]}" if found[2] else found[1]
        return EventRefused("invalid", field, f"{field} is missing: it is required")
    if text.startswith("Object contains unknown field"):
        known = "name, value" if " - at `$.keys[" in text else _KNOWN
        named = _unknown_field(text)
        field = named and (f"{named[2]}.{named[1]}" if named[2] else named[1])
        what = f"{field} is unknown" if field else "the event holds an unknown field"
        return EventRefused("invalid", field, f"{what}: known are {known}")
    found = _wrong_type(text)
    field = found["field"] if found else None
    if not found or not field:
        return EventRefused("invalid", None, "the event is not one JSON object: correct it")
    if found["big"]:
        return EventRefused("invalid", field, f"{field} is too large an integer: send a string")
    expected = _EXPECTED[_index.sub("[]", field)]
    return EventRefused("invalid", field, f"{field} must be {expected}, not {found['got']}")
