"""The part of the HTTP interface that changes something: commands to running lanes.

Knows nothing of Kafka, nor of what lanes make of a command. It is off while no token is set; a
browser never sends the token by itself, so no other site's page can command (CSRF; access.py).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec
from aiohttp import web

from service.adapters.web.access import Access, Refused, body_of, json_response
from service.core.control import AnyCommand
from service.core.orders import (
    Order,
    calls_cancelled,
    flow_id,
    hold_released,
    hold_set,
    limit_reset,
    limit_set,
    moment_ms,
)
from service.core.outcomes import rfc3339
from service.errors import OrderRefused
from service.ports import Control
from service.settings import Settings

COMMANDS_MAX = 8
"""Written at a time; each has a producer of its own."""
ID_HEADER = "Idempotency-Key"
"""Names the command: repeating a request under one name changes nothing."""


class Body(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """What every body may say."""

    reason: str = ""


class HoldBody(Body, frozen=True):
    """`POST /holds`."""

    scope: Literal["flow", "account"]
    name: str


class CancelBody(Body, frozen=True):
    """`POST /calls/cancel`."""

    flow_id: str
    before: str | None = None


class LimitBody(Body, frozen=True):
    """`PUT /limit`."""

    calls_per_minute: int


Make = Callable[[web.Request, Order], Awaitable[AnyCommand]]


class WebControl:
    """Commands over HTTP; `routes` go into the web server."""

    def __init__(self, settings: Settings, control: Control, accounts: Collection[str]) -> None:
        """`accounts` are the names of those that are configured."""
        self._access = Access(settings.http)
        self._settings = settings
        self._control = control
        self._accounts = accounts
        self._under_way = 0

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.post("/holds", self._answering(self._set_hold)),
            web.delete("/holds/{scope}/{name}", self._answering(self._release_hold)),
            web.post("/calls/cancel", self._answering(self._cancel)),
            web.put("/limit", self._answering(self._set_limit)),
            web.delete("/limit", self._answering(self._reset_limit)),
        ]

    def _answering(self, make: Make) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def act(request: web.Request) -> web.Response:
            with self._room():
                return json_response({"id": await self._give(request, make)}, 202)

        return self._access.guarded(act)

    @contextmanager
    def _room(self) -> Iterator[None]:
        if self._under_way >= COMMANDS_MAX:
            raise Refused(503, "too many commands at a time: try again", {"Retry-After": "1"})
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def _give(self, request: web.Request, make: Make) -> str:
        given_id = request.headers.get(ID_HEADER)
        order = Order(
            secrets.token_hex(8) if given_id is None else given_id,
            rfc3339(int(time.time() * 1000)),
            f"http {request.remote}",
        )
        command = await make(request, order)
        await self._control.write(command, given_id=given_id is not None)
        return command.id

    async def _set_hold(self, request: web.Request, order: Order) -> AnyCommand:
        body = await body_of(request, HoldBody)
        return hold_set(_because(order, body), body.scope, body.name, self._accounts)

    async def _release_hold(self, request: web.Request, order: Order) -> AnyCommand:
        name = request.match_info["name"]
        match request.match_info["scope"]:
            case "flow" | "account" as scope:
                return hold_released(order, scope, name, self._accounts)
        raise OrderRefused("scope: must be flow or account")

    async def _cancel(self, request: web.Request, order: Order) -> AnyCommand:
        body = await body_of(request, CancelBody)
        flow_id(body.flow_id)
        before_ms = None
        if body.before is not None:
            zone = self._settings.provider.time_zone
            before_ms = moment_ms(body.before, zone, time.time() * 1000)
        ends = await self._control.request_ends(before_ms)
        return calls_cancelled(_because(order, body), body.flow_id, ends)

    async def _set_limit(self, request: web.Request, order: Order) -> AnyCommand:
        body = await body_of(request, LimitBody)
        lanes, calls_max = await self._control.lane_count(), self._settings.batching.calls_max
        return limit_set(_because(order, body), body.calls_per_minute, lanes, calls_max)

    async def _reset_limit(self, _: web.Request, order: Order) -> AnyCommand:
        return limit_reset(order)


def _because(order: Order, body: Body) -> Order:
    return Order(order.id, order.at, order.who, body.reason)
