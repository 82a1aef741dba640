"""Operators' commands and running dispatchers: what is stopped, started, cancelled, limited."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import aiohttp

from tests.support.dispatcher import Scene, call, log_lines, scene, the_lane, until

TOKEN = "token-of-the-operators"
CREATE: dict[str, Any] = {"create_topics": True}


async def held(stage: Scene) -> list[dict[str, Any]]:
    """What `holds list` says."""
    code, said = await stage.command("holds", "list", "--output", "json")
    assert code == 0, said
    return list(json.loads(said)["holds"])


async def test_a_flow_is_stopped_and_started_while_others_go_on(kafka: str) -> None:
    """The wrong campaign at three in the morning: one command, seconds, and nothing is lost."""
    async with scene(kafka, kafka=CREATE) as stage:
        dispatcher = await stage.run()
        code, said = await stage.command(
            "holds", "set", "--flow", "Flow0001", "--reason", "wrong list"
        )
        assert (code, said.splitlines()[-1]) == (0, "applied by all lanes")
        await stage.publish([call(number, "Flow0001") for number in range(10)])
        await stage.publish([call(number) for number in range(10, 20)])
        await stage.placed_calls(10)
        (row,) = await held(stage)
        assert (row["scope"], row["name"], row["reason"]) == ("flow", "Flow0001", "wrong list")
        assert (row["lanes"], row["setting"]) == ([0], [])
        assert row["until"] == "holds release --flow Flow0001"
        (applied,) = log_lines(dispatcher, "command_applied")
        assert "wrong list" in str(applied)
        assert (await stage.twin.summary()).calls_accepted == 10
        code, said = await stage.command("holds", "release", "--flow", "Flow0001")
        assert (code, said.splitlines()[-1]) == (0, "applied by all lanes")
        assert await held(stage) == []
        await stage.settled()


async def test_a_hold_set_before_the_start_stops_the_first_call(kafka: str) -> None:
    """A dispatcher that is restarted to be safe must not send what was stopped."""
    async with scene(kafka, kafka=CREATE) as stage:
        assert (await stage.command("topics", "create"))[0] == 0
        code, said = await stage.command("holds", "set", "--account", "--reason", "stop all")
        assert code == 0
        assert "lane 0: no replica owns it" in said
        await stage.publish([call(number) for number in range(10)])
        dispatcher = await stage.run()

        async def waiting() -> bool:
            lane = await the_lane(dispatcher)
            return bool(lane.get("waiting-calls") or lane.get("parked-calls"))

        await until(waiting)
        assert (await stage.twin.summary()).calls_accepted == 0
        assert [(row["name"], row["lanes"]) for row in await held(stage)] == [("*", [0])]
        assert (await stage.command("holds", "release", "--account"))[0] == 0
        await stage.settled()


async def test_cancelled_calls_are_dead_letters_and_later_ones_are_called(kafka: str) -> None:
    """Cancelling must end at the moment of the command: what is published then is meant."""
    async with scene(kafka, kafka=CREATE) as stage:
        await stage.run()
        assert (await stage.command("holds", "set", "--flow", "Flow0001", "--reason", "x"))[0] == 0
        await stage.publish([call(number, "Flow0001") for number in range(10)], "cancelled")
        await stage.publish([call(number) for number in range(10, 20)])
        code, said = await stage.command("calls", "cancel", "--flow", "Flow0001", "--yes")
        assert (code, said.splitlines()[-1]) == (0, "applied by all lanes")
        await stage.publish([call(number, "Flow0001") for number in range(20, 30)])
        assert (await stage.command("holds", "release", "--flow", "Flow0001"))[0] == 0
        await stage.settled()
        assert (await stage.twin.summary()).calls_accepted == 20


async def test_the_limit_is_changed_while_it_runs(kafka: str) -> None:
    """A provider that asks to go slower at once cannot wait for a deployment."""
    small = {"calls_max": 10}
    async with scene(kafka, kafka=CREATE, batching=small) as stage:
        dispatcher = await stage.run()

        async def limit() -> int:
            return int((await the_lane(dispatcher))["calls-per-minute"])

        async def owned() -> bool:
            return await limit() == 30_000

        await until(owned)
        code, said = await stage.command("limit", "set", "600")
        assert (code, said.splitlines()[-1]) == (0, "applied by all lanes")
        assert await limit() == 600
        assert (await stage.command("limit", "reset"))[0] == 0
        assert await limit() == 30_000


async def test_an_owner_that_does_not_apply_a_command_is_named(kafka: str) -> None:
    """The command line must not say that a campaign is stopped while a stuck replica may send."""
    async with scene(kafka, kafka=CREATE) as stage:
        dispatcher = await stage.run()
        await stage.publish([call(1)])
        await stage.settled()
        os.kill(dispatcher.process.pid, signal.SIGSTOP)
        try:
            code, said = await stage.command(
                "holds", "set", "--account", "--reason", "x", "--wait", "1"
            )
        finally:
            os.kill(dispatcher.process.pid, signal.SIGCONT)
        assert code == 1, said
        assert said.splitlines()[-1].startswith("error: lane 0 did not apply it within 1 s")

        async def applied() -> bool:
            return [row["lanes"] for row in await held(stage)] == [[0]]

        await until(applied)


async def test_commands_over_http_reach_the_lanes(kafka: str) -> None:
    """Who has no shell on the machine stops a campaign from the operators' page."""
    async with scene(kafka, kafka=CREATE, http={"token": TOKEN}) as stage:
        dispatcher = await stage.run()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(dispatcher.address, headers=headers) as session:
            body = {"scope": "flow", "name": "Flow0001", "reason": "wrong list"}
            async with session.post("/holds", json=body) as answer:
                assert answer.status == 202
                command_id = (await answer.json())["id"]

            async def stopped() -> bool:
                return [hold["name"] for hold in (await the_lane(dispatcher))["holds"]] == [
                    "Flow0001"
                ]

            await until(stopped)
            assert [row["by"] for row in await held(stage)] == ["http 127.0.0.1"]
            applied = log_lines(dispatcher, "command_applied")
            assert [command_id in str(line) for line in applied] == [True]
            async with session.delete("/holds/flow/Flow0001") as answer:
                assert answer.status == 202
            await stage.publish([call(1, "Flow0001")])
            await stage.settled()
        assert TOKEN not in dispatcher.process.log_file.read_text()
