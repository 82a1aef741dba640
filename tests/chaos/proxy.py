"""A TCP proxy on one replica's way to Kafka or to the provider: it stalls, and releases late.

Knows nothing of what the bytes mean.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Literal, cast

Direction = Literal["requests", "answers", "both"]
"""What a stall holds back: what the replica sends, what it is sent, or all of it."""

HELD_BYTES_MAX = 64 * 1024 * 1024
"""Of one connection and direction. No stall of a test holds a tenth of it; a connection that does
is cut, as a middlebox would."""
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Link:
    """Listens on a port of 127.0.0.1 and joins each connection to one at `upstream_port`.

    It goes on reading while it is stalled, so that it sees a client go. What a client sent before
    it went is then lost, as it is when a network comes back after the sender's reset; with `late`
    it is delivered all the same when the stall ends, as by a slow router.
    """

    def __init__(self, upstream_port: int = 0) -> None:
        self.upstream_port = upstream_port
        self.port = 0
        self.late = False
        self._held: frozenset[str] = frozenset()
        self._pairs: set[Pair] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Side(Pair(self)), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut everything."""
        if self._server is not None:
            self._server.close()
        pairs = list(self._pairs)
        for pair in pairs:
            pair.cut()
        await asyncio.gather(*(pair.gone.wait() for pair in pairs))

    def stall(self, direction: Direction, *, late: bool) -> None:
        """Hold bytes back until `release`."""
        self._held = frozenset({"requests", "answers"} if direction == "both" else {direction})
        self.late = late

    def release(self) -> None:
        """Deliver what was held back, and let everything through again."""
        self._held = frozenset()
        for pair in list(self._pairs):
            pair.flow()
        self.late = False

    def holds(self, direction: str) -> bool:
        """Whether bytes of this direction wait."""
        return direction in self._held

    def joined(self, pair: Pair) -> None:
        """A client has connected."""
        self._pairs.add(pair)

    def parted(self, pair: Pair) -> None:
        """Both of its connections are gone."""
        self._pairs.discard(pair)


class Pair:
    """A client's connection and its counterpart at the server."""

    def __init__(self, link: Link) -> None:
        self.gone = asyncio.Event()
        """Both connections have ended."""
        self._link = link
        self._client: asyncio.Transport | None = None
        self._server: asyncio.Transport | None = None
        self._requests, self._answers = bytearray(), bytearray()
        self._client_gone = self._server_gone = False
        self._server_reset = False
        self._connecting: asyncio.Task[None] | None = None

    def made(self, side: Side, transport: asyncio.Transport) -> None:
        """The client has connected, or the server has answered."""
        if self._client is None:
            self._client, side.to_server = transport, True
            self._link.joined(self)
            self._connecting = asyncio.create_task(self._connect())
        else:
            self._server = transport
            self.flow()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Side(self), "127.0.0.1", self._link.upstream_port)
        except OSError:
            self._server_gone = self._server_reset = True
            self.flow()

    def received(self, data: bytes, *, to_server: bool) -> None:
        """Bytes have come from the one side."""
        waiting = self._requests if to_server else self._answers
        waiting += data
        if len(waiting) > HELD_BYTES_MAX:
            self.cut()
        self.flow()

    def lost(self, error: Exception | None, *, client: bool) -> None:
        """One side is gone."""
        if client:
            self._client_gone = True
            self._answers.clear()
            if self._link.holds("requests") and not self._link.late:
                self._requests.clear()
                _reset(self._server)
        else:
            self._server_gone = True
            self._server_reset = error is not None
            self._requests.clear()
        self.flow()

    def flow(self) -> None:
        """Pass on what may pass, then the news that a side has gone."""
        if self._server is not None and not self._link.holds("requests"):
            self._server.write(bytes(self._requests))
            self._requests.clear()
            if self._client_gone:
                self._server.close()
        if self._client is not None and not self._link.holds("answers"):
            self._client.write(bytes(self._answers))
            self._answers.clear()
            if self._server_reset:
                _reset(self._client)
            elif self._server_gone:
                self._client.close()
        if self._client_gone and self._server_gone:
            self._link.parted(self)
            self.gone.set()

    def cut(self) -> None:
        """End both connections at once."""
        if self._server is None:
            self._server_gone = True
            if self._connecting is not None:
                self._connecting.cancel()
        _reset(self._client)
        _reset(self._server)


class Side(asyncio.Protocol):
    """One of a pair's two connections."""

    def __init__(self, pair: Pair) -> None:
        self.to_server = False
        self._pair = pair

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._pair.made(self, cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._pair.received(data, to_server=self.to_server)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._pair.lost(exc, client=self.to_server)


def _reset(transport: asyncio.Transport | None) -> None:
    """Close with a reset instead of an orderly end; nothing if there is no such connection."""
    if transport is None or transport.is_closing():
        return
    with suppress(OSError):
        peer: socket.socket = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()
