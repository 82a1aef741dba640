"""`dead-letters replay` on real Kafka: what is planned, what is sent, and that it is sent once."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.core.origin import HEADERS
from service.demo.processes import Process
from tests.support.dispatcher import Scene, call, command, ended, scene, until
from tests.support.kafka import Names, read_all
from tests.support.past import Past, Turn, event, without_progress
from tests.support.settings import SECURITY_ID, sections_of, settings_for

SESSION_SECONDS = 6
PAST = "2020-01-01T09:00:00+05:30"


class Operator:
    """Somebody with a shell, and a past with dead letters."""

    def __init__(self, past: Past, directory: Path) -> None:
        self.past = past
        self.directory = directory
        self._plans = 0

    @property
    def sections(self) -> dict[str, Any]:
        """The configuration."""
        return sections_of(self.past.settings)

    async def __call__(self, *arguments: str) -> tuple[int, str]:
        """Exit code, and what was printed."""
        whole = ("dead-letters", "replay", *arguments)
        code, said = await command(self.directory, whole, self.sections)
        return code, without_progress(said)

    async def plan(self, *arguments: str) -> dict[str, Any]:
        """A new plan, as JSON."""
        self._plans += 1
        path = self.directory / f"{self._plans}.plan"
        code, said = await self("--plan", str(path), "--output", "json", *arguments)
        assert code == 0, said
        whole: dict[str, Any] = json.loads(said)
        return whole

    async def execute(self, plan: dict[str, Any], *arguments: str) -> dict[str, Any]:
        """Execute a plan to its end."""
        rate = arguments or ("--rate", "5000")
        code, said = await self("--execute", plan["plan"], "--output", "json", *rate)
        assert code == 0, said
        whole: dict[str, Any] = json.loads(said.splitlines()[-1])
        return whole

    async def began(self, plan: dict[str, Any], rate: int) -> Process:
        """Begin to execute a plan."""
        config = self.directory / "execute.yaml"
        config.write_text(yaml.safe_dump(self.sections))
        arguments = ("dead-letters", "replay", "--execute", plan["plan"], "--rate", str(rate))
        return await Process.start(
            "replay",
            (*arguments, "--config", str(config)),
            self.directory / "execute.log",
            {"DISPATCHER_PROVIDER__SECURITY_ID": SECURITY_ID},
        )

    async def replayed(self) -> list[Any]:
        """Records of the requests that a replay wrote."""
        records = await read_all(
            self.past.settings.kafka.bootstrap_servers, self.past.topics.requests
        )
        return [one for one in records if "dispatch.replay-id" in dict(one.headers)]

    async def origins(self) -> Counter[int]:
        """How often each first life was sent again, by its offset."""
        records = await self.replayed()
        return Counter(int(dict(one.headers)["dispatch.origin-offset"]) for one in records)


@pytest.fixture
async def operator(kafka: str, names: Names, tmp_path: Path) -> AsyncIterator[Operator]:
    """Somebody, and no event yet."""
    past = Past(settings_for(kafka, names, kafka={"session_timeout_seconds": SESSION_SECONDS}))
    await past.begin()
    yield Operator(past, tmp_path)
    await past.end()


async def fail(past: Past, values: list[bytes], reason: str) -> list[int]:
    """Events that end so; returns their offsets."""
    headers = [("traceparent", b"00-aa-bb-01"), ("who", b"Asha"), ("who", b"Ravi")]
    offsets = await past.publish(values, headers=headers)
    await past.read()
    await past.turn(Turn(fail=dict.fromkeys(offsets, reason)))
    return offsets


def changed(path: Path) -> str:
    """A plan that somebody has changed by hand."""
    other = path.with_suffix(".changed")
    other.write_text(path.read_text().replace('"force":false', '"force":true'))
    return str(other)


async def test_a_plan_says_what_and_changes_nothing(operator: Operator) -> None:
    """Whoever replays forty thousand calls must know beforehand who will be phoned."""
    past = operator.past
    rejected = await fail(past, [event(n) for n in range(5)], "rejected")
    await fail(past, [event(9)], "unconfirmed")
    await fail(past, [event(10)], "duplicate")
    expired = await fail(past, [event(11, expires_at=PAST), event(12, start_time=PAST)], "expired")
    await fail(past, [b"{}"], "invalid")
    path = operator.directory / "some.plan"
    code, said = await operator("--plan", str(path))
    assert code == 0
    assert "5 would be sent" in said
    assert "2      perhaps placed already" in said
    assert "2      its time has passed" in said
    assert "1      still invalid" in said
    assert f"nothing is sent yet; the plan is in {path}" in said
    assert "98000" not in said
    code, said = await operator("--execute", changed(path), "--rate", "1000")
    assert (code, said.count("\n"), "make a new plan" in said) == (1, 1, True), said
    code, said = await operator("--execute", str(path), "--force")
    assert (code, "give the choice to the plan" in said) == (2, True), said
    plan = await operator.plan("--reason", "rejected")
    assert (plan["planned"], plan["by-reason"], plan["left-out"]) == (5, {"rejected": 5}, {})
    forced = await operator.plan("--force", "--drop-expires-at", "--set-start-time", "now")
    assert forced["planned"] == 9
    assert await operator.replayed() == []
    done = await operator.execute(forced)
    assert (done["state"], done["sent"], done["sent-now"]) == ("done", 9, 9)
    again = {
        int(dict(one.headers)["dispatch.origin-offset"]): one for one in await operator.replayed()
    }
    assert set(rejected + expired) < set(again)
    assert "expires-at" not in json.loads(again[expired[0]].value)
    start = datetime.fromisoformat(json.loads(again[expired[1]].value)["start-time"])
    assert abs(start.timestamp() * 1000 - again[expired[1]].timestamp) < 60_000


async def test_an_event_is_sent_as_it_was_and_once(operator: Operator) -> None:
    """Upstream's key, bytes and headers are its own; and no command may be repeated by mistake."""
    past = operator.past
    values = [event(n) for n in range(40)]
    offsets = await fail(past, values, "rejected")
    plan = await operator.plan()
    other = await operator.plan("--offset", f"{offsets[0]}-{offsets[5]}")
    assert (await operator.execute(plan))["sent-now"] == len(values)
    sent = await operator.replayed()
    assert [one.value for one in sent] == values
    assert {one.key for one in sent} == {b"customer"}
    headers = [(name, content) for name, content in sent[0].headers if name not in HEADERS]
    assert headers == [("traceparent", b"00-aa-bb-01"), ("who", b"Asha"), ("who", b"Ravi")]
    named = dict(sent[0].headers)
    assert (named["dispatch.replay-id"].decode(), named["dispatch.replay-count"]) == (
        plan["replay-id"],
        b"1",
    )
    assert int(named["dispatch.origin-timestamp"]) == past.records[offsets[0]].timestamp
    assert (await operator.execute(plan))["sent-now"] == 0
    # A plan that was made before names events that were sent since.
    assert (await operator.execute(other))["left-out"] == 5
    assert set((await operator.origins()).values()) == {1}
    assert (await operator.plan())["left-out"] == {"replayed already": len(values)}


async def test_a_replay_can_be_killed_at_any_moment(operator: Operator) -> None:
    """A doubled replay phones people twice, and a lost one never."""
    values = [event(n) for n in range(1500)]
    await fail(operator.past, values, "rejected")
    plan = await operator.plan()
    for part in (200, 700):
        process = await operator.began(plan, 500)

        async def so_many(count: int = part) -> bool:
            return len(await operator.replayed()) >= count

        await until(so_many)
        os.kill(process.pid, signal.SIGKILL)
        await ended(process)
    sent = len(await operator.replayed())
    assert sent < len(values)
    code, said = await operator("--status")
    assert code == 0
    assert plan["replay-id"] in said
    done = await operator.execute(plan)
    assert (done["state"], done["sent"]) == ("done", len(values))
    assert done["sent-now"] <= len(values) - sent
    assert set((await operator.origins()).values()) == {1}
    assert len(await operator.origins()) == len(values)


async def test_a_second_replay_is_refused_while_the_first_lives(operator: Operator) -> None:
    """Two of them would go at twice the rate, and each would believe that it is alone."""
    offsets = await fail(operator.past, [event(n) for n in range(400)], "rejected")
    plan = await operator.plan("--offset", f"{offsets[0]}-{offsets[300]}")
    other = await operator.plan("--offset", f"{offsets[300]}-{offsets[-1] + 1}")
    first = await operator.began(plan, 3)
    try:

        async def has_begun() -> bool:
            return bool(await operator.replayed())

        await until(has_begun)
        code, said = await operator("--execute", other["plan"], "--rate", "100")
        assert (code, "another replay is under way" in said) == (1, True), (
            said + first.log_file.read_text()
        )
        code, said = await operator("--status", "--output", "json")
        assert [one["state"] for one in json.loads(said)] == ["running"]
        os.kill(first.pid, signal.SIGINT)
        assert await ended(first) != 0
        text = first.log_file.read_text()
        assert "interrupted: to go on, give the same command" in text
        assert "Traceback" not in text
    finally:
        await first.stop(5)
    assert (await operator.execute(other))["sent"] == 100
    assert (await operator.execute(plan))["state"] == "done"
    assert await operator.origins() == Counter(dict.fromkeys(offsets, 1))


def refused(number: int) -> dict[str, Any]:
    """A call that the twin refuses, until its rule ends."""
    return call(number, "Flow0001", contact_numbers=[f"98{number:05d}777"])


async def replay(stage: Scene, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Plan and execute; exit code and report of the execution."""
    path = str(stage.stage.directory / f"{'-'.join(arguments)}.plan")
    code, said = await stage.command("dead-letters", "replay", "--plan", path)
    assert code == 0, said
    execute = ("dead-letters", "replay", "--execute", path, "--output", "json", *arguments)
    code, said = await stage.command(*execute)
    last = said.splitlines()[-1]
    return code, json.loads(last) if last.startswith("{") else {"said": said}


async def test_what_was_refused_is_placed_after_the_fix(kafka: str) -> None:
    """The same event must not be taken for the one that the provider has refused already."""
    flood = {"flood_events_min": 100_000}
    rule = ("--refuse", "205:number-ending=777")
    async with scene(kafka, *rule, dead_letters=flood) as stage:
        await stage.run()
        await stage.publish([call(number, "Flow0000") for number in range(20)])
        bad = await stage.publish([refused(number) for number in range(60)], "rejected")
        await stage.settled()
        code, report = await replay(stage, "--rate", "6", "--abort-ratio", "0.2")
        assert code == 1, report
        assert "aborted: " in report["said"]
        assert "have failed again" in report["said"]
        code, said = await stage.command("dead-letters", "replay", "--status", "--output", "json")
        [aborted] = json.loads(said)
        assert (aborted["state"], aborted["sent"] < 60) == ("aborted", True)

        async def failed_again() -> bool:
            return bool(len(await stage.dead_letters()) == 60 + aborted["sent"])

        await until(failed_again)
        await stage.twin.program({"switches": {"refused": []}})
        code, report = await replay(stage)
        assert (code, report["state"]) == (0, "done"), report

        async def placed() -> bool:
            return (await stage.twin.summary()).calls_accepted == 80

        await until(placed)
        code, said = await stage.command("audit", "--output", "json")
        assert code == 0, said
        origins = [
            one["origin"] for one in (await stage.results()).values() if one["origin"] is not None
        ]
        assert sorted(one["offset"] for one in origins) == [each.source[2] for each in bad]
        stage.published.clear()
