"""What came back for one request, and what can be read in it.

Knows nothing of what a code means (codes.py) or of the batch's history (verdicts.py). Whatever the
bytes are, reading them never raises: what cannot be read is a malformed body.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

import msgspec

from service.core.identifiers import identifier_of

TEXT_CHARACTERS_MAX = 200
"""Of a message or an id in an answer: they enter headers, logs and checkpoints."""
TEXTS_CACHED = 256
"""Nearly all answers have one of a few messages."""
CODE_MAX = 999_999_999
"""A longer number is no code that anybody knows, and would not fit a checkpoint for ever."""
ENTRIES_MAX_PER_CALL = 4
ENTRIES_MAX_BESIDES = 100
"""Of call-details: a longer list is not read, for judging one answer must not stop a lane."""
SPELLING_MAX_PER_BYTE = 6
SPELLING_MAX_BESIDES = 64
"""An identifier is sent compactly; escapes take six bytes for one, and there may be white space."""
LAST_SUCCESS_STATUS = 299
RETRY_AFTER_SECONDS_MAX = 3600.0
"""A provider that asks for a longer rest is asked again after this (provider-api.md, 429)."""


class Response(msgspec.Struct, frozen=True):
    """An HTTP answer."""

    status: int
    body: bytes
    retry_after: str | None = None
    """The header of that name."""
    truncated: bool = False
    """Whether the body is not all that was announced; none of it if it was absurdly long."""


class NoAnswer(msgspec.Struct, frozen=True):
    """A timeout, a reset, a close: the request may have arrived."""

    cause: str


class NotSent(msgspec.Struct, frozen=True):
    """Provably not a byte of the request left."""

    cause: str


Answer = Response | NoAnswer | NotSent


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What call-details say of one call."""

    uuid: str | None = None
    code: int | None = None
    message: str = ""
    odd: bool = False
    """Listed twice and differently, or with a code that cannot be read."""


class _RawEntry(msgspec.Struct, frozen=True):
    identifier: msgspec.Raw = msgspec.field(name="client-identifier", default=msgspec.Raw(b""))
    uuid: msgspec.Raw = msgspec.field(name="phonon-uuid", default=msgspec.Raw(b""))
    code: msgspec.Raw = msgspec.field(name="api-response-code", default=msgspec.Raw(b""))
    message: msgspec.Raw = msgspec.field(name="api-response-message", default=msgspec.Raw(b""))


class _RawBody(msgspec.Struct, frozen=True):
    code: msgspec.Raw = msgspec.field(name="api-response-code", default=msgspec.Raw(b""))
    message: msgspec.Raw = msgspec.field(name="api-response-message", default=msgspec.Raw(b""))
    request_id: msgspec.Raw = msgspec.field(name="request-id", default=msgspec.Raw(b""))
    details: msgspec.Raw = msgspec.field(name="call-details", default=msgspec.Raw(b""))


class Body(msgspec.Struct, frozen=True):
    """An answer in protocol: it has a code."""

    code: int
    message: str
    request_id: str | None
    details: tuple[_RawEntry, ...] | None
    """None where there is no readable list; `has_details` tells whether there was anything."""
    has_details: bool

    def join(self, identifiers: Sequence[bytes]) -> tuple[list[Entry | None], int]:
        """What the list says of each call, None where nothing; and how many it names in vain.

        Args:
            identifiers: the exact JSON of each call's client-identifier, as it was sent.
        """
        places = {identifier: place for place, identifier in enumerate(identifiers)}
        longest = max(map(len, places), default=0) * SPELLING_MAX_PER_BYTE + SPELLING_MAX_BESIDES
        by_value: dict[tuple[bool, bytes] | None, int] = {}
        found: list[Entry | None] = [None] * len(identifiers)
        strangers = 0
        for raw in self.details or ():
            echo = bytes(raw.identifier)
            place = places.get(echo)
            if place is None and len(echo) <= longest:
                by_value = by_value or {_value_of(sent): at for sent, at in places.items()}
                value = _value_of(echo)
                place = None if value is None else by_value.get(value)
            if place is None:
                strangers += 1
                continue
            entry, earlier = _entry(raw), found[place]
            if earlier and (earlier.uuid, earlier.code) != (entry.uuid, entry.code):
                entry = Entry(odd=True)
            found[place] = entry if not (earlier and earlier.odd) else earlier
        return found, strangers


_decode_body = msgspec.json.Decoder(_RawBody).decode
_decode_details = msgspec.json.Decoder(tuple[_RawEntry, ...]).decode
_decode_text = msgspec.json.Decoder(str).decode
_TAKEN = re.compile(rb'"api-response-code"\s*:\s*"?20[02]\b')
_NAMED = re.compile(rb'"request-id"\s*:\s*"')
_CODE = re.compile(rb"-?[0-9]+")
_CODE_DIGITS_MAX = len(str(CODE_MAX))
_ABSENT = (b"", b"null")


def read(response: Response, calls: int) -> Body | None:
    """The answer in protocol to a request of so many calls.

    None: an empty or malformed body, or one without a code.
    """
    if response.truncated:
        return None
    try:
        raw = _decode_body(response.body)
    except (ValueError, RecursionError):
        return None
    code = _code(raw.code)
    if code is None:
        return None
    return Body(
        code,
        readable(_text(raw.message)),
        _id(raw.request_id),
        _details(raw.details, calls * ENTRIES_MAX_PER_CALL + ENTRIES_MAX_BESIDES),
        bytes(raw.details) not in _ABSENT,
    )


def looks_accepted(response: Response) -> bool:
    """Whether most likely everything was accepted, and no pause is asked for; no verdict."""
    return (
        response.status <= LAST_SUCCESS_STATUS
        and _TAKEN.search(response.body) is not None
        and _NAMED.search(response.body) is not None
    )


def readable(text: str) -> str:
    """Words of the outside on one short line; what may be a number or a secret is left out."""
    # Cut before the search, for a message may be megabytes long.
    return _readable(text[: 4 * TEXT_CHARACTERS_MAX]) if text else ""


@lru_cache(maxsize=TEXTS_CACHED)
def _readable(text: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text)
    return _PRIVATE.sub("…", " ".join(shown.split()))[:TEXT_CHARACTERS_MAX]


_PRIVATE = re.compile(r"\d(?:[ .()-]{0,2}\d){6,}|[0-9A-Za-z]{24,}")
"""Seven digits and more (phone numbers, however grouped); what is as long as a security-id."""


def retry_after_seconds(header: str | None, now: float) -> float | None:
    """How long to rest, at most an hour; None if the header is absent, unreadable or past.

    Args:
        header: seconds or an HTTP date.
        now: seconds since the epoch.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        # Only so many digits, for Python refuses to read thousands of them.
        seconds = float(text[:400])
    else:
        try:
            moment = parsedate_to_datetime(text)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return min(seconds, RETRY_AFTER_SECONDS_MAX) if seconds > 0 else None


def _code(raw: msgspec.Raw) -> int | None:
    """An integer, or a string of digits; anything else is none."""
    digits = bytes(raw)
    if digits[:1] == b'"':
        text = _text(raw)
        digits = text.encode() if text.isascii() and text.isdigit() else b""
    elif not _CODE.fullmatch(digits):
        return None
    if not digits:
        return None
    return int(digits) if len(digits) <= _CODE_DIGITS_MAX else CODE_MAX


def _text(raw: msgspec.Raw) -> str:
    """The string, its bytes that are no UTF-8 replaced; empty if it is no string."""
    spelled = bytes(raw)
    if spelled in _ABSENT:
        return ""
    try:
        return _decode_text(spelled)
    except UnicodeDecodeError:
        return _decode_text(spelled.decode("utf-8", "replace"))
    except ValueError:
        return ""


def _id(raw: msgspec.Raw) -> str | None:
    text = _text(raw)[:TEXT_CHARACTERS_MAX]
    if not text.isprintable():
        text = "".join(filter(str.isprintable, text))
    return text.strip() or None


def _details(raw: msgspec.Raw, entries_max: int) -> tuple[_RawEntry, ...] | None:
    if bytes(raw) in _ABSENT:
        return None
    try:
        entries = _decode_details(raw)
    except (ValueError, RecursionError):
        return None
    return entries if len(entries) <= entries_max else None


def _entry(raw: _RawEntry) -> Entry:
    code = _code(raw.code)
    odd = code is None and bytes(raw.code) not in _ABSENT
    return Entry(_id(raw.uuid), code, readable(_text(raw.message)), odd)


def _value_of(identifier: bytes) -> tuple[bool, bytes] | None:
    """Equal for the same JSON value only: `1`, `1.0`, `"1"` and `true` differ."""
    try:
        return identifier[:1] == b'"', identifier_of(identifier)[1]
    except (ValueError, IndexError):
        return None
