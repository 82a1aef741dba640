"""What goes back over the wire: the provider's answers in its own form, whole or broken.

Knows nothing of why an answer is given.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from service.twin.faults import Says
from service.twin.options import Detail, Options

Delivery = Literal["whole", "cut", "silence", "short", "drip", "raw"]

MESSAGES: Mapping[int, str] = {
    200: "Success",
    201: "Checksum Repeated",
    202: "Invalid Security Id",
    203: "API Version not Supported",
    204: "Invalid SMS Gateway",
    205: "Invalid Contact Number",
    206: "Failure from Gateway",
    207: "DID not Mapped",
    208: "No Mask Available",
    209: "Partial Success",
    210: "Mandatory Parameters Missing",
    211: "Validity Expired",
    212: "Insufficient Balance",
    213: "No Data Available",
    301: "Invalid Flow Id",
    302: "Call List is Empty",
    303: "Data List too Large",
    304: "Invalid Flow Version",
    400: "Invalid Format",
    401: "IP not Whitelisted",
    402: "Phone not Whitelisted",
    500: "Failure",
}

PARTIAL = 209
BODILESS = (204, 304)
"""Codes that as an HTTP status could carry no body."""
CLIENT_ERRORS = range(400, 500)

JSON = ("Content-Type", "application/json")
HTML = ("Content-Type", "text/html")
REDIRECTED_PATH = "/twin/redirected"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer and how it is delivered.

    `cut` resets the connection without a byte, `silence` leaves it open and mute, `short` states
    a greater length than it sends, `drip` sends byte by byte, `raw` sends `wire` as it stands and
    closes.
    """

    delivery: Delivery
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    code: int | None = None
    """The api-response-code in the body, where there is one."""
    wire: bytes = b""
    """The answer in exact bytes, its head included, where a proper server would not send it so."""


CUT = Answer("cut")
SILENCE = Answer("silence")


def bare(status: int, *headers: tuple[str, str]) -> Answer:
    """An HTTP status from in front of the provider, without a code in its body."""
    page = f"<html><body><h1>{status}</h1></body></html>".encode()
    return Answer("whole", status, (HTML, *headers), page)


def too_many(options: Options, *headers: tuple[str, str]) -> Answer:
    """HTTP 429; `headers` are those of an honest provider."""
    text = options.retry_after
    return bare(429, *(headers if text is None else (("Retry-After", text),)))


def said(says: Says) -> Answer:
    """An answer word for word, as JSON unless it says otherwise itself."""
    headers = tuple(says.headers.items())
    if all(name.lower() != "content-type" for name, _ in headers):
        headers = (JSON, *headers)
    return Answer("whole", says.status, headers, says.body.encode())


def refusal(code: int, options: Options) -> Answer:
    """An error of the provider's own: code and message, no request-id."""
    body = _head(code, MESSAGES.get(code, "Failure"), options) + b"}"
    return Answer("whole", _status(code, options), (JSON,), body, code)


def success(options: Options, ids: int, identifiers: Sequence[bytes], rng: random.Random) -> Answer:
    """All calls accepted: with call-details or, as `bulk` does, without."""
    if options.with_details:
        entries = [_entry(identifier, ids, n) for n, identifier in enumerate(identifiers, 1)]
        head = _head(200, MESSAGES[200], options)
        body = head + _request_id(ids) + _details(entries, options, rng)
        return Answer("whole", 200, (JSON,), body, 200)
    return accepted(options, ids)


def accepted(options: Options, ids: int) -> Answer:
    """The success of `bulk`: queued, without call-details."""
    body = _head(202, "Accepted", options) + _request_id(ids) + b',"call-details":null}'
    return Answer("whole", 202, (JSON,), body, 202)


def partial(
    options: Options,
    ids: int,
    identifiers: Sequence[bytes],
    refused: Mapping[int, int],
    rng: random.Random,
) -> Answer:
    """209: `refused` maps the index of a call to its code."""
    entries = []
    for index, identifier in enumerate(identifiers):
        code = refused.get(index)
        if code is None:
            entries.append(_entry(identifier, ids, index + 1))
        elif options.refuse_as == "entries":
            entries.append(_refused_entry(identifier, code, options))
    head = _head(209, MESSAGES[209], options)
    body = head + _request_id(ids) + _details(entries, options, rng)
    return Answer("whole", _status(209, options), (JSON,), body, 209)


def uuid_text(number: int) -> str:
    """A 128-bit number in a UUID's form."""
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def draw_ids(rng: random.Random) -> int:
    """A request-id's number; its low 32 bits are free to count the calls of the request."""
    version_4 = 0x4 << 76 | 0x2 << 62
    return (rng.getrandbits(128) & ~(0xF << 76 | 0x3 << 62 | 0xFFFFFFFF)) | version_4


def _head(code: int, message: str, options: Options) -> bytes:
    shown = f'"{code}"' if options.code_as_text else f"{code}"
    return f'{{"api-response-code":{shown},"api-response-message":{json.dumps(message)}'.encode()


def _request_id(ids: int) -> bytes:
    return f',"request-id":"{uuid_text(ids)}"'.encode()


Entry = tuple[bytes, bytes]
"""One element of call-details: the identifier's JSON, and its other members."""


def _entry(identifier: bytes, ids: int, n: int) -> Entry:
    return identifier, b'"phonon-uuid":"%b"' % uuid_text(ids | n).encode()


def _refused_entry(identifier: bytes, code: int, options: Options) -> Entry:
    return identifier, _head(code, MESSAGES.get(code, "Failure"), options)[1:]


def _details(entries: list[Entry], options: Options, rng: random.Random) -> bytes:
    """The call-details with whatever `details` says is wrong with them."""
    for wrong in options.details:
        if wrong == "null":
            return b',"call-details":null}'
        entries = _spoilt(entries, wrong, options, rng)
    listed = b",".join(b'{"client-identifier":%b,%b}' % entry for entry in entries)
    return b',"call-details":[%b]}' % listed


def _spoilt(
    entries: list[Entry], wrong: Detail, options: Options, rng: random.Random
) -> list[Entry]:
    if wrong == "extra":
        return [*entries, _entry(b'"never-sent"', draw_ids(rng), 1)]
    if wrong == "empty" or not entries:
        return []
    picked = rng.randrange(len(entries))
    match wrong:
        case "shuffled":
            return rng.sample(entries, len(entries))
        case "missing":
            return entries[:picked] + entries[picked + 1 :]
        case "both" | "bare":
            return [
                *entries[:picked],
                _odd(entries[picked], wrong, options),
                *entries[picked + 1 :],
            ]
        case _:
            entry = entries[picked]
            again = entry if wrong == "repeated" else _refused_entry(entry[0], 205, options)
            return [*entries, again]


def _odd(entry: Entry, wrong: Detail, options: Options) -> Entry:
    """An entry with a uuid and an error, or with neither."""
    identifier, members = entry
    if wrong == "bare":
        return identifier, b'"remark":null'
    return identifier, members + b"," + _refused_entry(identifier, 205, options)[1]


def _status(code: int, options: Options) -> int:
    """The HTTP status of an answer with this code that is no plain success."""
    if options.body_status == "429":
        return HTTPStatus.TOO_MANY_REQUESTS
    if options.body_status == "mirrored":
        return HTTPStatus.BAD_REQUEST if code in BODILESS else code
    if options.body_status == "200" or code == PARTIAL:
        return HTTPStatus.OK
    return code if code in CLIENT_ERRORS else HTTPStatus.BAD_REQUEST
