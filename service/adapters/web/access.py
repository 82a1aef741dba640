"""Who may ask for more than to look: the token, no other site's page, and refusals in one line.

Knows nothing of what is asked for. A browser adds no token by itself, and says where a request of
a page comes from: that is looked at too, so that even a leaked token is of no use to another site.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from service.errors import DispatcherError, OrderRefused
from service.settings import HttpSettings

BODY_SECONDS = 5.0
"""For a few hundred bytes from somebody who has the token."""
CHALLENGE: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}
OFF = "commands over HTTP are off: set http.token (DISPATCHER_HTTP__TOKEN) and start anew"
OTHER_SITE = "the request comes from a page of another site"

AnyBody = TypeVar("AnyBody", bound=msgspec.Struct)
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Refused(Exception):
    """An answer that is no success: HTTP status, and one line for people."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.headers = status, headers


class Access:
    """Lets through who has the token."""

    def __init__(self, http: HttpSettings) -> None:
        self._token = None if http.token is None else http.token.get_secret_value().encode()

    @property
    def is_on(self) -> bool:
        """Whether there is a token at all."""
        return self._token is not None

    def guarded(self, act: Handler) -> Handler:
        """`act` for those with the token; what it raises becomes one line of JSON."""

        async def handler(request: web.Request) -> web.Response:
            try:
                self._check(request)
                return await act(request)
            except Refused as refused:
                return json_response({"error": str(refused)}, refused.status, refused.headers)
            except OrderRefused as error:
                return json_response({"error": str(error)}, 400)
            except DispatcherError as error:
                return json_response({"error": str(error)}, 503)

        return handler

    def _check(self, request: web.Request) -> None:
        if self._token is None:
            raise Refused(403, OFF)
        if not _same_site(request):
            raise Refused(403, OTHER_SITE)
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        # In constant time, so that the answer's time tells nothing about the token.
        same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)
        if scheme.lower() != "bearer" or not same:
            raise Refused(401, "Authorization: Bearer <http.token> is missing or wrong", CHALLENGE)


def _same_site(request: web.Request) -> bool:
    """Whether no browser says that another site's page asks; commands of a shell say nothing."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    # Browsers leave Sec-Fetch-Site out where the page came over plain HTTP from another machine.
    return origin is None or origin.partition("://")[2] == request.headers.get("Host")


async def body_of(request: web.Request, kind: type[AnyBody]) -> AnyBody:
    """A request's JSON as `kind`.

    Raises:
        Refused, OrderRefused: it is none, with the reason.
    """
    if request.content_type != "application/json":
        raise Refused(415, "the body must be JSON, with Content-Type: application/json")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            raw = await request.read()
    except TimeoutError:
        raise Refused(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None
    except web.HTTPRequestEntityTooLarge:
        raise Refused(413, "the body is too large") from None
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.MsgspecError as error:
        raise OrderRefused(f"the body cannot be read: {error}") from error


def json_response(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """JSON on one line."""
    text = json.dumps(body) + "\n"
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")
