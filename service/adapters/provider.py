"""The provider's HTTP API through one aiohttp session.

Knows nothing of what an answer means: it tells apart only what came back, what may have arrived,
and what provably never left.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import aiohttp
from aiohttp.client_reqrep import ClientRequest

from service.core.verdicts import Answer, NoAnswer, NotSent, Response

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientResponse
    from aiohttp.connector import AddrInfoType, Connection

ANSWER_BYTES_BESIDES = 65_536
ANSWER_BYTES_MAX_PER_BYTE = 8
"""Of an answer, for each byte of its request: an entry of call-details is some three times as long
as its call, escapes included. What is longer is neither kept nor believed."""
CONNECT_SECONDS_MAX = 10.0
"""To connect; a POST that has not begun by then was not sent, and is free to go again."""

CLOSED = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class _SpentConnectionError(aiohttp.ClientError):
    """A connection kept from an earlier request is of no use; nothing was written to it."""


class _Flight:
    """What is known on the wire of one attempt."""

    __slots__ = ("_may_begin", "_transport", "_used")

    def __init__(
        self, may_begin: Callable[[], bool], used: WeakSet[asyncio.WriteTransport]
    ) -> None:
        self._may_begin = may_begin
        self._used = used
        """Connections that carried a request before."""
        self._transport: asyncio.WriteTransport | None = None

    def begin(self, connection: Connection) -> None:
        """The connection stands, the first byte is next.

        Raises:
            ClientError: it must not be sent any more, or not on this connection.
        """
        transport, protocol = connection.transport, connection.protocol
        assert transport is not None, "the connector hands out connections that stand"
        assert protocol is not None, "likewise"
        if not self._may_begin():
            raise aiohttp.ClientError("the lease ran out before the first byte")
        events = _events(transport)
        # What came in since the last answer is none to this request, whatever it says.
        if transport in self._used and (protocol.should_close or events):
            raise _SpentConnectionError
        if events & CLOSED:
            raise aiohttp.ClientError("the provider closed before the first byte")
        self._used.add(transport)
        self._transport = transport

    @property
    def began(self) -> bool:
        """Whether a byte of the request may have left."""
        return self._transport is not None

    def abort(self) -> None:
        """End it on the wire: nothing that is still buffered may be delivered."""
        if self._transport is not None:
            self._transport.abort()


_flight: ContextVar[_Flight] = ContextVar("flight")


class _TrackedRequest(ClientRequest):
    """Notes the transport just before the first byte is written to it."""

    async def send(self, conn: Connection) -> ClientResponse:
        _flight.get().begin(conn)
        return await super().send(conn)


def _events(transport: asyncio.WriteTransport) -> int:
    """What the kernel has from the other side, which the loop may not have seen yet.

    Before the first byte, a close is a proof that nothing was sent. After it nothing is: what was
    written may have been read, whatever came back.
    """
    if transport.is_closing():
        return CLOSED
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLRDHUP)
    return sum(events for _, events in poll.poll(0))


def _hard_closing_socket(address: AddrInfoType) -> socket.socket:
    """With SO_LINGER (1, 0) the kernel drops what it has not sent yet when the socket closes."""
    family, kind, proto, _, _ = address
    sock = socket.socket(family, kind, proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return sock


class HttpProvider:
    """`Provider` on aiohttp. Create it inside the running loop."""

    def __init__(self, url: str, timeout_seconds: float, user_agent: str) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._used: WeakSet[asyncio.WriteTransport] = WeakSet()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, socket_factory=_hard_closing_socket),
            request_class=_TrackedRequest,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=min(CONNECT_SECONDS_MAX, timeout_seconds)
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": user_agent,
            },
        )

    async def post(self, body: bytes, may_begin: Callable[[], bool]) -> Answer:
        """See `Provider.post`."""
        flight = _Flight(may_begin, self._used)
        _flight.set(flight)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._post(body)
        except TimeoutError:
            flight.abort()
            return NoAnswer("timeout") if flight.began else NotSent("no connection in time")
        except asyncio.CancelledError:
            flight.abort()
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            flight.abort()
            cause = type(error).__name__
            return NoAnswer(cause) if flight.began else NotSent(cause)

    async def _post(self, body: bytes) -> Answer:
        # It ends: each spent connection is closed, and a new one is not spent.
        while True:
            try:
                return await self._post_once(body)
            except _SpentConnectionError:
                continue

    async def _post_once(self, body: bytes) -> Answer:
        async with self._session.post(self._url, data=body, allow_redirects=False) as response:
            retry_after = response.headers.get("Retry-After")
            bytes_max = ANSWER_BYTES_BESIDES + ANSWER_BYTES_MAX_PER_BYTE * len(body)
            received, complete = await _read_bounded(response, bytes_max)
            if not complete:
                response.close()
            return Response(response.status, received, retry_after, truncated=not complete)

    async def close(self) -> None:
        """Close the session and its connections."""
        await self._session.close()


async def _read_bounded(response: Any, bytes_max: int) -> tuple[bytes, bool]:
    """The body, and whether it is all that was announced; nothing of one over `bytes_max`."""
    parts: list[bytes] = []
    size = 0
    try:
        async for part in response.content.iter_chunked(65_536):
            parts.append(part)
            size += len(part)
            if size > bytes_max:
                return b"", False
    except aiohttp.ClientError:
        return b"".join(parts), False
    return b"".join(parts), True
