"""The HTTP side over real connections, and the `status` command that reads it."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from service.adapters.web import WebServer
from service.core.status import Status
from service.errors import ConfigurationError
from tests.contracts.seen import (
    FLOW_SECURITY_ID,
    HOST,
    SECURITY_ID,
    TOKEN,
    WELL,
    get,
    lane_of,
    served,
    settings_of,
    status_of,
)


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


async def test_a_dispatcher_without_a_provider_is_ready_and_says_so() -> None:
    """At 3 a.m. a green probe and no calls must not leave the cause to guessing."""
    reason = "the provider cannot be reached: NOT_SENT: connection refused"
    lane = replace(lane_of(), pause=reason, paused_seconds=1.5)
    async with served(status_of(lane)) as address:
        got = await get(f"{address}/readyz")
    assert got.status == 200
    assert got.json["pauses"] == [{"lane": lane.lane, "reason": reason, "seconds": 1.5}]


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


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/readyz", "/status", "/nowhere"])
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
