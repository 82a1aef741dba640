"""The provider's HTTP API through one aiohttp session.

Knows nothing of what an answer means: it tells apart only what came back, what may have arrived,
and what provably never left.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_reqrep import ClientRequest

from service.core.verdicts import Answer, NoAnswer, NotSent, Response

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientResponse
    from aiohttp.connector import AddrInfoType, Connection

ANSWER_BYTES_MAX = 4 * 1024 * 1024
"""Of one answer: 10,000 call-details are about 2 MB; what is longer is cut and not believed."""
CONNECT_SECONDS_MAX = 10.0
"""To connect; a POST that has not begun by then was not sent, and is free to go again."""


class _Flight:
    """What is known on the wire of one attempt."""

    __slots__ = ("_may_begin", "_transport")

    def __init__(self, may_begin: Callable[[], bool]) -> None:
        self._may_begin = may_begin
        self._transport: asyncio.WriteTransport | None = None

    def begin(self, transport: asyncio.WriteTransport | None) -> None:
        """The connection stands, the first byte is next.

        Raises:
            ClientError: it must not be sent any more.
        """
        if not self._may_begin():
            raise aiohttp.ClientError("the lease ran out before the first byte")
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
        _flight.get().begin(conn.transport)
        return await super().send(conn)


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
        flight = _Flight(may_begin)
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
        async with self._session.post(self._url, data=body, allow_redirects=False) as response:
            retry_after = response.headers.get("Retry-After")
            received, complete = await _read_bounded(response)
            if not complete:
                response.close()
            return Response(response.status, received, retry_after, truncated=not complete)

    async def close(self) -> None:
        """Close the session and its connections."""
        await self._session.close()


async def _read_bounded(response: Any) -> tuple[bytes, bool]:
    """The body up to `ANSWER_BYTES_MAX`, and whether that was all of it."""
    parts: list[bytes] = []
    size = 0
    try:
        async for part in response.content.iter_chunked(65_536):
            parts.append(part)
            size += len(part)
            if size > ANSWER_BYTES_MAX:
                return b"".join(parts)[:ANSWER_BYTES_MAX], False
    except aiohttp.ClientError:
        return b"".join(parts), False
    return b"".join(parts), True
