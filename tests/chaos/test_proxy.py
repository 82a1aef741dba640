"""The proxy of the chaos runs: what it holds, drops and delivers late is what the faults say."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from tests.chaos.proxy import Link

ANSWER_SECONDS_MAX = 10.0


@dataclass
class Upstream:
    """A server that answers each byte in capitals, and notes what it got."""

    got: bytearray = field(default_factory=bytearray)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    connections: int = 0
    gone: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        await self._note(b"", connections=1)
        with suppress(ConnectionError):
            while data := await reader.read(1000):
                await self._note(data)
                writer.write(data.upper())
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        await self._note(b"", gone=1)

    async def _note(self, data: bytes, connections: int = 0, gone: int = 0) -> None:
        async with self.changed:
            self.got += data
            self.connections += connections
            self.gone += gone
            self.changed.notify_all()

    async def until(self, *, got: bytes = b"", connections: int = 0, gone: int = 0) -> None:
        """Wait until it has seen so much."""
        async with asyncio.timeout(ANSWER_SECONDS_MAX), self.changed:
            await self.changed.wait_for(
                lambda: (
                    bytes(self.got) == got and self.connections >= connections and self.gone >= gone
                )
            )


@dataclass
class Client:
    """A connection through the link."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def close(self) -> None:
        """Go in order."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def read(self, count: int) -> bytes:
        """So many bytes of the answer."""
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            return await self.reader.readexactly(count)

    def reset(self) -> None:
        """Go as the dispatcher does that gives a POST up."""
        peer = self.writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@pytest.fixture
def upstream() -> Upstream:
    """The server behind the link."""
    return Upstream()


@pytest.fixture
async def link(upstream: Upstream) -> AsyncIterator[Link]:
    """A link to it."""
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    link = Link(server.sockets[0].getsockname()[1])
    await link.start()
    yield link
    await link.stop()
    server.close()
    await upstream.until(got=bytes(upstream.got), gone=upstream.connections)


@pytest.fixture
async def client(link: Link, upstream: Upstream) -> AsyncIterator[Client]:
    """A client that is connected all the way."""
    client = Client(*await asyncio.open_connection("127.0.0.1", link.port))
    await upstream.until(connections=1)
    yield client
    await client.close()


async def test_without_a_fault_bytes_go_both_ways(client: Client) -> None:
    """Else every round would break the replicas, whatever it draws."""
    client.writer.write(b"abc")
    assert await client.read(3) == b"ABC"


async def test_stalled_requests_arrive_after_the_stall(
    link: Link, client: Client, upstream: Upstream
) -> None:
    """Else a stall would be a loss, and the late arrivals would never be tried."""
    link.stall("requests", late=False)
    client.writer.write(b"abc")
    assert await _is_silent(client)
    assert not upstream.got
    link.release()
    assert await client.read(3) == b"ABC"


async def test_stalled_answers_are_of_requests_that_arrived(
    link: Link, client: Client, upstream: Upstream
) -> None:
    """Else a commit whose answer is lost, or a call that was placed unseen, would never happen."""
    link.stall("answers", late=False)
    client.writer.write(b"abc")
    await upstream.until(got=b"abc")
    assert await _is_silent(client)
    link.release()
    assert await client.read(3) == b"ABC"


async def test_a_client_that_resets_takes_its_held_bytes_along(
    link: Link, client: Client, upstream: Upstream
) -> None:
    """Else a POST that was given up would be called after its time, as no network would do."""
    link.stall("both", late=False)
    client.writer.write(b"abc")
    client.reset()
    await upstream.until(gone=1)
    link.release()
    other = Client(*await asyncio.open_connection("127.0.0.1", link.port))
    other.writer.write(b"x")
    assert await other.read(1) == b"X"
    assert upstream.got == b"x"
    await other.close()


async def test_late_bytes_arrive_although_their_sender_has_gone(
    link: Link, client: Client, upstream: Upstream
) -> None:
    """Else no round would try a request of a dead replica that arrives behind its successor's."""
    link.stall("requests", late=True)
    client.writer.write(b"abc")
    await _is_silent(client)
    client.reset()
    # Whoever connects after the reset is seen after it.
    other = Client(*await asyncio.open_connection("127.0.0.1", link.port))
    await upstream.until(connections=2)
    link.release()
    await upstream.until(got=b"abc", gone=1)
    await other.close()


async def test_a_server_that_is_away_is_a_reset(link: Link) -> None:
    """Else a killed broker would look like a slow one."""
    link.upstream_port = 1
    client = Client(*await asyncio.open_connection("127.0.0.1", link.port))
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.read(1)
    await client.close()


async def _is_silent(client: Client) -> bool:
    """Whether nothing comes for a moment."""
    try:
        async with asyncio.timeout(0.2):
            await client.reader.readexactly(1)
    except TimeoutError:
        return True
    return False
