"""The twin over real HTTP: what a client sees of each delivery, the admin pages, the command."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.twin.behaviour import Twin
from service.twin.faults import read_script
from service.twin.options import Options, with_switches
from service.twin.scenarios import read_scenario, scenario_names
from service.twin.server import TwinServer
from tests.core.twin_requests import FLOW, SECURITY_ID, body, call

COMMAND = "from service.commands.twin import twin; twin()"
ROOT = Path(__file__).parents[2]


@contextlib.asynccontextmanager
async def served(script: Any = None, **switches: Any) -> AsyncIterator[tuple[Twin, str]]:
    """A twin on a free port, with its address."""
    named = {name.replace("_", "-"): value for name, value in switches.items()}
    loop = asyncio.get_running_loop()
    twin = Twin(
        with_switches(Options(), named),
        random.Random(1),
        security_ids=frozenset([SECURITY_ID]),
        script=read_script(script or []),
        started=loop.time(),
    )
    server = TwinServer(twin, loop.time)
    port = await server.start("127.0.0.1", 0)
    try:
        yield twin, f"http://127.0.0.1:{port}"
    finally:
        await server.stop()


async def post(url: str, data: bytes, seconds: float = 5.0) -> tuple[int, bytes]:
    """One POST that follows no redirect, on a connection of its own."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(url, data=data, allow_redirects=False) as response,
    ):
        return response.status, await response.read()


async def admin(method: str, url: str, value: Any = None) -> tuple[int, Any]:
    """One admin request: its status, and its JSON or its list of JSON lines."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, json=value) as response,
    ):
        text = await response.text()
        if response.content_type == "application/x-ndjson":
            return response.status, [json.loads(line) for line in text.splitlines()]
        return response.status, json.loads(text)


async def test_a_call_is_accepted_and_in_the_ledger() -> None:
    """Teams that point their staging here read these pages."""
    async with served() as (twin, base):
        status, answer = await post(base + twin.options.path, body(call({"b": 1, "a": [2]})))
        assert (status, json.loads(answer)["api-response-code"]) == (202, 202)
        request_id = json.loads(answer)["request-id"]
        _, figures = await admin("GET", f"{base}/twin/ledger")
        assert (figures["calls-accepted"], figures["calls-per-sliding-minute-max"]) == (1, 1)
        _, calls = await admin("GET", f"{base}/twin/ledger/calls")
        assert calls[0]["client-identifier"] == {"b": 1, "a": [2]}
        assert (calls[0]["flow-id"], calls[0]["times"]) == (FLOW, 1)
        assert calls[0]["request-ids"] == [request_id]
        _, requests = await admin("GET", f"{base}/twin/requests")
        assert (requests[0]["bytes"], requests[0]["accepted"], requests[0]["code"]) == (
            len(body(call({"b": 1, "a": [2]}))),
            1,
            202,
        )


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("cut", aiohttp.ClientOSError),
        ("wrong-length", aiohttp.ClientPayloadError),
        ("silence", TimeoutError),
    ],
)
async def test_broken_deliveries(fault: str, error: type[Exception]) -> None:
    """An abrupt end that reached the client as a tidy answer would test nothing."""
    async with served([{"fault": fault}]) as (twin, base):
        with pytest.raises(error):
            await post(base + twin.options.path, body(), seconds=0.5)
        assert twin.ledger.times_accepted(FLOW, b'"c-1"') == 1


@pytest.mark.parametrize(
    ("fault", "status", "readable"),
    [
        ("drip", 202, True),
        ("truncated", 202, False),
        ("malformed", 200, False),
        ("empty", 202, False),
        ("http-500", 500, False),
        ("code-500", 200, True),
        ("redirect", 307, False),
    ],
)
async def test_whole_deliveries(*, fault: str, status: int, readable: bool) -> None:
    """These arrive as valid HTTP, and only their body tells that something is wrong."""
    async with served([{"fault": fault}], drip_seconds=0.1) as (twin, base):
        seen, answer = await post(base + twin.options.path, body())
        assert seen == status
        with contextlib.nullcontext() if readable else pytest.raises(ValueError, match=r"."):
            json.loads(answer)


async def test_silence_ends_by_itself() -> None:
    """Silent connections that never end would eat a staging host's sockets."""
    async with served([{"fault": "silence"}], silence_seconds=0.1) as (twin, base):
        with pytest.raises(aiohttp.ClientOSError):
            await post(base + twin.options.path, body())


async def test_client_that_gave_up_is_acted_on_all_the_same() -> None:
    """A timeout at the client says nothing of the calls: this is the doubt we must handle."""
    async with served(latency_ms_min=1500, act_at="end") as (twin, base):
        with pytest.raises(TimeoutError):
            await post(base + twin.options.path, body(), seconds=1.0)
        assert twin.ledger.times_accepted(FLOW, b'"c-1"') == 0
        status, answer = await post(base + twin.options.path, body(call("c-2")))
        assert (status, json.loads(answer)["api-response-code"]) == (202, 202)
        assert twin.ledger.times_accepted(FLOW, b'"c-1"') == 1


async def test_half_a_body_never_arrives() -> None:
    """A request cut off in its body must not count as received."""
    async with served() as (twin, base):
        port = int(base.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST {twin.options.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n"
        writer.write(head.encode() + body()[:100])
        await writer.drain()
        writer.transport.abort()
        status, _ = await post(base + twin.options.path, body())
        assert status == 202
        assert twin.ledger.summary().requests == 1


async def test_faults_and_outages_at_run_time() -> None:
    """The demo switches its outage on and off here."""
    async with served() as (twin, base):
        url, faults = base + twin.options.path, f"{base}/twin/faults"
        status, shown = await admin("POST", faults, {"outages": [{"answer": "503"}]})
        assert (status, shown["script"]["outages"][0]["answer"]) == (200, "503")
        assert (await post(url, body()))[0] == 503
        assert (await admin("POST", faults, {"outages": [{"answer": "never"}]}))[0] == 400
        assert (await admin("POST", faults, {"switches": {"misspelt": 1}}))[0] == 400
        assert (await post(url, body()))[0] == 503
        assert (await admin("DELETE", faults))[0] == 200
        assert (await post(url, body()))[0] == 202
        assert (await admin("POST", f"{base}/twin/reset"))[0] == 200
        assert (await admin("GET", f"{base}/twin/ledger"))[1]["calls-accepted"] == 0
        assert (await admin("GET", f"{base}/twin/healthz"))[1] == {"status": "ok"}


async def test_followed_redirect_is_noticed() -> None:
    """A client that follows the provider's redirects posts calls to a stranger."""
    async with served([{"fault": "redirect"}]) as (twin, base):
        async with (
            aiohttp.ClientSession() as session,
            session.post(base + twin.options.path, data=body()) as response,
        ):
            assert response.status == 410
        assert twin.ledger.summary().redirects_followed == 1


async def test_stopping_does_not_wait_for_silence() -> None:
    """A twin that hangs on stop would hang the demo's Ctrl-C."""
    async with asyncio.timeout(10):
        async with served([{"fault": "silence"}]) as (twin, base):
            waiting = asyncio.create_task(post(base + twin.options.path, body(), seconds=60))
            while not (await admin("GET", f"{base}/twin/requests"))[1]:
                assert not waiting.done()
        with pytest.raises(aiohttp.ClientError):
            await waiting


async def start(*args: str) -> asyncio.subprocess.Process:
    """The command as a process of its own."""
    pipe = asyncio.subprocess.PIPE
    environment = os.environ | {"TWIN_SECURITY_ID": SECURITY_ID}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, *args, stdout=pipe, stderr=pipe, env=environment, cwd=ROOT
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_command(tmp_path: Path, number: signal.Signals) -> None:
    """The demo and operators wait for the one line, and read the ledger it leaves."""
    script, ledger = tmp_path / "script.yaml", tmp_path / "ledger.ndjson"
    script.write_text("rules: [{fault: 503, nth: 1}]\nswitches: {body-status: 4xx}\n")
    process = await start("--port", "0", "--script", str(script), "--ledger", str(ledger))
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().split()[-1]
    assert (await post(url, body()))[0] == 503
    assert (await post(url, body()))[0] == 202
    assert (await post(url, body(security_id="b" * 64)))[0] == 400
    process.send_signal(number)
    rest, errors = await process.communicate()
    assert (process.returncode, rest) == (0, b"")
    assert json.loads(ledger.read_text())["client-identifier"] == "c-1"
    assert SECURITY_ID.encode() not in errors
    assert b"919000000001" not in errors


@pytest.mark.parametrize("profile", ["bulk", "realtime", "dialer"])
async def test_a_scenario_by_its_name(profile: str) -> None:
    """Other teams hold their own client to the recorded scenarios, in their own profile."""
    scenario = read_scenario("code-205")
    process = await start("--port", "0", "--scenario", "code-205", "--profile", profile)
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().split()[-1]
    for data, code in zip(scenario.bodies(dt.datetime.now(dt.UTC)), (205, None, 205), strict=True):
        _, answer = await post(url, data.replace(b"0" * 64, SECURITY_ID.encode()))
        expected = code or (202 if profile == "bulk" else 200)
        assert json.loads(answer)["api-response-code"] == expected
    process.terminate()
    assert await process.wait() == 0


async def test_scenarios_are_listed() -> None:
    """Nobody plays what he cannot find."""
    process = await start("--list-scenarios")
    listed, errors = await process.communicate()
    lines = listed.decode().splitlines()
    assert (process.returncode, errors) == (0, b"")
    assert [line.split()[0] for line in lines] == scenario_names()
    assert all(line.endswith(".") for line in lines)


@pytest.mark.parametrize(
    "args",
    [
        ["--switch", "misspelt=1"],
        ["--switch", "excess"],
        ["--fault", "cut"],
        ["--fault", "cut=2"],
        ["--fault", "explode=0.1"],
        ["--latency-ms", "200-20"],
        ["--refuse", "nonsense"],
        ["--script", "/no/such/file"],
        ["--script", "."],
        ["--scenario", "no-such"],
        ["--scenario", "code-205", "--script", "x.yaml"],
    ],
)
async def test_wrong_usage_is_one_line(args: list[str]) -> None:
    """A traceback tells an operator nothing."""
    process = await start("--port", "0", *args)
    rest, errors = await process.communicate()
    assert (process.returncode, rest) == (2, b"")
    assert errors.decode().count("\n") == 1


async def test_port_in_use_is_one_line() -> None:
    """The commonest mistake of a second start."""
    async with served() as (_, base):
        process = await start("--port", base.rpartition(":")[2])
        _, errors = await process.communicate()
        assert process.returncode == 1
        assert errors.decode().count("\n") == 1
