"""The `status` command beside a running server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.commands.status import status as status_command
from service.core.status import Status
from service.errors import ConfigurationError, DispatcherError
from tests.contracts.seen import get, lane_of, served, status_of

ROOT = Path(__file__).parents[2]


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
