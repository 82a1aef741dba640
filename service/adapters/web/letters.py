"""Looking for dead letters from the page: runs `dead-letters list` and hands on its JSON.

Knows nothing of Kafka. A scan may take minutes of CPU, which the lanes' process must not spend: so
it is a process of its own, one at a time, and ended when it takes too long.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike, fspath
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from service.adapters.web.access import Access, Refused, body_of
from service.adapters.web.children import answer_of
from service.core.outcome_schemas import REASONS
from service.settings import Settings

ROWS = 20
"""Newest ones under the counts; the command has all."""
AS_JSON = ("--output=json", f"--rows={ROWS}")
SCAN_SECONDS_MAX = 120.0
"""A million dead letters; for more there is the command."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2000, pattern="^[^\\0]+$")]


class Search(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """Which dead letters: as the commands' options. `POST /page/dead-letters`."""

    since: Text = "24h"
    until: Text | None = None
    reason: Text | None = None
    code: Text | None = None
    flow: Text | None = None
    client_identifier: Text | None = None
    replayed: Literal["yes", "no"] | None = None

    def options(self) -> Iterator[str]:
        """Each in one word, so that no value is ever taken for an option.

        Raises:
            Refused: there is no such reason.
        """
        if self.reason not in {None, *REASONS}:
            raise Refused(400, f"reason: must be one of {', '.join(REASONS)}")
        for name in ("since", "until", "reason", "code", "flow", "client_identifier"):
            value = getattr(self, name)
            if value is not None:
                yield f"--{name.replace('_', '-')}={value}"
        if self.replayed is not None:
            yield "--replayed" if self.replayed == "yes" else "--not-replayed"


class WebLetters:
    """The search; `routes` go into the web server."""

    def __init__(self, settings: Settings, config_path: str | PathLike[str] | None = None) -> None:
        self._access = Access(settings.http)
        self._config = () if config_path is None else (f"--config={fspath(config_path)}",)
        self._is_busy = False

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [web.post("/page/dead-letters", self._access.guarded(self._search))]

    async def _search(self, request: web.Request) -> web.Response:
        search = await body_of(request, Search)
        if self._is_busy:
            raise Refused(503, "another search is under way: try again", {"Retry-After": "5"})
        self._is_busy = True
        try:
            found = await answer_of(
                (*("dead-letters", "list"), *self._config, *search.options(), *AS_JSON),
                f"http {request.remote}",
                SCAN_SECONDS_MAX,
            )
        finally:
            self._is_busy = False
        return web.Response(body=found, content_type="application/json")
