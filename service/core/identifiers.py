"""The client-identifier: the JSON that goes out for it, and the string form that must be unique.

Knows nothing of the rest of an event. The rules are from provider-api.md, `client-identifier`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from service.core.schema import DEPTH_MAX

_decode_string = msgspec.json.Decoder(str).decode
_dump = json.JSONEncoder(ensure_ascii=False).encode
_encode_string = msgspec.json.Encoder().encode
plain_string = re.compile(rb'"[ !#-\[\]-~]+"').fullmatch
"""The strict fast path: a string that is sent as it stands, and is its own string form."""
_LITERALS = {b"true", b"false"}
_EMPTY = "is empty; send the id by which you know this call"
_NO_UTF8 = "is no UTF-8; encode the event as UTF-8"
_TOO_DEEP = f"nests deeper than {DEPTH_MAX}; send a flat value"


class _Number(str):
    """A number inside an object or list, in its own spelling: no digit of it is lost."""

    __slots__ = ()


def identifier_of(raw: bytes) -> tuple[bytes, bytes]:
    """The exact JSON that is sent, and its string form as JSON: of a string, the same object.

    Args:
        raw: the value as it stands in the event, known to be JSON but for its UTF-8, the size of
            its numbers and its depth.

    Raises:
        ValueError: no such value may be an identifier; the text does not quote it.
    """
    if raw[0] == 0x22:  # noqa: PLR2004 - a quotation mark
        if b"\\" in raw or not raw.isascii() or raw == b'""':
            raw = _string(raw)
        return raw, raw
    if raw in _LITERALS:
        return raw, b'"%b"' % raw
    if raw == b"null":
        raise ValueError(_EMPTY)
    if raw[0] not in b"[{":
        return raw, _encode_string(_spelled_alike(raw.decode("ascii")))
    return _nested(raw)


def identity_of(identifier: bytes) -> bytes:
    """The string form, as JSON, of an identifier that is sent."""
    return identifier if identifier.startswith(b'"') else identifier_of(identifier)[1]


def string_form(identity: bytes) -> str:
    """What people know an identifier by, of the second that `identifier_of` returns."""
    return _decode_string(identity)


def _string(raw: bytes) -> bytes:
    """The one JSON text of a string: only what has to be escaped is."""
    if raw == b'""':
        raise ValueError(_EMPTY)
    try:
        return _encode_string(_decode_string(raw))
    except ValueError as error:
        raise ValueError(_NO_UTF8) from error


def _nested(raw: bytes) -> tuple[bytes, bytes]:
    try:
        value = json.loads(
            raw.decode(), parse_int=_Number, parse_float=_Number, parse_constant=_no_constant
        )
        sent = _render(value, str).encode()
        identity = _encode_string(_render(value, _spelled_alike))
    except UnicodeError as error:
        raise ValueError(_NO_UTF8) from error
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    if not value:
        raise ValueError(_EMPTY)
    return sent, identity


def _no_constant(_: str) -> NoReturn:
    raise ValueError("holds NaN or an infinity, which JSON has not")


def _spelled_alike(number: str) -> str:
    """The one spelling of a number's value: 1e2, 100.0 and 1.0e2 are alike, 100 is another."""
    if number.lstrip("-").isdigit():
        return "0" if number == "-0" else number
    value = float(number)
    if not math.isfinite(value):
        raise ValueError("holds a number that is not finite; send it as a string")
    return repr(value)


def _render(value: Any, spell: Callable[[str], str], depth: int = 2) -> str:
    """Compact JSON with sorted names; `depth` is that of the value within its event."""
    if isinstance(value, _Number):
        return spell(value)
    if not isinstance(value, dict | list):
        return _dump(value)
    if depth > DEPTH_MAX:
        raise ValueError(_TOO_DEEP)
    if isinstance(value, list):
        return f"[{','.join(_render(item, spell, depth + 1) for item in value)}]"
    members = (f"{_dump(name)}:{_render(value[name], spell, depth + 1)}" for name in sorted(value))
    return f"{{{','.join(members)}}}"
