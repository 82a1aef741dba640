"""Ends and beginnings of `run`: nothing may be lost or doubled, and nobody waits without need."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import time
from typing import Any

import pytest

from service.pipeline.turns import lease_seconds
from service.settings.kafka import KafkaSettings
from tests.support.dispatcher import (
    Scene,
    call,
    kill,
    log_lines,
    logged,
    page,
    scene,
    the_lane,
    until,
)
from tests.support.operator import delete_records

ID_OLD = "Old" + "0123456789" * 6 + "a"
ID_NEW = "New" + "0123456789" * 6 + "b"
LONG_SESSION_SECONDS = 30
"""Its lease is 26 s: whoever waits for it is found out."""
NO_LEASE_SECONDS = 15.0
SHORT_SESSION = {"session_timeout_seconds": 3}
SESSION_SECONDS: int = KafkaSettings.model_fields["session_timeout_seconds"].default
"""As it is unless somebody configures it."""


async def test_sigterm_awaits_answers_and_its_successor_waits_for_no_lease(kafka: str) -> None:
    """A rolling restart under load leaves no call in doubt, and costs no half minute."""
    long_session: dict[str, Any] = {
        "kafka": {"session_timeout_seconds": LONG_SESSION_SECONDS},
        "provider": {"timeout_seconds": 20, "concurrency": 4},
        "batching": {"calls_max": 10},
    }
    async with scene(kafka, "--latency-ms", "700", **long_session) as stage:
        await stage.publish([call(number, f"Flow000{number % 3}") for number in range(300)])
        first = await stage.run()
        await stage.placed_calls(30)
        await first.process.stop(20)
        assert first.process.exit_code == 0
        assert log_lines(first, "lane_released")
        placed = (await stage.twin.summary()).calls_accepted
        assert placed < 300, "it was to be stopped in the middle"
        assert len(await stage.results()) == placed
        async with asyncio.timeout(NO_LEASE_SECONDS):
            second = await stage.run("successor")
            await stage.placed_calls(placed + 1)
        found = await stage.settled()
        assert found.accepted == 300
        (owned,) = log_lines(second, "lane_owned")
        assert owned["was_released"]
        assert {each["attempts"] for each in (await stage.results()).values()} == {1}


async def test_kill_9_in_the_middle_loses_and_doubles_nothing(kafka: str) -> None:
    """A crash must cost time only: no customer is phoned twice, and none is forgotten."""
    config: dict[str, Any] = {"kafka": SHORT_SESSION, "batching": {"calls_max": 20}}
    async with scene(kafka, "--latency-ms", "300", "--seed", "1", **config) as stage:
        await stage.publish([call(number, f"Flow000{number % 3}") for number in range(600)])
        first = await stage.run()
        await stage.placed_calls(60)
        await kill(first)
        second = await stage.run("successor")
        found = await stage.settled()
        assert found.accepted == 600
        assert {each["attempts"] for each in (await stage.results()).values()} >= {1, 2}
        await second.process.stop(20)
        assert second.process.exit_code == 0


async def killed_in_flight(stage: Scene, calls: list[dict[str, Any]], outcome: str) -> None:
    """A batch of these calls has reached the provider, whose answer nobody has heard."""
    await stage.twin.program([{"fault": "silence-after"}])
    await stage.publish(calls, outcome)
    first = await stage.run(flows={"Flow0000": {"security_id": ID_OLD}})
    await stage.placed_calls(len(calls))
    await kill(first)


async def test_a_batch_in_flight_survives_two_crashes_and_a_new_configuration(kafka: str) -> None:
    """Its bytes hold old secret, zone and form: others would call everybody a second time."""
    twin = ("--security-id", ID_OLD, "--security-id", ID_NEW)
    new: dict[str, dict[str, Any]] = {
        "provider": {
            "previous_security_ids": [ID_OLD],
            "number_format": "e164",
            "foreign_numbers": "refuse",
            "time_zone": "UTC",
            "correlation_key": "$flow.key.reference",
            "timeout_seconds": 3,
        },
        "flows": {"Flow0000": {"security_id": ID_NEW}},
    }
    noon = dt.date.today() + dt.timedelta(days=2)  # noqa: DTZ011 - a time without a zone is meant
    calls = [call(number, start_time=f"{noon}T12:00:00") for number in range(20)]
    calls.append(call(20, contact_numbers=["+6581234567"]))
    async with scene(kafka, *twin, kafka=SHORT_SESSION) as stage:
        await killed_in_flight(stage, calls, "accepted")
        second = await stage.run("second", **new)
        await until(lambda: arrived(stage, 2))
        await kill(second)
        third = await stage.run("third", **new)
        await until(lambda: logged(third, "lane_owned"))
        await stage.twin.program([])
        await stage.settled()
        assert log_lines(third, "lane_owned")[0]["recovered_batches"] == 1
        results = (await stage.results()).values()
        told = {(one["confirmation"], one["api-response-code"], one["attempts"]) for one in results}
        assert told == {("checksum", 201, 3)}
        assert len({seen.sha256 for seen in await stage.twin.requests()}) == 1


@pytest.mark.parametrize("gone", ["secret", "records"])
async def test_a_batch_that_cannot_be_made_again_is_given_up_unsent(kafka: str, gone: str) -> None:
    """Other bytes would be other calls: whoever was in it is looked up, never phoned twice."""
    twin = ("--security-id", ID_OLD, "--security-id", ID_NEW)
    async with scene(kafka, *twin, kafka=SHORT_SESSION) as stage:
        await killed_in_flight(stage, [call(number) for number in range(20)], "unconfirmed")
        if gone == "records":
            await delete_records(kafka, stage.requests, 0, 10)
        await stage.twin.program([])
        secret = ID_NEW if gone == "secret" else ID_OLD
        second = await stage.run("second", flows={"Flow0000": {"security_id": secret}})
        await stage.settled()
        assert log_lines(second, "lane_owned")[0]["recovered_batches"] == 1
        assert len(await stage.twin.requests()) == 1
        dead = await stage.dead_letters()
        omitted = {at: "dispatch.value-omitted" in dict(each.headers) for at, each in dead.items()}
        assert omitted == {at: gone == "records" and at < 10 for at in range(20)}


async def arrived(stage: Scene, count: int) -> bool:
    """Whether so many requests have come to the provider; for `until`."""
    return len(await stage.twin.requests()) >= count


@pytest.mark.parametrize(
    ("end", "seconds_max"),
    [
        (signal.SIGTERM, 3.0),
        (signal.SIGKILL, SESSION_SECONDS + lease_seconds(SESSION_SECONDS) + 5.0),
    ],
)
async def test_fresh_calls_go_out_soon_after_an_owners_end(
    kafka: str, end: signal.Signals, seconds_max: float
) -> None:
    """The standby is there for this: a campaign must not stand still for longer than promised."""
    as_configured: dict[str, Any] = {"session_timeout_seconds": SESSION_SECONDS}
    async with scene(kafka, "--latency-ms", "50", kafka=as_configured) as stage:
        owner = await stage.run()
        await until(lambda: logged(owner, "lane_owned"))
        standby = await stage.run("standby")
        assert (await page(standby, "status"))[1]["standby"]
        assert (await page(standby, "readyz"))[0] == 200
        await stage.publish([call(number, f"Flow000{number % 3}") for number in range(300)])
        await stage.placed_calls(1)
        began = time.time()
        os.kill(owner.process.pid, end)
        await stage.publish([call(1000, "Fresh000")])
        await stage.settled()
        fresh = [seen.at for seen in await stage.twin.requests() if seen.flow_id == "Fresh000"]
        assert min(fresh) - began < seconds_max
        assert not (await page(standby, "status"))[1]["standby"]


async def test_a_frozen_owner_that_goes_on_is_replaced_and_sends_nothing(kafka: str) -> None:
    """A paused virtual machine wakes with sealed batches in its hands, and a successor at work."""
    config: dict[str, Any] = {"batching": {"calls_max": 10}, "provider": {"concurrency": 2}}
    async with scene(kafka, "--latency-ms", "300", **config) as stage:
        owner = await stage.run()
        standby = await stage.run("standby")
        assert (await page(standby, "status"))[1]["standby"]
        await stage.publish([call(number, f"Flow000{number % 5}") for number in range(400)])
        await stage.placed_calls(50)
        os.kill(owner.process.pid, signal.SIGSTOP)
        try:
            assert (await stage.twin.summary()).calls_accepted < 300
            await until(lambda: logged(standby, "lane_owned"))
        finally:
            os.kill(owner.process.pid, signal.SIGCONT)
        await stage.settled()

        async def stands_by() -> bool:
            return bool((await page(owner, "status"))[1]["standby"])

        await until(stands_by)
        assert not log_lines(standby, "lane_dropped"), "a single lane is not handed back"
        await stage.publish([call(number) for number in range(400, 430)])
        await stage.settled()
        assert (await the_lane(standby))["state"] == "owned"
        await standby.process.stop(20)
        await stage.publish([call(430)])
        await stage.settled()
        assert (await the_lane(owner))["state"] == "owned"
        await owner.process.stop(20)
        for dispatcher in (owner, standby):
            assert dispatcher.process.exit_code == 0
            assert "Traceback" not in dispatcher.process.log_file.read_text()


async def test_two_lanes_move_to_the_survivor_and_back(kafka: str) -> None:
    """With more lanes than one, a lost replica's lanes must not stand still."""
    config: dict[str, Any] = {"batching": {"calls_max": 10}}
    async with scene(kafka, partitions=3, **config) as stage:
        assert (await stage.command("topics", "create", "--lanes", "2"))[0] == 0
        await stage.publish([call(number, f"Flow000{number % 5}") for number in range(100)])
        first = await stage.run()
        await stage.settled()
        assert [lane["lane"] for lane in (await page(first, "status"))[1]["lanes"]] == [0, 1]
        second = await stage.run("second")

        async def shared() -> bool:
            pages = [(await page(one, "status"))[1]["lanes"] for one in (first, second)]
            return all(len(lanes) == 1 and lanes[0]["state"] == "owned" for lanes in pages)

        await until(shared)
        await kill(first)
        await stage.publish([call(number, f"Flow000{number % 5}") for number in range(100, 200)])
        await stage.settled()
        assert len((await page(second, "status"))[1]["lanes"]) == 2
        await second.process.stop(20)
        assert second.process.exit_code == 0
