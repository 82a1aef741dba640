"""`dead-letters replay` on real Kafka: what is planned, what is sent, what no accident changes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from service.adapters.kafka.connection import client_options
from service.adapters.kafka.scan import KafkaScan
from service.core.letter_filter import Wanted
from service.core.origin import Origin, origin_of
from service.core.replay_choice import Rules
from service.core.replay_pace import OUTCOMES_MIN
from service.core.replay_words import Replay, State
from service.demo.processes import Process
from service.replay import Asked, How, execute, make_plan, plan_file, replays
from service.replay.watching import Gauge
from tests.support.dispatcher import call, command, ended, scene, until
from tests.support.kafka import Names, read_all
from tests.support.past import Past, Turn, event, without_progress
from tests.support.settings import SECURITY_ID, sections_of, settings_for

REASONS = ("rejected", "exhausted", "invalid", "duplicate", "unconfirmed", "cancelled")
EVENTS = 60
"""Of a longer replay."""


@dataclass(slots=True)
class Operator:
    """Somebody with a shell, and a past to look at."""

    past: Past
    directory: Path

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        """The configuration file; a dead replay's lock is free after six seconds."""
        sections = sections_of(self.past.settings)
        sections["kafka"]["session_timeout_seconds"] = 6
        return sections

    async def __call__(self, *arguments: str) -> tuple[int, str]:
        """Exit code, and what was printed."""
        words = ("dead-letters", "replay", *arguments)
        code, said = await command(self.directory, words, self.sections)
        return code, without_progress(said)

    @asynccontextmanager
    async def executing(self, rate: int) -> AsyncIterator[Process]:
        """The plan's execution under way in a process of its own: some is sent, most is not."""
        config = self.directory / "slow.yaml"
        config.write_text(yaml.safe_dump(self.sections))
        words = ("dead-letters", "replay", "--execute", str(self.plan), "--rate", str(rate))
        environment = {"DISPATCHER_PROVIDER__SECURITY_ID": SECURITY_ID}
        process = await Process.start(
            "replay", (*words, "--config", str(config)), self.directory / "slow.log", environment
        )

        async def some_is_sent() -> bool:
            return len(await self.sent()) > 0

        try:
            await until(some_is_sent)
            yield process
        finally:
            await process.stop(0)

    @property
    def plan(self) -> Path:
        """Where its plan is."""
        return self.directory / "the.plan"

    async def planned(self, *arguments: str) -> str:
        """Make a plan; returns what was said."""
        code, said = await self("--plan", str(self.plan), *arguments)
        assert code == 0, said
        return said

    async def execute(self, *arguments: str) -> tuple[int, str]:
        """Execute it."""
        return await self("--execute", str(self.plan), "--rate", "10000", *arguments)

    async def sent(self) -> list[tuple[Any, Origin]]:
        """The replayed events that readers see, with their origins."""
        bootstrap, topics = self.past.settings.kafka.bootstrap_servers, self.past.topics
        ids = {record.key.decode() for record in await read_all(bootstrap, topics.replays)}
        found = await read_all(bootstrap, topics.requests)
        with_origins = [(record, origin_of(record, ids)) for record in found]
        return [(record, origin) for record, origin in with_origins if origin is not None]

    async def notes(self) -> list[dict[str, Any]]:
        """The audit records, in order."""
        bootstrap = self.past.settings.kafka.bootstrap_servers
        return [json.loads(r.value) for r in await read_all(bootstrap, self.past.topics.replays)]


@pytest.fixture
async def operator(kafka: str, names: Names, tmp_path: Path) -> AsyncIterator[Operator]:
    """Six events that failed, by different reasons."""
    past = Past(settings_for(kafka, names))
    await past.begin()
    await past.publish((event(n) for n in range(6)), headers=[("traceparent", b"00-aa-bb-01")])
    await past.read()
    await past.turn(Turn(fail=dict(enumerate(REASONS))))
    yield Operator(past, tmp_path)
    await past.end()


async def test_a_plan_says_what_would_be_sent_and_changes_nothing(operator: Operator) -> None:
    """Whoever reads a plan at six in the morning decides by it whom to call."""
    said = await operator.planned()
    assert said.startswith("4 of 6 dead letters would be sent again\n"), said
    assert "1      duplicate: the provider probably has it" in said
    assert "1      unconfirmed: it may have been placed" in said
    assert "nothing was sent" in said
    assert "9800000000" not in said
    assert await operator.sent() == []
    assert await operator.notes() == []
    assert "6 of 6 dead letters would" in await operator.planned("--force")
    assert "1 of 1 dead letters would" in await operator.planned("--reason", "rejected")


async def test_a_plan_is_sent_once_with_its_origin(operator: Operator) -> None:
    """Each event goes out once more with its own bytes, and its history is not lost."""
    await operator.planned()
    code, said = await operator.execute()
    assert code == 0, said
    assert "4 of 4 sent" in said
    sent = await operator.sent()
    assert {(o.offset, o.count) for _, o in sent} == {(0, 1), (1, 1), (2, 1), (5, 1)}
    for record, origin in sent:
        assert record.value == event(origin.offset)
        assert record.key == b"customer"
        assert record.headers[0] == ("traceparent", b"00-aa-bb-01")
        assert len(record.headers) == 7
    notes = await operator.notes()
    assert [note["state"] for note in notes] == ["running", "running", "done"]
    assert (notes[-1]["sent"], notes[-1]["done"], notes[-1]["planned"]) == (4, 4, 4)
    code, said = await operator.execute()
    assert (code, len(await operator.sent())) == (0, 4), said
    assert len(await operator.notes()) == 3
    said = await operator.planned()
    assert "0 of 6 dead letters would" in said
    assert "4      replayed already" in said


async def many(operator: Operator) -> list[int]:
    """Fail some more, and plan all of them; returns their offsets."""
    past = operator.past
    offsets = await past.publish(event(n) for n in range(EVENTS))
    await past.read()
    await past.turn(Turn(fail=dict.fromkeys(offsets, "rejected")))
    await operator.planned("--offset", f"{offsets[0]}-{offsets[-1] + 1}")
    return offsets


async def sent_offsets(operator: Operator) -> list[int]:
    """First lives of what was sent."""
    return sorted(origin.offset for _, origin in await operator.sent())


async def test_a_killed_replay_goes_on_and_nothing_is_sent_twice(operator: Operator) -> None:
    """Whoever phones forty thousand people does not want to start again at the first."""
    offsets = await many(operator)
    async with operator.executing(rate=1) as first:
        code, said = await operator.execute()
        assert code == 1, said
        assert "another replay is running" in said
        code, said = await operator("--status")
        assert (code, " running " in said) == (0, True), said
        os.kill(first.pid, signal.SIGKILL)
        await ended(first)
    before = await sent_offsets(operator)
    assert 0 < len(before) < EVENTS
    code, said = await operator.execute()
    assert code == 0, said
    assert f"{EVENTS} of {EVENTS} sent" in said
    assert await sent_offsets(operator) == offsets
    done = [note["done"] for note in await operator.notes()]
    assert done == sorted(done)


async def test_a_zombie_sends_nothing_more(operator: Operator) -> None:
    """A laptop that wakes up in the middle of what another has finished meanwhile."""
    offsets = await many(operator)
    async with operator.executing(rate=1) as first:
        os.kill(first.pid, signal.SIGSTOP)
        code, said = await operator.execute()
        assert code == 0, said
        assert await sent_offsets(operator) == offsets
        os.kill(first.pid, signal.SIGCONT)
        assert await ended(first) == 1
        assert "another process replays now" in first.log_file.read_text()
    assert await sent_offsets(operator) == offsets
    assert (await operator.notes())[-1]["state"] == "done"


async def test_a_plan_is_of_these_very_records(operator: Operator) -> None:
    """Somebody approved a plan: neither it nor what it names may be another afterwards."""
    await operator.planned()
    whole = operator.plan.read_bytes()
    operator.plan.write_bytes(whole.replace(b'"planned":4', b'"planned":5'))
    code, said = await operator.execute()
    assert (code, "was changed after it was made" in said) == (2, True), said
    operator.plan.write_bytes(whole)
    plan = plan_file.PlanFile(operator.plan)
    rows = list(plan.rows())
    forged = [rows[0], msgspec.structs.replace(rows[1], sha256=rows[0].sha256), *rows[2:]]
    plan_file.write(operator.plan, msgspec.structs.replace(plan.head, sha256=""), forged)
    plan.close()
    code, said = await operator.execute()
    assert code == 1, said
    assert "is not the dead letter of which the plan was made" in said
    assert await operator.sent() == []


async def test_live_traffic_is_measured_by_what_has_no_outcome(operator: Operator) -> None:
    """A held flow's single canary keeps the group's offset where it is for hours."""
    past = operator.past
    [canary, *others] = await past.publish(event(n) for n in range(100, 140))
    await past.read()
    await past.turn(Turn(open=[canary], fail=dict.fromkeys(others, "rejected"), limit=600))
    await past.publish(event(n) for n in range(200, 203))
    async with KafkaScan(client_options(past.settings.kafka), lambda *_: None) as scan:
        gauge = Gauge(past.settings, scan)
        assert await gauge.look() is None
        load = await gauge.look()
    assert load is not None
    # The canary and what is unread, but for the last, which may be a marker.
    assert (load.backlog, load.limit_per_second) == (3, 10)


async def test_two_plans_of_the_same_send_it_once(operator: Operator) -> None:
    """Two people made a plan that morning, and each executes theirs."""
    await operator.planned()
    mine = operator.plan.read_bytes()
    await operator.planned("--reason", "rejected")
    code, said = await operator.execute()
    assert code == 0, said
    assert "1 had no outcome yet at 2" in said
    operator.plan.write_bytes(mine)
    code, said = await operator.execute()
    assert code == 0, said
    assert "1 left out: replayed already" in said
    assert await sent_offsets(operator) == [0, 1, 2, 5]


async def test_a_replay_of_what_fails_again_stops_by_itself(operator: Operator) -> None:
    """The fix did not work; the operators' page runs, stops and resumes it in its own process."""
    past, settings, path = operator.past, operator.past.settings, operator.plan
    offsets = await past.publish(event(n) for n in range(EVENTS))
    await past.read()
    await past.turn(Turn(fail=dict.fromkeys(offsets, "rejected")))
    rules = Rules(force=False, replays_max=3, start_time_now=False, drop_expires_at=False)
    asked = Asked(Wanted(reasons=frozenset({"rejected"})), rules, "asha", {"reason": "rejected"})
    async with KafkaScan(client_options(settings.kafka), lambda *_: None) as scan:
        plan = await make_plan(scan, settings, asked, path)
    assert plan.head.planned == EVENTS + 1
    how = How("page", rate=25)

    def stop_soon(replay: Replay) -> None:
        if replay.sent >= OUTCOMES_MIN:
            how.stop.set()

    first = await execute(settings, path, how, stop_soon)
    (standing,) = await replays(settings)
    assert (first.state, standing.state) == (State.INTERRUPTED, State.INTERRUPTED)
    assert OUTCOMES_MIN <= first.sent < plan.head.planned
    again = [record.offset for record, _ in await operator.sent()]
    await past.read()
    await past.turn(Turn(fail=dict.fromkeys(again, "rejected"), replays={plan.head.id}))
    # Slow enough that the failures are seen before all is sent.
    second = await execute(settings, path, How("page", rate=0.5), lambda _: None)
    assert second.state is State.ABORTED, second
    assert second.sent < plan.head.planned
    assert second.note == f"{len(again)} of {len(again)} failed again"
    third = await execute(settings, path, How("page", 10_000, 1.0), lambda _: None)
    assert (third.state, third.sent) == (State.DONE, plan.head.planned)
    assert await sent_offsets(operator) == [0, *offsets]


async def test_a_call_is_placed_unchanged_after_the_fix(kafka: str) -> None:
    """Numbers were not on the provider's list; once they are, a replay is all that is needed.

    This provider remembers the bytes of what it refused: the same bytes would be a repeat for it.
    """
    async with scene(kafka, "--switch", "checksum-at=receipt") as stage:
        await stage.twin.program([{"fault": "code-402-inside"}])
        await stage.publish([call(number) for number in range(3)], expected="rejected")
        await stage.run()
        await stage.settled()
        await stage.twin.program([])
        plan = str(stage.stage.directory / "the.plan")
        code, said = await stage.command("dead-letters", "replay", "--plan", plan)
        assert code == 0, said
        # Without --rate: below what live traffic leaves, and nothing else is to do.
        code, said = await stage.command("dead-letters", "replay", "--execute", plan)
        assert code == 0, said
        assert "3 of 3 sent; outcomes so far: 3 accepted, 0 failed again" in said
        results = (await stage.results()).values()
        assert sorted(result["origin"]["offset"] for result in results) == [0, 1, 2]
        assert all(result["confirmation"] == "response" for result in results)
        bodies = [seen.sha256 for seen in await stage.twin.requests()]
        assert len(set(bodies)) == len(bodies)
