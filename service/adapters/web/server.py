"""Serves what is seen from outside: metrics, probes, status.

Knows nothing of what the numbers mean, and changes nothing by itself: each answer is made of a
status that is asked for at that moment. The page, and what changes something, are handed in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from service.core.outcomes import rfc3339
from service.core.status import Status
from service.errors import ConfigurationError
from service.settings import Settings

REQUEST_BYTES_MAX = 4_096
"""Nothing here reads a body, and a command is a few hundred bytes."""
SHUTDOWN_SECONDS = 1.0
"""How long an answer under way may take when the process ends."""
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "call-dispatcher",
    "X-Content-Type-Options": "nosniff",
}


class WebServer:
    """The HTTP side of a dispatcher. Use `start`, then `stop`."""

    def __init__(
        self,
        settings: Settings,
        status: Callable[[], Status],
        registry: CollectorRegistry,
        more: Iterable[web.RouteDef] = (),
    ) -> None:
        """`more` are the page's routes, and those that change something."""
        self._host, self._port = settings.http.host, settings.http.port
        self._status = status
        self._registry = registry
        app = web.Application(client_max_size=REQUEST_BYTES_MAX)
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/status", self._status_page),
                *more,
            ]
        )
        app.on_response_prepare.append(_add_headers)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigurationError(
                f"http.host, http.port: cannot listen on {_address(self._host, self._port)}: "
                f"{error.strerror or error}; stop what listens there, or choose another http.port"
            ) from error

    async def stop(self) -> None:
        """Stop listening; answers under way go out."""
        await self._runner.cleanup()

    @property
    def address(self) -> str:
        """The URL of `/`, with the port that the system chose for port 0."""
        return _address(self._host, self._runner.addresses[0][1])

    async def _metrics(self, request: web.Request) -> web.Response:
        try:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        except (TypeError, ValueError):
            # The library compares a version that is no number: who asks so gets the oldest form.
            encode, content_type = choose_encoder("")
        body = encode(self._registry)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _livez(self, _: web.Request) -> web.Response:
        # That this runs at all is the proof: it shares the loop with everything else.
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        status = self._status()
        reasons = _reasons(status)
        body = {
            "ready": not reasons,
            "reasons": reasons,
            "holds": [
                {"lane": lane.lane, **_json(hold)} for lane in status.lanes for hold in lane.holds
            ],
            "pauses": [
                {"lane": lane.lane, "reason": lane.pause, "seconds": lane.paused_seconds}
                for lane in status.lanes
                if lane.pause is not None
            ],
        }
        return _json_response(body, 503 if reasons else 200)

    async def _status_page(self, _: web.Request) -> web.Response:
        return _json_response(_json(self._status()))


def _reasons(status: Status) -> list[str]:
    """Why the process takes no part; none if it does, a standby included."""
    reasons = []
    if status.error is not None:
        reasons.append(status.error)
    if status.draining:
        reasons.append("draining: it was asked to stop")
    elif not status.joined:
        reasons.append("not connected: it has not joined the consumer group")
    if not (status.ready or reasons):
        reasons.append("starting")
    return reasons


def _json(value: Any) -> Any:
    """A status as the contract writes JSON: kebab-case names, times in RFC 3339."""
    if is_dataclass(value):
        return dict(_member(each.name, getattr(value, each.name)) for each in fields(value))
    if isinstance(value, tuple):
        return [_json(each) for each in value]
    return value


def _member(name: str, value: Any) -> tuple[str, Any]:
    if name.endswith("_ms"):
        return name.removesuffix("_ms").replace("_", "-"), rfc3339(value)
    return name.replace("_", "-"), _json(value)


def _json_response(body: Any, status: int = 200) -> web.Response:
    text = json.dumps(body, indent=2) + "\n"
    return web.Response(text=text, status=status, content_type="application/json")


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        if name == "Server" or name not in response.headers:
            response.headers[name] = value


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
