"""The provider's HTTP API over connections of one aiohttp connector.

Knows nothing of what an answer means: it tells apart only what came back, what may have arrived,
and what provably never left. It speaks to aiohttp's connector and protocol themselves: a session
and its request cost three times as much for each POST (docs/decisions/022).
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import hdrs
from aiohttp.client_reqrep import ClientRequest
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from service.core.verdicts import Answer, NoAnswer, NotSent, Response

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import AddrInfoType, Connection

ANSWER_BYTES_BESIDES = 65_536
ANSWER_BYTES_MAX_PER_BYTE = 8
"""Of an answer, for each byte of its request: an entry of call-details is some three times as long
as its call, escapes included. What is longer is neither kept nor believed."""
CONNECT_SECONDS_MAX = 10.0
"""To connect; a POST that has not begun by then was not sent, and is free to go again."""

CLOSED = select.POLLRDHUP | select.POLLHUP | select.POLLERR
FAILURES = (aiohttp.ClientError, aiohttp.EofStream, HttpProcessingError, OSError, ValueError)
"""With what aiohttp's connector, protocol and parser give up; `TimeoutError` is ours."""
KEEP_SECONDS = 15.0
"""A connection that was idle for longer is not used again: what lies between may have dropped it
without a word, and a request into the void is in doubt."""
LAST_INTERIM_STATUS = 199
SWITCHING_PROTOCOLS = 101
"""The one interim status that no answer follows."""


class _SpentConnectionError(aiohttp.ClientError):
    """A connection kept from an earlier request is of no use; nothing was written to it."""


class _Pooled:
    """One connection, and what must be known of it before and after each request."""

    __slots__ = ("_connection", "_poll", "idle_since", "protocol", "transport")

    def __init__(self, connection: Connection) -> None:
        transport, protocol = connection.transport, connection.protocol
        assert transport is not None, "the connector hands out connections that stand"
        assert protocol is not None, "likewise"
        self.transport: asyncio.WriteTransport = transport
        self.protocol: ResponseHandler = protocol
        self.idle_since: float | None = None
        """Loop time of its last answer; None while it has had none."""
        self._connection = connection
        self._poll = select.poll()
        fileno = transport.get_extra_info("socket").fileno()
        self._poll.register(fileno, select.POLLIN | select.POLLRDHUP)

    def events(self) -> int:
        """What the kernel has from the other side, which the loop may not have seen yet.

        Before the first byte, a close is a proof that nothing was sent. After it nothing is: what
        was written may have been read, whatever came back.
        """
        # Nor has a transport that closes this file descriptor any more: it may be another's.
        if self.transport.is_closing():
            return CLOSED
        return sum(events for _, events in self._poll.poll(0))

    @property
    def may_be_kept(self) -> bool:
        """Whether another request may follow on it, once an answer is complete."""
        return not (self.protocol.should_close or self.transport.get_write_buffer_size())

    def close(self) -> None:
        """Give it back to the connector, to be closed."""
        self._connection.close()


class _Flight:
    """What is known on the wire of one attempt."""

    __slots__ = ("_may_begin", "_transport", "late")

    def __init__(self, may_begin: Callable[[], bool]) -> None:
        self._may_begin = may_begin
        self._transport: asyncio.WriteTransport | None = None
        self.late = False
        """Whether its time is over."""

    def begin(self, line: _Pooled) -> None:
        """The connection stands, the first byte is next.

        Raises:
            ClientError: it must not be sent any more, or not on this connection.
        """
        if not self._may_begin():
            raise aiohttp.ClientError("the lease ran out before the first byte")
        events = line.events()
        # What came in since the last answer is none to this request, whatever it says.
        if line.idle_since is not None and (events or line.protocol.should_close):
            raise _SpentConnectionError
        if events & CLOSED:
            raise aiohttp.ClientError("the provider closed before the first byte")
        self._transport = line.transport

    @property
    def began(self) -> bool:
        """Whether a byte of the request may have left."""
        return self._transport is not None

    def abort(self) -> None:
        """End it on the wire: nothing that is still buffered may be delivered."""
        if self._transport is not None:
            self._transport.abort()

    def run_out(self) -> None:
        """Its time is over: whoever reads the answer sees the connection end."""
        self.late = True
        self.abort()


def _hard_closing_socket(address: AddrInfoType) -> socket.socket:
    """With SO_LINGER (1, 0) the kernel drops what it has not sent yet when the socket closes."""
    family, kind, proto, _, _ = address
    sock = socket.socket(family, kind, proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return sock


class HttpProvider:
    """`Provider` on aiohttp. Create it inside the running loop."""

    def __init__(self, url: str, timeout_seconds: float, user_agent: str) -> None:
        self._timeout_seconds = timeout_seconds
        self._idle: list[_Pooled] = []
        """Idle connections, the last used last."""
        self._connector = aiohttp.TCPConnector(limit=0, socket_factory=_hard_closing_socket)
        self._connecting = aiohttp.ClientTimeout(
            total=None, sock_connect=min(CONNECT_SECONDS_MAX, timeout_seconds)
        )
        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": user_agent,
        }
        # Never sent itself: it says where to connect, and which headers go with each request.
        self._request = ClientRequest(
            "POST", URL(url), headers=headers, loop=asyncio.get_running_loop()
        )
        self._head = _head(self._request)

    async def post(self, body: bytes, may_begin: Callable[[], bool]) -> Answer:
        """See `Provider.post`."""
        flight = _Flight(may_begin)
        try:
            answer = await self._post(body, flight)
        except TimeoutError:
            return NoAnswer("timeout") if flight.began else NotSent("no connection in time")
        except FAILURES as error:
            cause = "timeout" if flight.late else type(error).__name__
            return NoAnswer(cause) if flight.began else NotSent(cause)
        return NoAnswer("timeout") if flight.late else answer

    async def _post(self, body: bytes, flight: _Flight) -> Response:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_seconds
        # It ends: each spent connection is closed, and a new one is not spent.
        while True:
            line = self._idle_connection(loop.time()) or await self._new_connection(deadline)
            timer = loop.call_at(deadline, flight.run_out)
            kept = False
            try:
                answer = await self._exchange(line, body, flight)
                kept = not answer.truncated and line.may_be_kept
            except _SpentConnectionError:
                continue
            finally:
                timer.cancel()
                if kept:
                    line.idle_since = loop.time()
                    self._idle.append(line)
                else:
                    flight.abort()
                    line.close()
            return answer

    def _idle_connection(self, now: float) -> _Pooled | None:
        while self._idle:
            line = self._idle.pop()
            if line.idle_since is not None and now - line.idle_since < KEEP_SECONDS:
                return line
            line.close()
        return None

    async def _new_connection(self, deadline: float) -> _Pooled:
        async with asyncio.timeout_at(deadline):
            return _Pooled(await self._connector.connect(self._request, [], self._connecting))

    async def _exchange(self, line: _Pooled, body: bytes, flight: _Flight) -> Response:
        flight.begin(line)
        protocol = line.protocol
        protocol.set_response_params(read_until_eof=True)
        line.transport.write(self._head % (len(body), body))
        while True:
            message, content = await protocol.read()
            if message.code > LAST_INTERIM_STATUS or message.code == SWITCHING_PROTOCOLS:
                break
        bytes_max = ANSWER_BYTES_BESIDES + ANSWER_BYTES_MAX_PER_BYTE * len(body)
        received, complete = await _read_bounded(content, bytes_max)
        retry_after = message.headers.get("Retry-After")
        return Response(message.code, received, retry_after, truncated=not complete)

    async def close(self) -> None:
        """Close the connections."""
        while self._idle:
            self._idle.pop().close()
        await self._connector.close()


def _head(request: ClientRequest) -> bytes:
    """All of a request but the length of its body, and the body."""
    lines = [f"POST {request.url.raw_path_qs} HTTP/1.1"]
    others = (each for each in request.headers.items() if each[0] != hdrs.CONTENT_LENGTH)
    lines += [f"{name}: {text}" for name, text in others]
    head = "\r\n".join(lines).encode("ascii").replace(b"%", b"%%")
    return b"%b\r\nContent-Length: %%d\r\n\r\n%%b" % head


async def _read_bounded(content: aiohttp.StreamReader, bytes_max: int) -> tuple[bytes, bool]:
    """The body, and whether it is all that was announced; nothing of one over `bytes_max`."""
    parts: list[bytes] = []
    size = 0
    try:
        while part := await content.readany():
            parts.append(part)
            size += len(part)
            if size > bytes_max:
                return b"", False
    except aiohttp.ClientError:
        return b"".join(parts), False
    return b"".join(parts), True
