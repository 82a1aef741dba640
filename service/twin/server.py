"""The twin over HTTP: reads a POST whole, lets the behaviour decide, and delivers the answer.

Must not know what any answer means.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable

from aiohttp import web

from service.twin.admin import Admin
from service.twin.answers import Answer
from service.twin.behaviour import Twin

BODY_READ_BYTES_MAX = 64 * 1024 * 1024
"""A body is read up to this; it is far over any limit of the provider, and protects memory."""
SHORT_BY_BYTES = 64
DRIPS = 20
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class TwinServer:
    """An aiohttp server around one `Twin`. Use `start`, then `stop`; `stop` waits for no client."""

    def __init__(self, twin: Twin, clock: Callable[[], float]) -> None:
        self._twin = twin
        self._clock = clock
        self._stopping = asyncio.Event()
        app = web.Application(client_max_size=BODY_READ_BYTES_MAX)
        app.add_routes(Admin(twin, clock).routes())
        app.add_routes([web.post("/{path:(?!twin/).*}", self._take)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self, host: str, port: int) -> int:
        """Listens on `host`; returns the port, which the system chooses for 0. Raises OSError."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Stops listening; answers under way go out at once, silent connections are cut."""
        self._stopping.set()
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        answer = self._twin.turn_away(request.content_length or 0, self._clock(), time.time())
        if answer is not None:
            return _raw(request, answer)
        body = await request.read()
        decision = self._twin.arrive(body, request.path, self._clock(), time.time())
        await self._pause(decision.act_after_seconds)
        self._twin.act(decision, self._clock(), time.time())
        await self._pause(decision.answer_after_seconds)
        # A client that has gone is no error of the twin's.
        with contextlib.suppress(ConnectionError):
            return await self._deliver(request, decision.answer)
        return web.Response()

    async def _pause(self, seconds: float) -> None:
        """Waits, but not for what would keep the twin from stopping."""
        if seconds <= 0.0:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _deliver(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        match answer.delivery:
            case "whole":
                return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
            case "silence":
                await self._pause(self._twin.options.silence_seconds)
                return _cut(request)
            case "cut":
                return _cut(request)
            case "short":
                return await self._short(request, answer)
            case "drip":
                return await self._drip(request, answer)
            case "raw":
                return _raw(request, answer)

    async def _short(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        response = _stream(answer, SHORT_BY_BYTES)
        await response.prepare(request)
        await response.write(answer.body)
        if request.transport is not None:
            request.transport.close()
        return response

    async def _drip(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        if answer.wire:
            return await self._drip_raw(request, answer)
        response = _stream(answer, 0)
        await response.prepare(request)
        step = max(1, len(answer.body) // DRIPS)
        for start in range(0, len(answer.body), step):
            await self._pause(self._twin.options.drip_seconds / DRIPS)
            await response.write(answer.body[start : start + step])
        await response.write_eof()
        return response

    async def _drip_raw(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        step = max(1, len(answer.wire) // DRIPS)
        for start in range(0, len(answer.wire), step):
            await self._pause(self._twin.options.drip_seconds / DRIPS)
            if request.transport is None or request.transport.is_closing():
                break
            request.transport.write(answer.wire[start : start + step])
        return _close(request)


def _stream(answer: Answer, missing_bytes: int) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body) + missing_bytes
    return response


def _raw(request: web.Request, answer: Answer) -> web.Response:
    """Sends the exact bytes of an answer, and closes without a word."""
    if request.transport is not None:
        request.transport.write(answer.wire)
    return _close(request)


def _close(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def _cut(request: web.Request) -> web.Response:
    """Ends the connection with a reset, without a byte of an answer."""
    transport = request.transport
    if transport is not None:
        peer = transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        transport.abort()
    return web.Response()
