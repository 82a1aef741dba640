"""What a connection may do between requests and under them: when is it proven that none was sent?

The other side is a plain socket, stepped by hand, so that the client's loop cannot have seen yet
what the kernel knows.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from service.adapters import provider
from service.adapters.provider import HttpProvider
from service.core.verdicts import Answer, NoAnswer, NotSent, Response
from tests.contracts.provider_servers import always, http

STALE = http(b'{"api-response-code":202,"request-id":"of nobody"}')
FIRST, SECOND = Response(200, b"1"), Response(200, b"2")


class Other:
    """The provider's side: a listening socket, and the connections that it accepted."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(5)
        port = self._listening.getsockname()[1]
        self.provider = HttpProvider(f"http://127.0.0.1:{port}/", 5.0, "test")
        self.connections: list[socket.socket] = []

    def accept(self) -> socket.socket:
        """The next connection, which the kernel has set up already."""
        connection, _ = self._listening.accept()
        connection.settimeout(5)
        self.connections.append(connection)
        return connection

    async def answer(self, connection: socket.socket, data: bytes) -> None:
        """Take one request, in a thread, and answer it."""
        await asyncio.to_thread(connection.recv, 65_536)
        connection.sendall(data)

    async def first_post(self) -> socket.socket:
        """One request and its answer; the connection stays open, and idle."""
        post = asyncio.create_task(self.provider.post(b"{}", always))
        connection = await asyncio.to_thread(self.accept)
        await self.answer(connection, http(FIRST.body))
        assert await post == FIRST
        return connection

    async def second_post(self) -> Answer:
        """Another request, answered on whatever new connection it comes by."""
        post = asyncio.create_task(self.provider.post(b"{}", always))
        connection = await asyncio.to_thread(self.accept)
        await self.answer(connection, http(SECOND.body))
        return await post

    async def close(self) -> None:
        """Close everything."""
        await self.provider.close()
        for sock in (self._listening, *self.connections):
            sock.close()


@pytest.fixture
async def other() -> AsyncIterator[Other]:
    """The provider's side."""
    side = Other()
    yield side
    await side.close()


def reset(connection: socket.socket) -> None:
    """End a connection with a reset instead of a close."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


async def test_a_connection_is_kept(other: Other) -> None:
    """A handshake for every batch would cost the provider and us a round trip or three."""
    connection = await other.first_post()
    post = asyncio.create_task(other.provider.post(b"{}", always))
    await other.answer(connection, http(SECOND.body))
    assert await post == SECOND


async def test_a_connection_that_was_idle_for_long_is_not_used_again(
    other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies between may have dropped it without a word: the batch would be in doubt."""
    connection = await other.first_post()
    monkeypatch.setattr(provider, "KEEP_SECONDS", 0.0)
    assert await other.second_post() == SECOND
    # Given up, as everything that is not kept.
    with pytest.raises(ConnectionResetError):
        await asyncio.to_thread(connection.recv, 1)


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("end", ["close", "reset", "half"])
async def test_an_idle_connection_that_was_closed_costs_nothing(
    *, other: Other, end: str, seen: bool
) -> None:
    """Servers close idle connections: a batch of doubt each time would end in `unconfirmed`."""
    connection = await other.first_post()
    match end:
        case "close":
            connection.close()
        case "reset":
            reset(connection)
        case _:
            connection.shutdown(socket.SHUT_WR)
    if seen:
        await asyncio.to_thread(lambda: None)
    assert await other.second_post() == SECOND


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("stale", [STALE, b"HTTP/1.1 100 Continue\r\n\r\n", b"}", b"\x00garbage"])
async def test_what_came_in_before_is_no_answer(*, other: Other, stale: bytes, seen: bool) -> None:
    """A late second answer would tell of other calls that they are accepted, and they are lost."""
    connection = await other.first_post()
    connection.sendall(stale)
    if seen:
        await asyncio.to_thread(lambda: None)
    assert await other.second_post() == SECOND


async def test_all_spent_connections_are_passed_over(other: Other) -> None:
    """After the provider's restart every kept connection is spent, not only one."""
    posts = [asyncio.create_task(other.provider.post(b"{}", always)) for _ in range(8)]
    kept = [await asyncio.to_thread(other.accept) for _ in posts]
    for connection in kept:
        await other.answer(connection, http(FIRST.body))
    assert await asyncio.gather(*posts) == [FIRST] * 8
    for connection in kept:
        connection.close()
    assert await other.second_post() == SECOND


async def test_closed_before_the_first_byte_is_proven_unsent(other: Other) -> None:
    """A balancer without a server behind it closes at once: that is no attempt."""

    def closes_now() -> bool:
        other.accept().close()
        return True

    assert isinstance(await other.provider.post(b"{}", closes_now), NotSent)


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("kept", [False, True])
async def test_closed_after_the_first_byte_proves_nothing(
    *, other: Other, end: str, kept: bool
) -> None:
    """What was written may have been read, although not a byte came back: never `not sent`."""
    if kept:
        await other.first_post()
    post = asyncio.create_task(other.provider.post(b"{}", always))
    connection = other.connections[0] if kept else await asyncio.to_thread(other.accept)
    # One byte is enough: the rest lies unread in the kernel, and nobody can tell.
    await asyncio.to_thread(connection.recv, 1)
    if end == "reset":
        reset(connection)
    else:
        connection.close()
    assert isinstance(await post, NoAnswer)


@pytest.mark.parametrize("length", [10_000, 262_144])
async def test_an_answer_before_the_body_was_read_is_an_answer(other: Other, length: int) -> None:
    """A front that refuses by size does not read it all: its 413 must not be lost as doubt."""
    post = asyncio.create_task(other.provider.post(b"x" * length, always))
    connection = await asyncio.to_thread(other.accept)
    await asyncio.to_thread(connection.recv, 100)
    connection.sendall(http(b"", first=b"HTTP/1.1 413 Too Large"))
    assert await post == Response(413, b"")


async def test_a_connection_that_holds_a_body_back_is_not_kept(other: Other) -> None:
    """The next request would stand behind the rest of this one, and be read as part of it."""
    post = asyncio.create_task(other.provider.post(b"x" * 16_000_000, always))
    connection = await asyncio.to_thread(other.accept)
    await asyncio.to_thread(connection.recv, 100)
    connection.sendall(http(b"", first=b"HTTP/1.1 413 Too Large"))
    assert await post == Response(413, b"")
    assert await other.second_post() == SECOND


async def test_an_answer_before_the_body_and_a_close(other: Other) -> None:
    """Closed with our body unread, the kernel resets: the answer that came first still counts."""
    post = asyncio.create_task(other.provider.post(b"x" * 262_144, always))
    connection = await asyncio.to_thread(other.accept)
    await asyncio.to_thread(connection.recv, 100)
    connection.sendall(http(b"", first=b"HTTP/1.1 413 Too Large"))
    connection.close()
    answer = await post
    # Doubt is right as well, where the reset overtook it.
    assert answer == Response(413, b"") or isinstance(answer, NoAnswer)
