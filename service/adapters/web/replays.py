"""Replays from the page: plans, executes, stops and resumes them by the command's own means.

Knows nothing of how a replay is safe: each step is the command `dead-letters replay`, so a plan of
the page can be executed by command too. Plans lie in a directory of this machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import signal
import stat
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from service.adapters.web.access import Access, Refused, body_of, json_response
from service.adapters.web.children import answer_of, last_line, start
from service.adapters.web.letters import Search
from service.core.replay_words import Replay, State, decode_head
from service.errors import ConfigurationError, DispatcherError
from service.settings import Settings

PLAN_SECONDS_MAX = 300.0
"""For a scan of a million dead letters and the requests they came from."""
STOP_SECONDS_MAX = 10.0
"""For a replay that is asked to stop to finish its transaction."""
SEEN_SECONDS = 5.0
"""However many look, the replays topic is read this seldom."""
HEAD_BYTES_MAX = 1_000_000
_NAME = re.compile(r"[0-9a-f]{16}", re.ASCII)

Standings = Callable[[], Awaitable[Sequence[tuple[Replay, State]]]]


class PlanAsked(Search, frozen=True):
    """`POST /page/replays`."""

    force: bool = False
    set_start_time: Literal["now"] | None = None
    drop_expires_at: bool = False

    def options(self) -> Iterator[str]:
        """See `Search.options`."""
        yield from super().options()
        if self.force:
            yield "--force"
        if self.set_start_time is not None:
            yield f"--set-start-time={self.set_start_time}"
        if self.drop_expires_at:
            yield "--drop-expires-at"


class RunAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /page/replays/PLAN`."""

    rate: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] | None = None


class WebReplays:
    """Replays; `routes` go into the web server. `stop` before this process ends."""

    def __init__(
        self,
        settings: Settings,
        standings: Standings,
        config_path: str | PathLike[str] | None = None,
    ) -> None:
        self._access = Access(settings.http)
        self._standings = standings
        self._config = () if config_path is None else (f"--config={fspath(config_path)}",)
        self._group_id = settings.kafka.group_id
        self._is_planning = False
        self._running: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._said = ""
        """Of the last one that ran here."""
        self._seen: dict[str, Any] = {}
        self._seen_until = 0.0
        self._looking = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        guarded = self._access.guarded
        return [
            web.get("/page/replays", self._list),
            web.post("/page/replays", guarded(self._plan)),
            web.post("/page/replays/{plan}", guarded(self._execute)),
            web.delete("/page/replays", guarded(self._stop)),
        ]

    async def stop(self) -> None:
        """Let what runs here finish its transaction, and end; it can be resumed."""
        if self._running is not None and self._watcher is not None:
            with suppress(ProcessLookupError):
                self._running.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._watcher), STOP_SECONDS_MAX)

    async def _list(self, _: web.Request) -> web.Response:
        async with self._looking:
            if time.monotonic() >= self._seen_until:
                self._seen = await self._look()
                self._seen_until = time.monotonic() + SEEN_SECONDS
        here = self._running is not None
        return json_response({**self._seen, "runs-here": here, "said": self._said})

    async def _look(self) -> dict[str, Any]:
        try:
            plans = _plans(self._home()) if self._access.is_on else {}
            found = [_shown(*each, plans) for each in await self._standings()]
        except DispatcherError as error:
            return {"replays": [], **self._seen, "error": str(error)}
        return {"replays": found, "error": None}

    async def _plan(self, request: web.Request) -> web.Response:
        asked = await body_of(request, PlanAsked)
        if self._is_planning:
            raise Refused(503, "another plan is being made: try again", {"Retry-After": "5"})
        self._is_planning = True
        try:
            name = secrets.token_hex(8)
            path = self._home() / f"{name}.plan"
            said = await answer_of(
                (
                    *("dead-letters", "replay", *self._config),
                    *(*asked.options(), f"--plan={path}"),
                ),
                _who(request),
                PLAN_SECONDS_MAX,
            )
        finally:
            self._is_planning = False
        planned = _head(path).planned
        if not planned:
            path.unlink()
        return json_response(
            {
                "plan": name if planned else None,
                "planned": planned,
                "said": said.decode(errors="replace"),
            }
        )

    async def _execute(self, request: web.Request) -> web.Response:
        asked = await body_of(request, RunAsked)
        name = request.match_info["plan"]
        path = self._home() / f"{name}.plan"
        if not _NAME.fullmatch(name) or not path.exists():
            raise Refused(404, "there is no such plan on this replica's machine")
        if self._running is not None:
            raise Refused(409, "this replica runs a replay: stop it, or wait for its end")
        rate = () if asked.rate is None else (f"--rate={asked.rate:g}",)
        words = ("dead-letters", "replay", *self._config, f"--execute={path}", *rate)
        self._running = await start(words, _who(request))
        self._said = ""
        self._watcher = asyncio.create_task(self._watch(self._running), name="replay")
        return json_response({"id": name}, 202)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        said, errors = await process.communicate()
        self._said = said.decode(errors="replace").strip() or last_line(errors)
        self._running = None
        self._seen_until = 0.0

    async def _stop(self, _: web.Request) -> web.Response:
        if self._running is None:
            raise Refused(409, "no replay runs in this replica")
        with suppress(ProcessLookupError):
            self._running.send_signal(signal.SIGTERM)
        return json_response({"id": "stop"}, 202)

    def _home(self) -> Path:
        """Where plans lie, this user's alone; they outlive the process, so that any end is mended.

        Raises:
            ConfigurationError: somebody else made a directory of that name.
        """
        name = f"call-dispatcher-{os.getuid()}"
        home = Path(tempfile.gettempdir()) / name
        home.mkdir(mode=0o700, exist_ok=True)
        found = home.lstat()
        own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not own or found.st_mode & 0o077:
            raise ConfigurationError(f"{home}: must be a directory of this user alone: remove it")
        mine = home / hashlib.sha256(self._group_id.encode()).hexdigest()[:16]
        mine.mkdir(exist_ok=True)
        return mine


def _who(request: web.Request) -> str:
    return f"http {request.remote}"


def _head(path: Path) -> Any:
    with path.open("rb") as file:
        return decode_head(file.readline(HEAD_BYTES_MAX))


def _plans(home: Path) -> dict[str, str]:
    """By replay id, the name of its plan."""
    found = {}
    for path in home.glob("*.plan"):
        with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
            found[_head(path).id] = path.stem
    return found


def _shown(replay: Replay, state: State, plans: dict[str, str]) -> dict[str, Any]:
    return {
        "id": replay.id,
        "state": state,
        "plan": plans.get(replay.id),
        "started-at": replay.started_at,
        "updated-at": replay.updated_at,
        "run-by": replay.run_by,
        **{
            name: getattr(replay, name)
            for name in ("planned", "done", "sent", "accepted", "failed", "note")
        },
    }
