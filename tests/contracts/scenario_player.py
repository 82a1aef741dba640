"""Plays the twin's scenarios with a client that knows nothing but TCP, and records what it gets.

To record all of them anew: python -m tests.contracts.scenario_player
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from service.twin.behaviour import Twin
from service.twin.faults import Script
from service.twin.options import Options, with_switches
from service.twin.scenarios import FOLDER, Scenario, Seen, read_scenario, scenario_names
from service.twin.server import TwinServer

SHOWN = ("content-type", "retry-after", "location")
FIGURES = ("calls-accepted", "doubled", "repeats-answered", "redirects-followed", "exceptions")
TEXT_CHARACTERS_MAX = 60
SILENT_SECONDS = 0.3
"""A connection that was mute for so long, and then cut, is a silence and no reset."""


@asynccontextmanager
async def staged(scenario: Scenario, profile: str | None = None) -> AsyncIterator[tuple[Twin, str]]:
    """A twin set as `--scenario` sets it, with its address."""
    loop = asyncio.get_running_loop()
    switches = scenario.script.switches | ({"profile": profile} if profile else {})
    twin = Twin(
        with_switches(Options(), switches),
        random.Random(0),
        script=Script(rules=scenario.script.rules, outages=scenario.script.outages),
        started=loop.time(),
    )
    server = TwinServer(twin, loop.time)
    port = await server.start("127.0.0.1", 0)
    try:
        yield twin, f"http://127.0.0.1:{port}{twin.options.path}"
    finally:
        await server.stop()


async def play(scenario: Scenario) -> tuple[list[Seen], dict[str, Any]]:
    """What a client sees of each step, and the ledger in the end."""
    seen = []
    dated = "retry-after" not in scenario.script.switches
    async with staged(scenario) as (twin, url):
        port = int(url.split(":")[2].split("/")[0])
        bodies = scenario.bodies(dt.datetime.now(dt.UTC))
        for step, body in zip(scenario.steps, bodies, strict=True):
            received = await post(port, twin.options.path, body, step.patience_seconds)
            seen.append(received if isinstance(received, Seen) else parsed(received, dated=dated))
        async with asyncio.timeout(10):
            # What is still under way at the provider belongs to the story.
            while twin.busy:  # noqa: ASYNC110 - no event of the twin's tells of it
                await asyncio.sleep(0.05)
        figures = msgspec.to_builtins(twin.ledger.summary())
    return seen, {name: figures[name] for name in FIGURES if figures[name]}


async def post(port: int, path: str, body: bytes, patience_seconds: float) -> bytes | Seen:
    """One request on a connection of its own: what came back, or that nothing did."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began, received = loop.time(), b""
    head = f"POST {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: {len(body)}"
    try:
        async with asyncio.timeout(patience_seconds):
            writer.write(head.encode() + b"\r\n\r\n" + body)
            while part := await reader.read(65_536):
                received += part
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    if not received:
        silent = loop.time() - began > min(SILENT_SECONDS, patience_seconds)
        return Seen(ends="silence" if silent else "reset")
    return received


def parsed(received: bytes, *, dated: bool) -> Seen:
    """The bytes of an answer as a scenario tells them, without the interim ones before it.

    `dated`: a date in Retry-After is another one each time.
    """
    while received.startswith(b"HTTP/1.1 1"):
        received = received.partition(b"\r\n\r\n")[2]
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    found = re.match(r"HTTP/1\.[01] (\d{3})", first)
    if found is None:
        return Seen(ends="no-http", text=first[:TEXT_CHARACTERS_MAX])
    headers = dict(line.split(": ", 1) for line in lines)
    stated = next((int(v) for k, v in headers.items() if k.lower() == "content-length"), len(body))
    text = body.decode("utf-8", "replace")
    shown = {
        name: "*" if dated and name == "Retry-After" and value.endswith("GMT") else value
        for name, value in headers.items()
        if name.lower() in SHOWN
    }
    seen = Seen(
        ends="short" if stated > len(body) else "long" if stated < len(body) else "whole",
        status=int(found[1]),
        headers=shown,
        body_bytes=len(body),
    )
    try:
        return msgspec.structs.replace(seen, json=json.loads(body.decode()))
    except ValueError:
        return msgspec.structs.replace(seen, text=text[:TEXT_CHARACTERS_MAX])


async def record(name: str) -> None:
    """Write what comes back into the scenario's file."""
    scenario = read_scenario(name)
    seen, ledger = await play(scenario)
    told: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    for step, answer in zip(told["steps"], seen, strict=True):
        step["answer"] = msgspec.to_builtins(answer)
    told["ledger"] = ledger
    (FOLDER / f"{name}.json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")


async def record_all() -> None:
    """Record every scenario."""
    for name in scenario_names():
        await record(name)


if __name__ == "__main__":
    asyncio.run(record_all())
