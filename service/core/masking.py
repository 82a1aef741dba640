"""An event without what nobody needs to see: numbers, values of keys, fields of other names.

Knows nothing of how a text is masked: that is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from service.core.calls import Header

MASK = "********"
SHOWN = frozenset({"start-time", "expires-at"})
"""Fields that are shown once their text is masked. Others may be a misspelt `contact-numbers`."""
TRACES = frozenset({"traceparent", "tracestate"})

Text = Callable[[str], str]


def masked_event(value: bytes | None, text: Text) -> Any:
    """What may be shown of an event's value.

    Args:
        value: of the record.
        text: masks numbers in a text.
    """
    event = decoded(value)
    if not isinstance(event, dict):
        return None if value is None else f"{len(value)} bytes that are no event"
    return {text(name): _field(name, content, text) for name, content in event.items()}


def decoded(value: bytes | None) -> Any:
    """The JSON of an event's value; None if it is none."""
    try:
        return msgspec.json.decode(value or b"")
    except (ValueError, RecursionError):
        return None


def _field(name: str, content: Any, text: Text) -> Any:
    if name == "flow-id" and isinstance(content, str) and not content.isdecimal():
        return text(content)
    if name == "client-identifier":
        return masked_json(content, text)
    if name in SHOWN and isinstance(content, str):
        return text(content)
    if name == "contact-numbers" and isinstance(content, list):
        return [MASK] * len(content)
    if name == "keys" and isinstance(content, list):
        return [_key(each, text) for each in content]
    return MASK


def _key(key: Any, text: Text) -> Any:
    if not isinstance(key, dict) or not isinstance(key.get("name"), str):
        return MASK
    return {"name": text(key["name"]), "value": MASK}


def masked_json(content: Any, text: Text) -> Any:
    """Any JSON value, with numbers masked wherever they stand."""
    match content:
        case str():
            return text(content)
        case bool() | None:
            return content
        case int() | float():
            shown = text(str(content))
            return content if shown == str(content) else shown
        case list():
            return [masked_json(each, text) for each in content]
        case dict():
            return {text(name): masked_json(each, text) for name, each in content.items()}
        case _:
            return MASK


def masked_headers(headers: Sequence[Header], text: Text) -> list[tuple[str, str]]:
    """What may be shown of the headers that upstream set."""
    return [
        (text(name), text(shown(content)) if name in TRACES else MASK) for name, content in headers
    ]


def shown(content: bytes | None) -> str:
    """Bytes as a text for people."""
    return (content or b"").decode(errors="replace")
