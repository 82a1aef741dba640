"""Raw servers for the tests of the provider's adapter: each does on the wire what it is told.

Knows nothing of what any test expects.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from service.adapters.provider import HttpProvider

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def always() -> bool:
    """The lease stands."""
    return True


@asynccontextmanager
async def served(handler: Handler, timeout_seconds: float = 5.0) -> AsyncIterator[HttpProvider]:
    """A provider whose server does with each connection what `handler` says."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    listening = socket.socket()
    # A small window: what the server has not read yet still waits on the client's side.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listening.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(accept, sock=listening, limit=1024)
    port = server.sockets[0].getsockname()[1]
    provider = HttpProvider(f"http://127.0.0.1:{port}/path", timeout_seconds, "test")
    try:
        yield provider
    finally:
        await provider.close()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Head and body of one request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(
        int(line.split(":")[1])
        for line in head.splitlines()
        if line.lower().startswith("content-l")
    )
    return head, await reader.readexactly(length)


def saying(*parts: bytes) -> Handler:
    """Takes one request, answers with these bytes, and closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()

    return handler


def http(body: bytes, *headers: bytes, first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """A whole answer with its length and these headers."""
    lines = (first, b"Content-Length: %d" % len(body), *headers)
    return b"\r\n".join((*lines, b"", b"")) + body
