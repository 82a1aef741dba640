"""The twin's admin pages under /twin/: its ledger, and its faults while it runs.

Must not know how a call request is served (server.py). There is no password: the twin belongs on
a staging network or the loopback address, as its `--help` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import msgspec
from aiohttp import web

from service.errors import ConfigurationError
from service.twin.answers import REDIRECTED_PATH
from service.twin.behaviour import Twin
from service.twin.faults import read_script

LINES_PER_WRITE = 1000
"""So many lines are encoded between two chances for other requests."""


class Admin:
    """Handlers of the admin pages. `now` is the clock that the twin's requests are timed with."""

    def __init__(self, twin: Twin, now: Callable[[], float]) -> None:
        self._twin = twin
        self._now = now

    def routes(self) -> list[web.AbstractRouteDef]:
        """Everything under /twin/."""
        return [
            web.get("/twin/healthz", self.health),
            web.get("/twin/ledger", self.summary),
            web.get("/twin/ledger/calls", self.calls),
            web.get("/twin/requests", self.requests),
            web.get("/twin/faults", self.faults),
            web.post("/twin/faults", self.program),
            web.delete("/twin/faults", self.clear),
            web.post("/twin/reset", self.reset),
            web.route("*", REDIRECTED_PATH, self.redirected),
        ]

    async def health(self, _: web.Request) -> web.Response:
        """Says that the twin serves."""
        return _json({"status": "ok"})

    async def summary(self, _: web.Request) -> web.Response:
        """The ledger in figures."""
        return _json(self._twin.ledger.summary())

    async def calls(self, request: web.Request) -> web.StreamResponse:
        """Every accepted call, a line each."""
        return await _lines(request, self._twin.ledger.accepted_calls())

    async def requests(self, request: web.Request) -> web.StreamResponse:
        """The last requests, a line each."""
        return await _lines(request, list(self._twin.ledger.requests))

    async def faults(self, _: web.Request) -> web.Response:
        """The script and the switches in force."""
        return _json({"script": self._twin.script, "switches": self._twin.options})

    async def program(self, request: web.Request) -> web.Response:
        """Puts a script in force; its seconds count from now."""
        try:
            self._twin.program(read_script(msgspec.json.decode(await request.read())), self._now())
        except (ConfigurationError, msgspec.MsgspecError) as error:
            return _json({"error": str(error)}, status=400)
        return await self.faults(request)

    async def clear(self, request: web.Request) -> web.Response:
        """Ends all faults and goes back to the switches of the start."""
        self._twin.program(None, self._now())
        return await self.faults(request)

    async def reset(self, _: web.Request) -> web.Response:
        """Forgets everything, as if just started."""
        self._twin.reset(self._now())
        return _json({"status": "reset"})

    async def redirected(self, _: web.Request) -> web.Response:
        """Where the redirect fault points: no client of the provider may come here."""
        self._twin.ledger.redirects_followed += 1
        return web.Response(status=410)


def ndjson(items: Iterable[msgspec.Struct]) -> Iterator[bytes]:
    """Chunks of lines, one JSON object each."""
    encoder = msgspec.json.Encoder()
    rest = iter(items)
    while chunk := list(islice(rest, LINES_PER_WRITE)):
        yield encoder.encode_lines(chunk)


async def _lines(request: web.Request, items: Iterable[msgspec.Struct]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    for chunk in ndjson(items):
        await response.write(chunk)
    await response.write_eof()
    return response


def _json(value: object, *, status: int = 200) -> web.Response:
    body = msgspec.json.encode(value)
    return web.Response(status=status, body=body, content_type="application/json")
