"""The whole program as processes on real Kafka: crashes, handovers, odd events, wrong use."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest

from service.core.outcome_schemas import dead_letter_headers_schema, result_json_schema
from service.demo.evidence import TwinPages
from service.demo.processes import Process
from service.demo.stage import Dispatcher, Stage
from tests.support.kafka import Names, Topic, create_topics, produce, read_all

WAIT_SECONDS = 60.0
QUICK: dict[str, dict[str, Any]] = {
    "kafka": {"session_timeout_seconds": 3},
    "batching": {"linger_seconds": 0.1},
    "log": {"level": "debug"},
}
"""Short waits, so that a takeover takes seconds."""


def config(**more: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """`QUICK` with more fields by section."""
    return {name: {**QUICK.get(name, {}), **more.get(name, {})} for name in {*QUICK, *more}}


@asynccontextmanager
async def staged(kafka: str) -> AsyncIterator[Stage]:
    """A stage on the tests' broker, with topics of its own."""
    async with Stage("whole") as stage:
        stage.bootstrap = kafka
        yield stage


def event(number: int, **more: object) -> bytes:
    """A call of one of three flows."""
    return json.dumps(
        {
            "flow-id": f"Flow000{number % 3}",
            "client-identifier": f"customer-{number}",
            "contact-numbers": [f"98{number:08d}"],
            **more,
        }
    ).encode()


async def outcomes(stage: Stage) -> tuple[list[dict[str, Any]], list[Any]]:
    """Results as JSON, and dead letters as records."""
    topics = stage.names.topics
    results = await read_all(stage.bootstrap, topics["results"])
    dead = await read_all(stage.bootstrap, topics["dead_letters"])
    return [json.loads(record.value) for record in results], dead


async def ended(stage: Stage, count: int) -> tuple[list[dict[str, Any]], list[Any]]:
    """Wait until `count` events have an outcome."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            results, dead = await outcomes(stage)
            if len(results) + len(dead) >= count:
                return results, dead
            await asyncio.sleep(0.3)


async def until(condition: Callable[[], Any]) -> None:
    """Wait until an awaitable condition holds."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not await condition():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.2)


def reasons(dead: list[Any]) -> dict[int, str]:
    """Reason by the source's offset (one partition)."""
    headers = [dict(record.headers) for record in dead]
    return {int(one["__dlq.errors.offset"]): one["dispatch.reason"].decode() for one in headers}


async def page(dispatcher: Dispatcher, name: str) -> Any:
    """A page of the dispatcher as JSON."""
    url = f"{dispatcher.address.rstrip('/')}/{name}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return json.loads(await response.text())


async def one_partition(stage: Stage, settings: dict[str, str] | None = None) -> str:
    """The requests topic with a single partition."""
    topic = stage.names.topics["requests"]
    await create_topics(stage.bootstrap, {topic: Topic(1, settings or {})})
    return topic


async def test_kill_9_in_the_middle_loses_and_doubles_nothing(kafka: str) -> None:
    """A crash must cost time only: no customer is phoned twice, and none is forgotten."""
    async with staged(kafka) as stage:
        url = await stage.start_twin("--latency-ms", "300", "--seed", "1")
        topic = await one_partition(stage)
        more = config(
            provider={"timeout_seconds": 2, "calls_per_minute": 600_000},
            batching={"calls_max": 20},
        )
        count = 600
        await produce(kafka, topic, [event(number) for number in range(count)])
        first = await stage.start_dispatcher(url, more)
        async with TwinPages(url) as twin:

            async def under_way() -> bool:
                return (await twin.summary()).calls_accepted >= 60

            await until(under_way)
            os.kill(first.process.pid, signal.SIGKILL)
            await first.process.stop(1)
            second = await stage.start_dispatcher(url, more)
            results, dead = await ended(stage, count)
            placed = {(call.flow_id, call.identifier): call.times for call in await twin.placed()}
        assert dead == []
        assert sorted(result["source"]["offset"] for result in results) == list(range(count))
        assert len(placed) == count
        assert set(placed.values()) == {1}
        assert {result["attempts"] for result in results} >= {1, 2}
        await second.process.stop(20)
        assert second.process.exit_code == 0


async def test_sigterm_drains_and_hands_over_at_once(kafka: str) -> None:
    """A rolling restart must neither wait out a lease nor leave a call in doubt."""
    async with staged(kafka) as stage:
        url = await stage.start_twin("--latency-ms", "50")
        topic = await one_partition(stage)
        await produce(kafka, topic, [event(number) for number in range(30)])
        first = await stage.start_dispatcher(url, config())
        await ended(stage, 30)
        await first.process.stop(20)
        assert first.process.exit_code == 0
        log = first.process.log_file.read_text()
        assert '"lane_released"' in log
        await produce(kafka, topic, [event(number) for number in range(30, 60)])
        second = await stage.start_dispatcher(url, config())
        results, dead = await ended(stage, 60)
        assert (len(results), dead) == (60, [])
        assert {result["attempts"] for result in results} == {1}
        assert '"was_released": true' in second.process.log_file.read_text()


async def test_outcomes_are_as_the_contract_has_them(kafka: str) -> None:
    """Upstream and SREs join by these fields; one that is missing breaks somebody's work."""
    async with staged(kafka) as stage:
        url = await stage.start_twin(
            "--refuse", "number-ending=0007", "--switch", "refuse-as=batch"
        )
        topic = await one_partition(stage)
        good = [event(number) for number in range(20)]
        odd = [
            b"{",
            event(100, **{"start-tme": "2030-01-01T10:00:00"}),
            event(101, **{"start-time": "2001-01-01T10:00:00+05:30"}),
            event(102, **{"contact-numbers": ["98765XXXXX"]}),
        ]
        trace = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
        await produce(kafka, topic, good + odd, key=b"customer", headers=trace)
        dispatcher = await stage.start_dispatcher(url, config())
        results, dead = await ended(stage, 24)
        assert reasons(dead) == {
            7: "rejected",
            20: "invalid",
            21: "invalid",
            22: "expired",
            23: "invalid",
        }
        for result in results:
            jsonschema.validate(result, result_json_schema())
            assert result["source"]["topic"] == topic
        values = {20 + index: value for index, value in enumerate(odd)} | {7: good[7]}
        for record in dead:
            headers = {name: value.decode() for name, value in record.headers}
            jsonschema.validate(headers, dead_letter_headers_schema())
            assert record.value == values[int(headers["__dlq.errors.offset"])]
            assert record.key == b"customer"
            assert dict(record.headers)["traceparent"] == trace[0][1]
        written = await read_all(kafka, stage.names.topics["results"])
        assert all(record.key == b"customer" for record in written)
        assert all(list(record.headers) == trace for record in written)
        status = await page(dispatcher, "status")
        assert status["lanes"][0]["open-batches"] == 0


async def test_huge_events_end_as_one_dead_letter_each_and_the_lane_goes_on(kafka: str) -> None:
    """One producer's mistake must not stop everybody's calls."""
    async with staged(kafka) as stage:
        url = await stage.start_twin()
        topic = await one_partition(stage, {"max.message.bytes": "20000000"})
        large = event(1, keys=[{"name": "$flow.key.x", "value": "x" * 900_000}])
        huge = event(2, keys=[{"name": "$flow.key.x", "value": "y" * 8_000_000}])
        options: dict[str, Any] = {"compression_type": "gzip", "max_request_size": 20_000_000}
        await produce(kafka, topic, [event(0), large, huge, event(3)], **options)
        await produce(kafka, topic, [None], key=b"tombstone")
        await produce(kafka, topic, [event(4)])
        await stage.start_dispatcher(url, config())
        results, dead = await ended(stage, 6)
        assert sorted(result["source"]["offset"] for result in results) == [0, 3, 5]
        assert reasons(dead) == {1: "invalid", 2: "invalid", 4: "invalid"}
        by_offset = {int(dict(r.headers)["__dlq.errors.offset"]): r for r in dead}
        assert by_offset[1].value == large
        said = dict(by_offset[2].headers)
        assert by_offset[2].value is None
        assert said["dispatch.value-omitted"] == b"true"
        assert said["dispatch.value-bytes"] == str(len(huge)).encode()


async def test_no_secret_and_no_number_in_any_log_line(kafka: str) -> None:
    """Logs are read by more people than customers' numbers and the account's secret are for."""
    async with staged(kafka) as stage:
        url = await stage.start_twin("--refuse", "number-ending=0003", "--fault", "500-after=0.2")
        topic = await one_partition(stage)
        events = [event(number) for number in range(60)]
        events += [event(200, **{"contact-numbers": ["9876543210123456"]}), b'["9876543210"]']
        await produce(kafka, topic, events)
        dispatcher = await stage.start_dispatcher(
            url, config(provider={"timeout_seconds": 2}, batching={"calls_max": 10})
        )
        await ended(stage, 62)
        await dispatcher.process.stop(20)
        log = dispatcher.process.log_file.read_text()
        assert log.count("\n") > 30
        assert not [number for number in range(60) if f"98{number:08d}" in log]
        assert "9876543210" not in log
        assert "Traceback" not in log
        body_secret = (stage.directory / "dispatcher.yaml").read_text()
        assert "security_id" not in body_secret
        assert all(json.loads(line)["event"] for line in log.splitlines())


async def test_a_standby_takes_over_from_a_killed_owner(kafka: str) -> None:
    """With one lane the second replica is there for this hour."""
    async with staged(kafka) as stage:
        url = await stage.start_twin()
        topic = await one_partition(stage)
        more = config(provider={"timeout_seconds": 2})
        owner = await stage.start_dispatcher(url, more)
        await produce(kafka, topic, [event(0)])
        await ended(stage, 1)
        standby = await stage.start_dispatcher(url, more, name="standby")
        assert (await page(standby, "status"))["standby"] is True
        assert (await page(standby, "readyz"))["ready"] is True
        os.kill(owner.process.pid, signal.SIGKILL)
        await produce(kafka, topic, [event(1)])
        results, _ = await ended(stage, 2)
        assert len(results) == 2
        assert (await page(standby, "status"))["standby"] is False


async def run_to_end(tmp_path: Path, sections: dict[str, Any], *arguments: str) -> tuple[int, str]:
    """Run a command that is expected to end; returns its exit code and what it printed."""
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(sections))
    process = await Process.start(
        "command",
        (*arguments, "--config", str(path)),
        tmp_path / "log",
        {"DISPATCHER_PROVIDER__SECURITY_ID": "a1" * 32},
    )
    async with asyncio.timeout(WAIT_SECONDS):
        while process.exit_code is None:  # noqa: ASYNC110 - the process sets it
            await asyncio.sleep(0.1)
    return process.exit_code, (tmp_path / "log").read_text()


def sections(kafka: str, names: Names, **more: Any) -> dict[str, Any]:
    """A configuration as a file would have it."""
    topics = {field: names(field) for field in ("requests", "results", "checkpoints")}
    topics |= {"dead_letters": names("dlq"), "parked": names("parked")}
    topics |= {field: names(field) for field in ("overflow", "control", "replays")}
    return {
        "kafka": {"bootstrap_servers": kafka, "group_id": names("group"), "topics": topics},
        "provider": {"url": "http://127.0.0.1:9/kairos-apis/outbound/create"},
        "http": {"port": 0},
        **more,
    }


@pytest.mark.parametrize("command", [("run",), ("topics", "create")])
async def test_a_broker_that_is_not_there_is_one_line(
    names: Names, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """An operator's error is one line, never a traceback."""
    code, said = await run_to_end(tmp_path, sections("127.0.0.1:1", names), *command)
    assert code == 1
    assert said.count("\n") == 1
    assert said.startswith("error: ")
    assert "127.0.0.1:1" in said


async def test_a_missing_topic_is_one_line_that_names_the_way_out(
    kafka: str, names: Names, tmp_path: Path
) -> None:
    """`run` must not make topics that nobody asked for."""
    code, said = await run_to_end(tmp_path, sections(kafka, names), "run")
    assert code == 1
    assert "call-dispatcher topics create" in said
    assert "Traceback" not in said


async def test_lanes_added_by_hand_stop_the_lane_with_the_way_out(
    kafka: str, tmp_path: Path
) -> None:
    """A bare --alter would let two lanes read one partition."""
    async with staged(kafka) as stage:
        url = await stage.start_twin()
        dispatcher = await stage.start_dispatcher(url, config())
        await dispatcher.process.stop(20)
        more = sections(kafka, Names())
        more["kafka"] |= {"group_id": stage.names.prefix, "topics": stage.names.topics}
        code, _ = await run_to_end(tmp_path, more, "topics", "create", "--lanes", "2", "--migrate")
        assert code == 0
        code, said = await run_to_end(tmp_path, more, "topics", "create", "--lanes", "1")
        assert code == 1
        assert "can only grow" in said


@pytest.mark.parametrize(
    ("section", "value", "named"),
    [
        ("kafka", {"group": "x"}, "kafka.group"),
        ("tracing", {"enabled": True}, "tracing.enabled"),
    ],
)
async def test_what_is_wrong_or_not_obeyed_is_refused(
    names: Names, tmp_path: Path, section: str, value: dict[str, Any], named: str
) -> None:
    """A setting that was ignored would break a promise that somebody relies on."""
    wrong = sections("127.0.0.1:1", names)
    wrong[section] = {**wrong.get(section, {}), **value}
    code, said = await run_to_end(tmp_path, wrong, "run")
    assert code == 2
    assert named in said
    assert "Traceback" not in said
