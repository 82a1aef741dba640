"""The operators' page: its files, and what it shows beside `/status`.

Knows nothing of how it looks. Its policy lets it load from here alone, and forbids scripts and
styles inside the document, so that no value shown can ever become code.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from aiohttp import web

from service.adapters.web.access import json_response
from service.adapters.web.samples import STEP_SECONDS, Sample
from service.core.outcomes import rfc3339
from service.errors import DispatcherError
from service.ports import Control
from service.settings import Settings

FILES: Mapping[str, str] = {
    "index.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "actions.js": "text/javascript",
    "letters.js": "text/javascript",
    "parts.js": "text/javascript",
    "plot.js": "text/javascript",
    "replays.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
"""All that there is: no other name is ever looked for on the disk."""
POLICY = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
        *("require-trusted-types-for 'script'", "trusted-types 'none'"),
    ]
)
OWNERS_SECONDS = 10.0
"""However many look at the page, Kafka is asked for the group's members this seldom."""


class WebPage:
    """The page; `routes` go into the web server."""

    def __init__(self, settings: Settings, control: Control, samples: Iterable[Sample]) -> None:
        self._control = control
        self._samples = samples
        self._is_commanded = settings.http.token is not None
        home = files("service") / "web"
        self._files = {name: (home / name).read_text("utf-8") for name in FILES}
        self._owners: dict[str, Any] = {}
        self._owners_until = 0.0
        self._asking = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.get("/", self._index),
            web.get("/page/history", self._history),
            web.get("/page/lanes", self._lanes),
            web.get("/page/{name}", self._file),
        ]

    async def _index(self, _: web.Request) -> web.Response:
        return self._answer("index.html")

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in FILES:
            raise web.HTTPNotFound
        return self._answer(name)

    def _answer(self, name: str) -> web.Response:
        headers = {"Content-Security-Policy": POLICY}
        return web.Response(
            text=self._files[name], content_type=FILES[name], charset="utf-8", headers=headers
        )

    async def _history(self, _: web.Request) -> web.Response:
        samples = [
            {
                "at": rfc3339(each.at_ms),
                "calls-in-window": each.calls_in_window,
                "calls-per-minute": each.calls_per_minute,
                "backlog": each.backlog,
                "accepted": each.accepted,
                "dead-letters": each.dead_letters,
            }
            for each in self._samples
        ]
        return json_response(
            {
                "now": rfc3339(int(time.time() * 1000)),
                "step-seconds": STEP_SECONDS,
                "takes-commands": self._is_commanded,
                "samples": samples,
            }
        )

    async def _lanes(self, _: web.Request) -> web.Response:
        async with self._asking:
            if time.monotonic() >= self._owners_until:
                self._owners = await self._ask()
                self._owners_until = time.monotonic() + OWNERS_SECONDS
        return json_response(self._owners)

    async def _ask(self) -> dict[str, Any]:
        """All lanes of the group and their owners; what was known before if Kafka is away."""
        try:
            count, owners = await self._control.lane_count(), await self._control.owners()
        except DispatcherError as error:
            return {"lanes": [], **self._owners, "error": str(error)}
        lanes = [{"lane": lane, "owner": owners.get(lane)} for lane in range(count)]
        return {"lanes": lanes, "error": None}
