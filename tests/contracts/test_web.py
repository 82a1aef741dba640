"""The HTTP side over real connections, and the `status` command that reads it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from service.adapters.metrics import Metrics
from service.adapters.web import WebServer
from service.commands.status import status as status_command
from service.core.status import Status
from service.errors import ConfigurationError, DispatcherError
from tests.contracts.seen import (
    FLOW_SECURITY_ID,
    HOST,
    SECURITY_ID,
    TOKEN,
    hold_of,
    lane_of,
    settings_of,
    status_of,
)

ROOT = Path(__file__).parents[2]
WELL = status_of(lane_of(), lane_of(1, holds=(hold_of(),), state="owned"))


@contextlib.asynccontextmanager
async def served(
    status: Status | Callable[[], Status] = WELL, host: str = "127.0.0.1"
) -> AsyncIterator[str]:
    """A server on a free port that shows `status`; its address."""
    settings = settings_of(
        http={"host": host}, flows={"AbCd1234": {"security_id": FLOW_SECURITY_ID}}
    )
    registry = CollectorRegistry()
    snapshot = status if callable(status) else lambda: status
    Metrics(registry, settings).observe(snapshot)
    server = WebServer(settings, snapshot, registry)
    await server.start()
    try:
        yield server.address
    finally:
        await server.stop()


class Got:
    """One answer."""

    def __init__(self, response: aiohttp.ClientResponse, text: str) -> None:
        self.status, self.headers, self.text = response.status, response.headers, text

    @property
    def json(self) -> Any:
        """Its body, decoded."""
        return json.loads(self.text)


async def get(url: str, accept: str = "*/*", method: str = "GET") -> Got:
    """One request on a connection of its own."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers={"Accept": accept}) as response,
    ):
        return Got(response, await response.text())


async def test_metrics_come_in_the_form_that_is_asked_for() -> None:
    """Prometheus reads OpenMetrics, older scrapers plain text; neither parses the other's."""
    async with served() as address:
        plain = await get(f"{address}/metrics")
        opened = await get(f"{address}/metrics", "application/openmetrics-text;version=1.0.0")
        odd = await get(f"{address}/metrics", "application/openmetrics-text;version=new")
    assert plain.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(plain.text)
    assert {family.name for family in families} >= {"dispatcher_lag_records"}
    assert opened.headers["Content-Type"].startswith("application/openmetrics-text")
    families = openmetrics_families(opened.text)  # type: ignore[no-untyped-call]
    assert {family.name for family in families} >= {"dispatcher_lag_records"}
    assert odd.status == 200


async def test_a_process_that_answers_is_alive_whatever_its_state() -> None:
    """A probe that fails while a broker is away would restart the process for nothing."""
    async with served(status_of(joined=False, ready=False, error="no broker")) as address:
        alive = await get(f"{address}/livez")
    assert (alive.status, alive.text) == (200, "ok\n")


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (WELL, 200, None),
        (status_of(), 200, None),
        (status_of(joined=False, ready=False), 503, "not connected"),
        (status_of(lane_of(), draining=True, ready=False), 503, "draining"),
        (status_of(error="topics are missing: calls.results", ready=False), 503, "topics are"),
        (status_of(ready=False), 503, "starting"),
    ],
)
async def test_readiness_says_why_not(status: Status, code: int, reason: str | None) -> None:
    """A rollout goes on with a standby, and stops at a replica that takes no part."""
    async with served(status) as address:
        got = await get(f"{address}/readyz")
    assert (got.status, got.json["ready"]) == (code, code == 200)
    assert [text.startswith(reason) for text in got.json["reasons"]] == [True] * (code != 200)


async def test_a_held_dispatcher_is_ready_and_says_what_is_held() -> None:
    """Restarting it cures no hold, and other flows go on; an operator must see it all the same."""
    async with served() as address:
        got = await get(f"{address}/readyz")
    assert got.status == 200
    (hold,) = got.json["holds"]
    assert (hold["lane"], hold["scope"], hold["name"], hold["code"]) == (1, "flow", "AbCd1234", 301)


async def test_the_status_is_as_new_as_the_question() -> None:
    """Who repairs something watches this page for the effect."""
    statuses = [WELL]
    async with served(lambda: statuses[-1]) as address:
        first = (await get(f"{address}/status")).json
        statuses.append(replace(WELL, draining=True))
        second = (await get(f"{address}/status")).json
    assert (first["draining"], second["draining"]) == (False, True)
    assert (first["group-id"], first["url-host"]) == ("call-dispatcher", HOST)
    lane = first["lanes"][1]
    assert lane["partitions"] == [
        {"topic": "calls.requests", "partition": 1, "position": 100, "end": 142, "lag": 42}
    ]
    assert lane["flows"] == [{"flow-id": "AbCd1234", "waiting-calls": 1500}]
    assert lane["holds"][0]["since"] == "2026-11-22T23:40:12.345Z"
    assert lane["holds"][0]["next-probe-seconds"] == 90.0


async def test_the_index_names_every_endpoint() -> None:
    """A newcomer who opens the address finds the way."""
    async with served() as address:
        index = await get(f"{address}/")
        named = [line.split()[0] for line in index.text.splitlines() if line.startswith("/")]
        answers = [await get(address + path) for path in named]
    assert set(named) == {"/metrics", "/livez", "/readyz", "/status"}
    assert [answer.status for answer in answers] == [200] * len(named)


@pytest.mark.parametrize("path", ["/", "/metrics", "/livez", "/readyz", "/status", "/nowhere"])
async def test_no_answer_is_cached_guessed_at_or_tells_a_secret(path: str) -> None:
    """A stale probe, a sniffed type or a leaked key: each has hurt somebody before."""
    async with served() as address:
        got = await get(address + path)
    assert got.headers["Cache-Control"] == "no-store"
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Server"] == "call-dispatcher"
    for secret in (SECURITY_ID, FLOW_SECURITY_ID, TOKEN):
        assert secret not in got.text


async def test_nothing_can_be_changed_from_here() -> None:
    """Anybody who reaches the port may read; nobody may write."""
    async with served() as address:
        answers = [await get(f"{address}/status", method=m) for m in ("POST", "PUT", "DELETE")]
    assert [answer.status for answer in answers] == [405] * 3


async def test_a_taken_port_is_one_line_about_the_configuration() -> None:
    """The usual mistake of a second dispatcher on one machine must not end in a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = settings_of(http={"port": port})
        server = WebServer(settings, lambda: WELL, CollectorRegistry())
        with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}.*in use") as raised:
            await server.start()
    assert "\n" not in str(raised.value)


async def run_status(*arguments: str) -> tuple[str, BaseException | None]:
    """The `status` command beside a server in this loop: what it printed, how it failed."""
    result = await asyncio.to_thread(CliRunner().invoke, status_command, list(arguments))
    failed = None if isinstance(result.exception, SystemExit) else result.exception
    return result.output, failed


async def test_status_shows_people_what_matters() -> None:
    """On a pipe nothing is cut and nothing is coloured."""
    async with served() as address:
        output, failed = await run_status("--url", address)
    assert failed is None
    lines = output.splitlines()
    for title in ("dispatcher", "lanes", "holds", "partitions", "flows that wait"):
        assert title in lines
    assert any(line.split() == ["state", "working"] for line in lines)
    assert any("7,500/15,000" in line and "12.5 s" in line for line in lines)
    assert any("301: check [the flow's id]" in line for line in lines)
    assert "\x1b" not in output


async def test_a_terminal_gets_tables_with_whole_words() -> None:
    """A reason's brackets are text, and a time can be copied in one piece."""
    async with served() as address:
        shown = await asyncio.to_thread(on_a_terminal, "status", "--url", address)
    assert "check [the" in shown
    assert "2026-11-22T23:40:12.345Z" in shown
    assert "┃" in shown


def on_a_terminal(*arguments: str) -> str:
    """What `call-dispatcher` writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "service", *arguments]
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=theirs):
        os.close(theirs)
        written = b""
        # Linux ends a terminal whose last writer has gone with an error.
        with contextlib.suppress(OSError):
            while part := os.read(ours, 4096):
                written += part
    os.close(ours)
    return written.decode()


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (status_of(), "standby"),
        (status_of(joined=False, ready=False, error="no broker"), "not ready"),
        (status_of(lane_of(), draining=True, ready=False), "draining"),
    ],
)
async def test_status_names_the_state(status: Status, state: str) -> None:
    """The first line answers the first question."""
    async with served(status) as address:
        output, _ = await run_status("--url", address + "/")
    assert output.splitlines()[2].split(maxsplit=1) == ["state", state]


async def test_status_prints_the_answer_as_it_came() -> None:
    """A script reads the same JSON as over HTTP."""
    async with served() as address:
        output, _ = await run_status("--json", "--url", address)
        answer = (await get(f"{address}/status")).text
    assert output == answer


async def test_what_a_server_says_cannot_steer_the_terminal() -> None:
    """An error's text may come from afar; its escape sequences must not act."""
    async with served(status_of(error="\x1b]0;title\x07 gone", ready=False)) as address:
        output, _ = await run_status("--url", address)
    assert "\x1b" not in output
    assert "\x07" not in output
    assert "gone" in output


async def test_nobody_there_is_one_line() -> None:
    """The dispatcher is down: that is the answer, not a traceback."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        output, failed = await run_status("--url", address)
    assert output == ""
    assert isinstance(failed, DispatcherError)
    assert not isinstance(failed, ConfigurationError)
    assert str(failed).startswith(f"no dispatcher answers at {address}/status")
    assert "\n" not in str(failed)


async def test_a_wrong_url_is_the_command_lines_fault() -> None:
    """Whoever forgets the http:// is told so."""
    for url in ("localhost", "ftp://127.0.0.1:1", "http://", "http://[::1"):
        _, failed = await run_status("--url", url)
        assert isinstance(failed, ConfigurationError), url


async def test_another_program_at_the_port_is_named_as_such() -> None:
    """Port 8080 is popular; a table of nonsense would mislead."""
    with contextlib.closing(await another_program(b"[1, 2]")) as other:
        port = other.sockets[0].getsockname()[1]
        _, failed = await run_status("--url", f"http://127.0.0.1:{port}")
    assert isinstance(failed, DispatcherError)
    assert "no call-dispatcher" in str(failed)


async def another_program(body: bytes) -> asyncio.Server:
    """A server that answers anything with `body`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)
