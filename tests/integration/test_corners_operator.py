"""What an operator can get wrong: one clear line and the right exit code each time."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from tests.support.dispatcher import Sections, call, command, log_lines, page, scene
from tests.support.kafka import Topic, create_topics, delete_topics, read_all
from tests.support.operator import delete_records, make_anew, one_error

SECRET = "S3cret" + "0123456789" * 5 + "abcdefgh"
TOKEN = "Token-of-the-operators-page"


async def test_every_mistake_in_a_configuration_is_a_line_and_exit_code_2(tmp_path: Path) -> None:
    """A deployment must fail at once, and name all that is wrong."""
    named = ("kafka.group ", "http.port ", ".url ")
    wrong: Sections = {"kafka": {"group": 1}, "http": {"port": -1}}
    code, said = await command(tmp_path, ["run"], wrong)
    assert code == 2
    assert all(any(part in line for line in said.splitlines()) for part in named), said
    assert all(line.startswith("error: ") for line in said.splitlines())


async def test_a_broker_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """An operator's error is one line, never a traceback."""
    sections: dict[str, Any] = {
        "kafka": {"bootstrap_servers": "127.0.0.1:1"},
        "provider": {"url": "http://127.0.0.1:9/"},
    }
    code, said = await command(tmp_path, ["run"], sections)
    assert code == 1
    one_error(said, "127.0.0.1:1")


async def test_a_port_that_is_taken_is_one_line_and_exit_code_2(kafka: str) -> None:
    """Two dispatchers on one machine with one configuration: the second one must say why."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with scene(kafka) as stage:
            port = taken.getsockname()[1]
            code, said = await stage.command(
                "run", kafka={"create_topics": True}, http={"port": port}
            )
            assert code == 2
            one_error(said, f"127.0.0.1:{port}", "http.port")


async def test_topics_that_are_missing_or_wrongly_set_are_named(kafka: str) -> None:
    """A compacted results topic would lose outcomes silently; a misspelt name all calls."""
    async with scene(kafka) as stage:
        topics = stage.stage.names.topics
        code, said = await stage.command("run")
        assert code == 1
        one_error(said, topics["checkpoints"], topics["replays"], "call-dispatcher topics create")
        compacted = Topic(1, {"cleanup.policy": "compact"})
        await create_topics(kafka, {topics["control"]: Topic(2, compacted.settings)})
        await create_topics(kafka, {topics["parked"]: Topic(1)})
        await create_topics(kafka, {topics["checkpoints"]: compacted})
        code, said = await stage.command("run", kafka={"create_topics": True})
        assert code == 1
        for name in ("control", "parked", "checkpoints"):
            assert topics[name] in said
        assert "LogAppendTime" in said
        assert "Traceback" not in said


async def test_deleted_checkpoints_stop_the_lane(kafka: str) -> None:
    """Starting over would call every customer of the last week again."""
    async with scene(kafka) as stage:
        await stage.publish([call(number) for number in range(10)])
        dispatcher = await stage.run()
        await stage.settled()
        await dispatcher.process.stop(20)
        await delete_topics(kafka, [stage.stage.names.topics["checkpoints"]])
        code, said = await stage.command("run", kafka={"create_topics": True})
        assert code == 1
        one_error(said, "the checkpoints were deleted", "kafka.group_id")
        assert (await stage.twin.summary()).calls_accepted == 10


async def test_a_requests_topic_made_anew_stops_the_lane(kafka: str) -> None:
    """Its offsets begin at zero again: positions would silently pass over new calls."""
    async with scene(kafka) as stage:
        await stage.publish([call(number) for number in range(10)])
        dispatcher = await stage.run()
        await stage.settled()
        await dispatcher.process.stop(20)
        await make_anew(kafka, stage.requests, Topic())
        code, said = await stage.command("run")
        assert code == 1
        one_error(said, stage.requests, "created anew")


async def test_events_that_retention_took_are_told_and_passed_over(kafka: str) -> None:
    """A lane that waits for records that are gone would stop for ever without a word."""
    async with scene(kafka) as stage:
        await stage.publish([call(1)])
        first = await stage.run()
        await stage.settled()
        await first.process.stop(20)
        kept = list(stage.published)
        await stage.publish([call(number) for number in range(100, 107)])
        stage.published = kept
        await delete_records(kafka, stage.requests, 0, 8)
        await stage.publish([call(3)])
        second = await stage.run("successor")
        await stage.settled()
        (lost,) = log_lines(second, "events_lost")
        assert (lost["first"], lost["end"], lost["count"]) == (1, 8, 7)
        assert lost["topic"] == stage.requests
        await second.process.stop(20)
        third = await stage.run("third")
        await stage.publish([call(4)])
        await stage.settled()
        assert not log_lines(third, "events_lost"), "they were told before"


async def test_no_secret_and_no_number_leaves_the_process(kafka: str) -> None:
    """Logs and pages are read by more people than secrets and customers' numbers are for."""
    config: dict[str, Any] = {
        "flows": {"Flow0000": {"security_id": SECRET}},
        "http": {"token": TOKEN},
    }
    twin = ("--refuse", "number-ending=77", "--security-id", SECRET)
    async with scene(kafka, *twin, **config) as stage:
        await stage.publish([call(77)], "rejected")
        await stage.publish([call(number) for number in range(10)])
        wrong = b'{"flow-id":"Flow0000","client-identifier":1,"contact-numbers":["98123456789"]}'
        await stage.publish_malformed([wrong, b'["9812345670"]', b'{"9812345671":1}'])
        faults: list[dict[str, Any]] = [{"fault": "cut-after", "times": 1}]
        await stage.twin.program([*faults, {"fault": "code-401", "times": 1}])
        dispatcher = await stage.run()
        await stage.settled()
        status, readyz = await page(dispatcher, "status"), await page(dispatcher, "readyz")
        await dispatcher.process.stop(20)
        shown = dispatcher.process.log_file.read_text() + str((status, readyz))
        numbers = [f"98{number:08d}" for number in (77, *range(10))]
        numbers += ["9812345678", "9812345670", "9812345671", SECRET, TOKEN]
        assert [each for each in numbers if each in shown] == []
        dead = await read_all(kafka, stage.stage.names.topics["dead_letters"])
        messages = [dict(each.headers)["__dlq.errors.message"].decode() for each in dead]
        assert len(messages) == 4
        assert [each for each in numbers if any(each in message for message in messages)] == []
