"""Commands over HTTP: who may give them, what is refused, what stands in the control topic then."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from service.adapters.kafka.broker import KafkaBroker
from service.adapters.kafka.control import KafkaControl
from service.adapters.kafka.topics import ensure_topics
from service.adapters.web import WebControl, WebServer
from service.core.control import CallsCancelled, HoldReleased, HoldSet, LimitSet, decode
from service.settings import Settings
from tests.contracts.seen import TOKEN, WELL, Got
from tests.support.kafka import Names, produce, read_all
from tests.support.settings import settings_for

AUTHORISED = {"Authorization": f"Bearer {TOKEN}"}
NOWHERE = "127.0.0.1:1"
HOLD = {"scope": "flow", "name": "AbCd1234", "reason": "wrong list"}
COMMANDS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/holds", HOLD),
    ("DELETE", "/holds/flow/AbCd1234", None),
    ("POST", "/calls/cancel", {"flow-id": "AbCd1234"}),
    ("PUT", "/limit", {"calls-per-minute": 1000}),
    ("DELETE", "/limit", None),
]


def settings_of(bootstrap: str, names: Names, **http: Any) -> Settings:
    """A configuration that listens on a free port."""
    return settings_for(bootstrap, names, http={"port": 0, "token": TOKEN, **http})


@contextlib.asynccontextmanager
async def commanded(settings: Settings) -> AsyncIterator[str]:
    """A server that takes commands; its address."""
    control = KafkaControl(settings, KafkaBroker(settings, "test"))
    routes = WebControl(settings, control, {"default", "0a1b2c3d"}).routes()
    server = WebServer(settings, lambda: WELL, CollectorRegistry(), routes)
    await server.start()
    try:
        yield server.address
    finally:
        await server.stop()


async def send(
    url: str,
    method: str,
    body: Any = None,
    headers: Mapping[str, str] = AUTHORISED,
) -> Got:
    """One request; a body that is no text goes as JSON."""
    data = body if isinstance(body, str | bytes | None) else json.dumps(body)
    typed = {"Content-Type": "application/json"} if data is not None else {}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, data=data, headers={**typed, **headers}) as response,
    ):
        return Got(response, await response.text())


def refused(got: Got, status: int, *words: str) -> None:
    """It is one line of JSON that holds `words`."""
    assert got.status == status, got.text
    assert list(got.json) == ["error"]
    assert "\n" not in got.json["error"]
    assert [word for word in words if word not in got.json["error"]] == [], got.text
    assert TOKEN not in got.text


@pytest.mark.parametrize(("method", "path", "body"), COMMANDS)
async def test_commands_are_off_while_no_token_is_set(
    names: Names, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """By default nobody who reaches the port may stop calls; who wants it is told how."""
    async with commanded(settings_of(NOWHERE, names, token=None)) as address:
        refused(await send(address + path, method, body), 403, "http.token")
        refused(await send(address + path, method, body, {"Authorization": "Bearer "}), 403)


@pytest.mark.parametrize(("method", "path", "body"), COMMANDS)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}"],
)
async def test_only_the_token_opens(
    names: Names,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    authorization: str | None,
) -> None:
    """A command stops a business: a part of the token, or another scheme, is not enough."""
    headers = {} if authorization is None else {"Authorization": authorization}
    async with commanded(settings_of(NOWHERE, names)) as address:
        got = await send(address + path, method, body, headers)
    refused(got, 401, "Authorization: Bearer")
    assert got.headers["WWW-Authenticate"] == "Bearer"
    assert not [name for name in got.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/holds", "no json", 400, "the body cannot be read"),
        ("POST", "/holds", "", 400, "the body cannot be read"),
        ("POST", "/holds", "[]", 400, "the body cannot be read"),
        ("POST", "/holds", b"\xff\xfe", 400, "the body cannot be read"),
        ("POST", "/holds", {"scope": "flow", "name": "AbCd1234"}, 400, "reason: is required"),
        ("POST", "/holds", {**HOLD, "reason": "a\nb"}, 400, "control characters"),
        ("POST", "/holds", {**HOLD, "name": "AbCd"}, 400, "8 ASCII letters and digits"),
        ("POST", "/holds", {**HOLD, "scope": "lane"}, 400, "scope"),
        ("POST", "/holds", {**HOLD, "scope": "account"}, 400, "known are 0a1b2c3d, default"),
        ("POST", "/holds", {**HOLD, "for": "1h"}, 400, "for"),
        ("POST", "/holds", {"scope": "account", "reason": "all"}, 400, "name"),
        ("POST", "/holds", {**HOLD, "reason": "x" * 5000}, 413, "too large"),
        ("DELETE", "/holds/lane/0", None, 400, "flow or account"),
        ("DELETE", "/holds/flow/AbCd", None, 400, "8 ASCII letters and digits"),
        ("DELETE", "/holds/account/nobody", None, 400, "known are"),
        ("POST", "/calls/cancel", {"flow-id": "x"}, 400, "8 ASCII letters and digits"),
        ("POST", "/calls/cancel", {"flow": "AbCd1234"}, 400, "flow"),
        ("POST", "/calls/cancel", {"flow-id": "AbCd1234", "before": "soon"}, 400, "ISO 8601"),
        ("POST", "/calls/cancel", {"flow-id": "AbCd1234", "before": "2999-01-01T00:00Z"}, 400, ""),
        ("PUT", "/limit", {"calls-per-minute": "1000"}, 400, "calls-per-minute"),
        ("PUT", "/limit", {"calls-per-minute": 1e300}, 400, "calls-per-minute"),
    ],
)
async def test_what_cannot_be_obeyed_is_one_line_and_reaches_no_topic(
    names: Names, method: str, path: str, body: Any, status: int, words: str
) -> None:
    """Half of a command is worse than none: there is no broker here, and none is asked."""
    async with commanded(settings_of(NOWHERE, names)) as address:
        refused(await send(address + path, method, body), status, words)


async def test_a_form_of_another_site_is_refused(names: Names) -> None:
    """Even with the token a body must be what no HTML form can send."""
    form = {**AUTHORISED, "Content-Type": "text/plain"}
    async with commanded(settings_of(NOWHERE, names)) as address:
        refused(await send(f"{address}/holds", "POST", HOLD, form), 415, "application/json")
        preflight = await send(f"{address}/holds", "OPTIONS", None, {"Origin": "http://a.example"})
    assert preflight.status == 405
    assert "Access-Control-Allow-Origin" not in preflight.headers


async def test_a_broker_that_is_away_is_said(names: Names) -> None:
    """The operator must not believe that a command was given."""
    async with commanded(settings_of(NOWHERE, names)) as address:
        refused(await send(f"{address}/limit", "DELETE"), 503, "Kafka cannot be reached")


async def test_more_commands_than_a_person_gives_are_put_off(names: Names) -> None:
    """A script gone wild must not take the sending process's memory and connections."""
    headers = {**AUTHORISED, "Content-Length": "100"}
    async with commanded(settings_of(NOWHERE, names)) as address:
        host, port = address.removeprefix("http://").split(":")
        lines = [f"{name}: {value}" for name, value in headers.items()]
        text = "\r\n".join(["POST /holds HTTP/1.1", "Host: x", *lines, "\r\n"])
        text = text.replace("\r\n\r\n", "\r\nContent-Type: application/json\r\n\r\n")
        slow = []
        for _ in range(8):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(text.encode())
            slow.append((reader, writer))

        got = await send(f"{address}/holds", "POST", "x")
        async with asyncio.timeout(4):
            while got.status == 400:  # Not all of the slow ones have arrived.
                got = await send(f"{address}/holds", "POST", "x")
        refused(got, 503, "try again")
        assert got.headers["Retry-After"] == "1"
        assert "408" in (await slow[0][0].readline()).decode()
        for _, writer in slow:
            writer.close()
        refused(await send(f"{address}/holds", "POST", "x"), 400)


async def test_commands_stand_in_the_control_topic(kafka: str, names: Names) -> None:
    """What was answered with 202 is there for every lane, under the id that was answered."""
    settings = settings_of(kafka, names)
    await ensure_topics(settings, {"bootstrap_servers": kafka}, lanes=2, create=True)
    topics = settings.kafka.topics
    await produce(kafka, topics.requests, [b"1", b"2", b"3"], partition=4)
    async with commanded(settings) as address:
        answers = [await send(address + path, method, body) for method, path, body in COMMANDS]
        small = await send(f"{address}/limit", "PUT", {"calls-per-minute": 999})
    assert [(got.status, list(got.json)) for got in answers] == [(202, ["id"])] * len(COMMANDS)
    refused(small, 400, "over 2 lanes is a share of 499", "1000 is the least")
    records = await read_all(kafka, topics.control)
    assert [record.key.decode() for record in records] == [got.json["id"] for got in answers]
    hold, release, cancel, limit, reset = (decode(record.value) for record in records)
    assert isinstance(hold, HoldSet)
    assert (hold.scope, hold.name, hold.reason) == ("flow", "AbCd1234", "wrong list")
    assert hold.who == "http 127.0.0.1"
    assert isinstance(release, HoldReleased)
    assert (release.scope, release.name) == ("flow", "AbCd1234")
    assert isinstance(cancel, CallsCancelled)
    assert (cancel.flow_id, cancel.ends) == ("AbCd1234", {0: 0, 1: 0, 2: 0, 3: 0, 4: 3, 5: 0})
    assert isinstance(limit, LimitSet)
    assert isinstance(reset, LimitSet)
    assert (limit.calls_per_minute, reset.calls_per_minute) == (1000, None)


async def test_a_request_may_be_repeated_under_its_name(kafka: str, names: Names) -> None:
    """A client that lost the answer sends again; the release that came between must stand."""
    settings = settings_of(kafka, names)
    await ensure_topics(settings, {"bootstrap_servers": kafka}, lanes=None, create=True)
    named = {**AUTHORISED, "Idempotency-Key": "night-1"}
    async with commanded(settings) as address:
        first = await send(f"{address}/holds", "POST", HOLD, named)
        await send(f"{address}/holds/flow/AbCd1234", "DELETE")
        again = await send(f"{address}/holds", "POST", {**HOLD, "reason": "again"}, named)
        other = await send(f"{address}/limit", "DELETE", None, named)
        odd = await send(f"{address}/limit", "DELETE", None, {**AUTHORISED, "Idempotency-Key": "é"})
    assert (first.status, again.status) == (202, 202)
    assert first.json == again.json == {"id": "night-1"}
    refused(other, 400, "night-1 was given to another command")
    refused(odd, 400, "id: ")
    assert len(await read_all(kafka, settings.kafka.topics.control)) == 2
