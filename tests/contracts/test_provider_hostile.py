"""Answers that no provider should give, over real TCP: the right verdict, within bounds."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from service.core.verdicts import NoAnswer, Response, judge
from tests.contracts.provider_servers import Handler, always, http, read_request, saying, served
from tests.core.verdict_words import ASKED, FIRST, told

BODY = b'{"calls":[]}'
TAKEN = b'{"api-response-code":202,"request-id":"r-1","call-details":null}'
REFUSED = b'{"api-response-code":205,"api-response-message":"Invalid Contact Number"}'
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MEGABYTE = 1_000_000
PEAK_BYTES_MAX = 8 * MEGABYTE
"""Of Python's memory while an absurd answer to a small request is read, the server's included."""

ACCEPTED = "accepted by response"
UNANSWERED = "same bytes, unanswered"
DOUBTFUL = "same bytes, doubtful"
STRANGE = "same bytes, doubtful, hold the account, uncounted"
BISECT = "new mint bisect"


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def first(line: bytes) -> bytes:
    """The accepting answer behind another status line."""
    return http(TAKEN, first=line)


ANSWERS: dict[str, tuple[bytes, str]] = {
    # Wrong about its content: the bytes count, not what is said of them.
    "wrong content type": (http(TAKEN, b"Content-Type: image/png"), ACCEPTED),
    "wrong charset": (http(TAKEN, b"Content-Type: application/json; charset=utf-16"), ACCEPTED),
    "unknown charset": (http(TAKEN, b"Content-Type: text/html; charset=\xff"), ACCEPTED),
    "no content type": (http(TAKEN), ACCEPTED),
    "byte order mark": (http(b"\xef\xbb\xbf" + TAKEN), UNANSWERED),
    "UTF-16": (http(TAKEN.decode().encode("utf-16")), UNANSWERED),
    "UTF-32": (http(TAKEN.decode().encode("utf-32")), UNANSWERED),
    "Latin-1 words": (http(REFUSED.replace(b"Num", b"N\xfam")), BISECT),
    "HTML": (http(b"<html>Service under maintenance</html>"), UNANSWERED),
    "empty": (http(b""), UNANSWERED),
    "two answers in one": (http(TAKEN + TAKEN), UNANSWERED),
    # Wrong lengths.
    "short of its length": (http(TAKEN)[:-1], UNANSWERED),
    "nothing of its length": (OK + b"Content-Length: 9\r\n\r\n", UNANSWERED),
    "beyond its length": (http(TAKEN) + b"}", UNANSWERED),
    "two lengths": (http(TAKEN, b"Content-Length: 5"), UNANSWERED),
    "negative length": (OK + b"Content-Length: -5\r\n\r\n" + TAKEN, UNANSWERED),
    "length in words": (OK + b"Content-Length: some\r\n\r\n" + TAKEN, UNANSWERED),
    "absurd length": (OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n" + TAKEN, UNANSWERED),
    "no length": (OK + b"\r\n" + TAKEN, ACCEPTED),
    "length and chunks": (
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(TAKEN) + chunk(b""),
        UNANSWERED,
    ),
    # Chunks.
    "chunks": (CHUNKED + chunk(TAKEN[:9]) + chunk(TAKEN[9:]) + chunk(b""), ACCEPTED),
    "a byte a chunk": (
        CHUNKED + b"".join(chunk(bytes([byte])) for byte in TAKEN) + chunk(b""),
        ACCEPTED,
    ),
    "no last chunk": (CHUNKED + chunk(TAKEN), UNANSWERED),
    "chunk cut off": (CHUNKED + chunk(TAKEN)[:-9], UNANSWERED),
    "chunk size in words": (CHUNKED + b"zz\r\n" + TAKEN, UNANSWERED),
    "absurd chunk size": (CHUNKED + b"f" * 20 + b"\r\n" + TAKEN, UNANSWERED),
    "chunk longer than it says": (CHUNKED + b"5\r\n" + TAKEN + b"\r\n0\r\n\r\n", UNANSWERED),
    # Status lines.
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n" + TAKEN, ACCEPTED),
    "HTTP/1.0 with a length": (first(b"HTTP/1.0 200 OK"), ACCEPTED),
    "no version": (TAKEN, UNANSWERED),
    "no reason": (first(b"HTTP/1.1 200"), ACCEPTED),
    "garbage": (b"\x00\xff" * 999 + b"\r\n\r\n", UNANSWERED),
    "TLS on a plain port": (b"\x15\x03\x01\x00\x02\x02\x0a", UNANSWERED),
    "status of four digits": (first(b"HTTP/1.1 2000 OK"), UNANSWERED),
    "status without a meaning": (http(b"", first=b"HTTP/1.1 799 ?"), DOUBTFUL),
    "code above the status": (first(b"HTTP/1.1 503 Busy"), ACCEPTED),
    "switching protocols": (
        b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        DOUBTFUL,
    ),
    "interim answers": (b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000 + http(TAKEN), ACCEPTED),
    "interim answers alone": (b"HTTP/1.1 102 Processing\r\n\r\n" * 50_000, UNANSWERED),
    "redirect": (
        http(b"", b"Location: /elsewhere", first=b"HTTP/1.1 302 Found"),
        STRANGE,
    ),
    "redirect to another scheme": (
        http(b"", b"Location: file:///etc/hosts", first=b"HTTP/1.1 308 Moved"),
        STRANGE,
    ),
    # Headers.
    "giant header": (http(TAKEN, b"X: " + b"a" * 2 * MEGABYTE), UNANSWERED),
    "giant reason": (first(b"HTTP/1.1 200 " + b"a" * 2 * MEGABYTE), UNANSWERED),
    "very many headers": (http(TAKEN, *[b"X: a"] * 100_000), UNANSWERED),
    "header with a NUL": (http(TAKEN, b"X: a\x00b"), UNANSWERED),
    "header that is no header": (http(TAKEN, b"no colon"), UNANSWERED),
    "header in Latin-1": (http(TAKEN, b"X-Ort: M\xfcnchen"), ACCEPTED),
    "broken cookie": (http(TAKEN, b'Set-Cookie: "\xff=;;;'), ACCEPTED),
    # Compressed, although the request asks for it plain.
    "gzip": (http(gzip.compress(TAKEN), b"Content-Encoding: gzip"), ACCEPTED),
    "gzip that is none": (http(TAKEN, b"Content-Encoding: gzip"), UNANSWERED),
    "gzip cut off": (http(gzip.compress(TAKEN)[:-12], b"Content-Encoding: gzip"), UNANSWERED),
    "unknown encoding": (http(TAKEN, b"Content-Encoding: rot13"), ACCEPTED),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_every_strange_answer_ends_in_the_right_verdict(name: str) -> None:
    """What is misread as a refusal is sent again and doubled, as a success lost."""
    raw, expected = ANSWERS[name]
    async with served(saying(raw)) as provider:
        answer = await provider.post(BODY, always)
    assert told(judge("bulk", FIRST, ASKED, answer)) == expected, answer


def endless(head: bytes, piece: bytes) -> Handler:
    """Answers for ever."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()

    return handler


def drip(raw: bytes) -> Handler:
    """Answers a byte at a time, slower than anyone should wait."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for byte in raw:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    return handler


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Takes the request and says nothing; ends when the client does."""
    await read_request(reader)
    await reader.read()


@pytest.mark.parametrize(
    "handler",
    [
        drip(http(TAKEN)),
        drip(OK + b"X: a\r\n" * 99),
        drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 99),
        drip(CHUNKED + chunk(b"x") * 99),
        endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 1000),
        silent,
    ],
)
async def test_the_time_limit_is_for_all_of_it(handler: Handler) -> None:
    """A byte now and then must not hold a sender slot beyond the lease of a successor."""
    loop = asyncio.get_running_loop()
    async with served(handler, timeout_seconds=0.4) as provider:
        began = loop.time()
        assert await provider.post(BODY, always) == NoAnswer("timeout")
        assert loop.time() - began < 2


def bomb() -> bytes:
    """A gzip body of a hundred megabytes, small on the wire."""
    packer = zlib.compressobj(9, wbits=31)
    spaces = b" " * MEGABYTE
    return b"".join([packer.compress(spaces) for _ in range(100)]) + packer.flush()


@pytest.fixture
def memory() -> Iterator[None]:
    """Counts what Python allocates."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (OK + b"Content-Length: 10000000\r\n\r\n", b"x" * 65_536),
        (OK + b"Content-Length: 1000000000\r\n\r\n", b"x" * 65_536),
        (OK + b"Connection: close\r\n\r\n", b"x" * 65_536),
        (CHUNKED, chunk(b"x" * 65_536)),
        (CHUNKED, chunk(b"x") * 9999),
        (b"HTTP/1.1 200 ", b"x" * 65_536),
        (OK + b"X: ", b"x" * 65_536),
        (OK, b"X: x\r\n" * 9999),
        (b"", b"x" * 65_536),
        (b"", b"\r\n" * 9999),
        (http(bomb(), b"Content-Encoding: gzip"), b""),
    ],
)
async def test_memory_is_bounded(head: bytes, piece: bytes) -> None:
    """An endless answer must not take the process and its other batches down."""
    async with served(endless(head, piece) if piece else saying(head), 3.0) as provider:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        answer = await provider.post(BODY, always)
        peak = tracemalloc.get_traced_memory()[1] - before
    assert told(judge("bulk", FIRST, ASKED, answer)) == UNANSWERED
    assert not isinstance(answer, Response) or len(answer.body) < MEGABYTE
    assert peak < PEAK_BYTES_MAX


async def test_an_answer_may_be_as_long_as_its_request_makes_it() -> None:
    """A batch of thousands has megabytes of call-details, and they must be read."""
    details = b'{"client-identifier":"%05d","phonon-uuid":"' + b"u" * 36 + b'"}'
    listed = b",\n    ".join(details % n for n in range(3000))
    body = b'{"api-response-code":200,"request-id":"r","call-details":[%b]}' % listed
    async with served(saying(http(body))) as provider:
        assert await provider.post(b"c" * 3000 * 66, always) == Response(200, body)
