"""What a fault makes of an answer: another one, or one that no proper server would send.

Knows nothing of why an answer is spoilt, or of when (behaviour.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus

import msgspec

from service.twin.answers import (
    CUT,
    HTML,
    JSON,
    REDIRECTED_PATH,
    SILENCE,
    Answer,
    bare,
    refusal,
    said,
    too_many,
)
from service.twin.faults import Fault, Says
from service.twin.options import Options

HUGE_BYTES = 10_000_000
GIANT_HEADER_BYTES = 1_000_000
INTERIM_ANSWERS = 1000


def broken(  # noqa: PLR0911 - one branch a fault: it reads as the table that it is
    fault: Fault, answer: Answer, options: Options
) -> Answer:
    """What a fault makes of an answer that would have been given."""
    match fault.effect:
        case "none":
            return answer
        case "cut":
            return CUT
        case "silence":
            return SILENCE
        case "http" if fault.number == HTTPStatus.TOO_MANY_REQUESTS:
            return too_many(options)
        case "http":
            return bare(fault.number)
        case "code":
            return refusal(fault.number, options)
        case "says":
            return said(fault.says or Says())
        case "redirect":
            return bare(307, ("Location", REDIRECTED_PATH))
        case effect:
            # A cut or a silence of the provider's own has no status.
            return SPOILT[effect](replace(answer, delivery="whole", status=answer.status or 200))


def hung_up(answer: Answer) -> Answer:
    """The same answer, and a close that no header of it speaks of."""
    return replace(answer, delivery="raw", wire=_wire(answer))


def _wire(answer: Answer, *, first: str = "HTTP/1.1", headers: bytes | None = None) -> bytes:
    """A whole answer in exact bytes; `headers` stand for its length."""
    length = b"Content-Length: %d" % len(answer.body) if headers is None else headers
    lines = [f"{first} {answer.status} {_phrase(answer.status)}".encode(), length]
    lines += [f"{name}: {value}".encode() for name, value in answer.headers]
    return b"\r\n".join(filter(None, lines)) + b"\r\n\r\n" + answer.body


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _raw(wire: Callable[[Answer], bytes]) -> Callable[[Answer], Answer]:
    return lambda answer: replace(answer, delivery="raw", wire=wire(answer))


def _body(change: Callable[[bytes], bytes]) -> Callable[[Answer], Answer]:
    return lambda answer: replace(answer, body=change(answer.body))


def _unread(change: Callable[[bytes], bytes]) -> Callable[[Answer], Answer]:
    """A change after which no code can be read any more."""
    return lambda answer: replace(answer, body=change(answer.body), code=None)


def _nameless(body: bytes) -> bytes:
    """Code and message alone: a success that names neither request nor calls."""
    try:
        said = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return body
    kept = ("api-response-code", "api-response-message")
    return msgspec.json.encode({name: said[name] for name in kept if name in said})


SPOILT: Mapping[str, Callable[[Answer], Answer]] = {
    "empty": _unread(lambda _: b""),
    "malformed": lambda _: Answer("whole", 200, (JSON,), b'{"api-response-code": <html>oops'),
    "truncated": _unread(lambda body: body[: len(body) // 2] or b"{"),
    "wrong-length": lambda answer: replace(answer, delivery="short"),
    "drip": lambda answer: replace(answer, delivery="drip"),
    "drip-head": lambda answer: replace(answer, delivery="drip", wire=_wire(answer)),
    "nameless": _body(_nameless),
    "huge": _body(lambda body: body + b" " * HUGE_BYTES),
    "wrong-type": lambda answer: replace(answer, headers=(HTML,)),
    "wide-text": _unread(lambda body: body.decode().encode("utf-16")),
    "byte-mark": _unread(lambda body: b"\xef\xbb\xbf" + body),
    "over-length": _raw(lambda answer: _wire(answer, headers=b"Content-Length: 9")),
    "bad-chunks": _raw(
        lambda answer: _wire(
            replace(answer, body=b"zz\r\n" + answer.body), headers=b"Transfer-Encoding: chunked"
        )
    ),
    "old-http": _raw(lambda answer: _wire(answer, first="HTTP/1.0", headers=b"")),
    "no-http": _raw(lambda answer: answer.body),
    "interim": _raw(
        lambda answer: b"HTTP/1.1 102 Processing\r\n\r\n" * INTERIM_ANSWERS + _wire(answer)
    ),
    "giant-header": _raw(
        lambda answer: _wire(replace(answer, headers=(("X-Giant", "x" * GIANT_HEADER_BYTES),)))
    ),
    "twice": _raw(lambda answer: _wire(answer) * 2),
    "hang-up": hung_up,
}
"""By the fault's name."""
