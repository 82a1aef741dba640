"""`python -m tests.dashboards`: writes the dashboards, and shows that each panel shows something.

The stack runs with a load; the provider refuses, fails, holds a flow and then the account, and a
dispatcher is killed. Then each query is asked of the Prometheus that watched. The last line is
JSON; exits with 1 if one gave no number.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from tests.dashboards.boards import BOARDS
from tests.dashboards.grafana import FOLDER, files
from tests.dashboards.prometheus import plain, values
from tests.stack.load import Load
from tests.stack.ports import other_ports
from tests.stack.stack import Stack

RATE = 100.0
SECONDS_MAX = 240.0
"""For one scene; the first begins when a fresh Redis lets calls through, after 77 s."""
POLL_SECONDS = 1.0
SCENES: tuple[tuple[dict[str, object], str], ...] = (
    ({"rules": []}, 'dispatcher_dead_letters_total{reason="rejected"} > 0'),
    (
        {"rules": [{"fault": "code-301", "flow": "Survey07"}, {"fault": "http-503", "share": 0.3}]},
        "dispatcher_parked_total > 0 and on () sum(dispatcher_retries_total) > 1",
    ),
    (
        {"rules": [{"fault": "code-401"}]},
        'dispatcher_hold_active{scope="account"} > 0',
    ),
)
"""What the provider does, and what must be seen of it before the next."""


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _write() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file in FOLDER.iterdir():
        file.unlink()
    for file, text in files().items():
        file.write_text(text)


async def _seen(stack: Stack, query: str) -> None:
    began = time.time()
    async with asyncio.timeout(SECONDS_MAX):
        while not await values(stack.prometheus, query, began, time.time()):  # noqa: ASYNC110 - Prometheus scrapes in its own time
            await asyncio.sleep(POLL_SECONDS)


async def _play(stack: Stack) -> None:
    async with aiohttp.ClientSession() as session:
        for script, query in SCENES:
            async with session.post(f"{stack.twin}/twin/faults", json=script) as answer:
                answer.raise_for_status()
            await _seen(stack, query)
            _say(f"seen: {query}")
        async with session.delete(f"{stack.twin}/twin/faults") as answer:
            answer.raise_for_status()
    # Each owns one of the two lanes, so it does not matter which.
    os.kill(stack.dispatchers["dispatcher-1"].pid, signal.SIGKILL)
    await _seen(stack, "sum(dispatcher_lane_owned) == 2")
    _say("seen: both lanes at the dispatcher that is left")


async def _empty() -> tuple[int, list[str]]:
    """Plays all scenes; returns how many panels have data, and the queries that have none."""
    empty: list[str] = []
    full = 0
    with TemporaryDirectory(prefix="dashboards-") as folder:
        began = time.time()
        async with Stack(Path(folder), other_ports(), lambda *_: None, scrape="1s") as stack:
            load = asyncio.create_task(Load(stack.bootstrap, "calls.requests", RATE).run())
            try:
                await _play(stack)
            finally:
                load.cancel()
                await asyncio.gather(load, return_exceptions=True)
            for board in BOARDS:
                for panel in board.panels:
                    found = [
                        (text, await values(stack.prometheus, text, began, time.time()))
                        for text in panel.expressions
                    ]
                    nothing = [text for text, count in found if not count]
                    full += not nothing
                    empty += [f"{board.name}, {panel.title}: {plain(text)}" for text in nothing]
    return full, empty


def main() -> int:
    """The command. Returns its exit code."""
    _write()
    full, empty = asyncio.run(_empty())
    for line in empty:
        _say(f"no data: {line}")
    panels = [panel for board in BOARDS for panel in board.panels]
    figures = {
        "dashboards": len(BOARDS),
        "panels": len(panels),
        "panels_with_data": full,
        "queries": sum(len(panel.queries) for panel in panels),
    }
    _say(json.dumps({"ok": not empty, **figures}))
    return 1 if empty else 0


if __name__ == "__main__":
    raise SystemExit(main())
