"""Ends and beginnings of `run`: nothing may be lost or doubled, and nobody waits without need."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from tests.support.dispatcher import call, kill, log_lines, logged, page, scene, the_lane, until

ID_OLD = "Old" + "0123456789" * 6 + "a"
ID_NEW = "New" + "0123456789" * 6 + "b"
LONG_SESSION_SECONDS = 30
"""Its lease is 26 s: whoever waits for it is found out."""
NO_LEASE_SECONDS = 15.0


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


@pytest.mark.parametrize("remembers", [True, False])
async def test_a_batch_in_flight_survives_a_crash_and_a_new_security_id(
    kafka: str, *, remembers: bool
) -> None:
    """Its bytes hold the old secret: other bytes would call everybody a second time."""
    twin = ("--security-id", ID_OLD, "--security-id", ID_NEW)
    async with scene(kafka, *twin) as stage:
        await stage.twin.program([{"fault": "silence-after"}])
        expected = "accepted" if remembers else "unconfirmed"
        await stage.publish([call(number) for number in range(20)], expected)
        first = await stage.run(flows={"Flow0000": {"security_id": ID_OLD}})
        await stage.placed_calls(20)
        await kill(first)
        await stage.twin.program([])
        second = await stage.run(
            "successor",
            provider={"previous_security_ids": [ID_OLD] if remembers else []},
            flows={"Flow0000": {"security_id": ID_NEW}},
        )
        await stage.settled()
        assert log_lines(second, "lane_owned")[0]["recovered_batches"] == 1
        results = (await stage.results()).values()
        assert {(one["confirmation"], one["api-response-code"]) for one in results} == (
            {("checksum", 201)} if remembers else set()
        )
        assert len({seen.sha256 for seen in await stage.twin.requests()}) == 1


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
