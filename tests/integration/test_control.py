"""Operators' commands on real Kafka: what is written, what lanes make of it, what is said of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.adapters.kafka.broker import KafkaBroker
from service.adapters.kafka.control import KafkaControl
from service.adapters.kafka.topics import ensure_topics
from service.core.control import decode
from service.core.orders import Order, hold_set
from service.errors import BrokerUnavailable, OrderRefused, TopicsError
from service.settings import Settings
from tests.support.dispatcher import command
from tests.support.kafka import Names, create_topics, produce, producer, read_all
from tests.support.settings import SECURITY_ID, sections_of, settings_for

ROOT = Path(__file__).parents[2]
AT = "2026-11-23T02:40:00.000Z"
FLOW = "AbCd1234"
QUIET = ("--wait", "0")


def control_of(settings: Settings) -> KafkaControl:
    """The control topic of these settings."""
    return KafkaControl(settings, KafkaBroker(settings, "test"))


def hold(name: str, flow: str = FLOW) -> Any:
    """A command under this id."""
    return hold_set(Order(name, AT, "op@host", "wrong list"), "flow", flow, ())


async def prepared(kafka: str, names: Names, lanes: int = 1) -> Settings:
    """Settings whose topics exist."""
    settings = settings_for(kafka, names)
    await ensure_topics(settings, {"bootstrap_servers": kafka}, lanes=lanes, create=True)
    return settings


class Operator:
    """Somebody with a shell and the configuration."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._directory = directory
        self._sections = sections_of(settings)

    async def __call__(self, *arguments: str) -> tuple[int, str]:
        """Exit code, and what was printed."""
        return await command(self._directory, arguments, self._sections)


async def commands_of(settings: Settings) -> list[Any]:
    """What stands in the control topic."""
    records = await read_all(settings.kafka.bootstrap_servers, settings.kafka.topics.control)
    return [decode(record.value) for record in records]


async def test_commands_come_back_in_their_order(kafka: str, names: Names) -> None:
    """Two lanes that saw hold and release in another order would do the opposite."""
    settings = await prepared(kafka, names)
    control = control_of(settings)
    written = [await control.write(hold(f"id-{n}"), given_id=False) for n in range(5)]
    assert [each.offset for each in written] == [0, 1, 2, 3, 4]
    assert await control.commands() == (written, 0)


async def test_an_id_names_one_command_for_ever(kafka: str, names: Names) -> None:
    """A repeated hold after its release would stop a campaign again, days later."""
    settings = await prepared(kafka, names)
    control = control_of(settings)
    first = await control.write(hold("night-1"), given_id=True)
    assert await control.write(hold("night-1"), given_id=True) == first
    with pytest.raises(OrderRefused, match=f"night-1 was given to another command at {AT}"):
        await control.write(hold("night-1", "Other123"), given_id=True)
    assert len(await commands_of(settings)) == 1


async def test_a_record_of_a_newer_release_is_counted(kafka: str, names: Names) -> None:
    """The list must say that it may be incomplete, and still show the rest."""
    settings = await prepared(kafka, names)
    newer = [b'{"command":"new"}', b"\xff", None]
    await produce(kafka, settings.kafka.topics.control, newer, key=b"newer")
    control = control_of(settings)
    given = await control.write(hold("a"), given_id=True)
    assert await control.commands() == ([given], 2)


async def test_missing_topics_are_named_and_not_made(kafka: str, names: Names) -> None:
    """A misspelt topic that a broker makes by itself would take commands that nobody reads."""
    settings = settings_for(kafka, names)
    control = control_of(settings)
    topics = settings.kafka.topics
    for asked, name in (
        (control.write(hold("a"), given_id=True), topics.control),
        (control.commands(), topics.control),
        (control.request_ends(None), topics.requests),
        (control.lanes(), topics.checkpoints),
    ):
        with pytest.raises(TopicsError, match=f"topic {name} does not exist"):
            await asked


async def test_no_broker_is_said_with_the_way_on(names: Names) -> None:
    """A command whose fate is unknown must be repeatable without doing it twice."""
    control = control_of(settings_for("127.0.0.1:1", names))
    with pytest.raises(BrokerUnavailable):
        await control.write(hold("a"), given_id=False)


async def test_ends_are_those_of_committed_events(kafka: str, names: Names) -> None:
    """An end beyond an open transaction would cancel events that nobody has published yet."""
    settings = settings_for(kafka, names)
    topic = settings.kafka.topics.requests
    await create_topics(kafka, {topic: 3})
    await produce(kafka, topic, [b"1", b"2"], partition=0)
    await produce(kafka, topic, [b"1"], partition=1)
    control = control_of(settings)
    async with producer(kafka, transactional_id=names("upstream")) as client:
        await client.begin_transaction()
        await client.send_and_wait(topic, b"open", partition=1)
        assert await control.request_ends(None) == {0: 2, 1: 1, 2: 0}
        await client.commit_transaction()
    assert await control.request_ends(None) == {0: 2, 1: 3, 2: 0}


async def test_ends_of_a_time_leave_out_what_came_since(kafka: str, names: Names) -> None:
    """Cancelling the wrong list of the morning must not touch the right one of the afternoon."""
    settings = settings_for(kafka, names)
    topic = settings.kafka.topics.requests
    await create_topics(kafka, {topic: 2})
    now_ms = int(time.time() * 1000)
    async with producer(kafka) as client:
        for age_ms in (3000, 2000, 1000):
            await client.send_and_wait(topic, b"1", partition=0, timestamp_ms=now_ms - age_ms)
        await client.send_and_wait(topic, b"1", partition=1, timestamp_ms=now_ms - 3000)
    control = control_of(settings)
    assert await control.request_ends(now_ms - 2000) == {0: 1, 1: 1}
    assert await control.request_ends(now_ms - 1999) == {0: 2, 1: 1}
    assert await control.request_ends(0) == {0: 0, 1: 0}
    assert await control.request_ends(now_ms) == {0: 3, 1: 1}


async def test_without_replicas_commands_wait_and_are_shown(
    kafka: str, names: Names, tmp_path: Path
) -> None:
    """Stopped before the start: the first replica must not send a single call of it."""
    settings = await prepared(kafka, names, lanes=2)
    operator = Operator(settings, tmp_path)
    assert await operator("holds", "list") == (0, "nothing is held\n")
    code, said = await operator("holds", "set", "--flow", FLOW, "--reason", "wrong list")
    assert code == 0, said
    assert "lanes 0, 1: no replica owns it" in said
    assert "applied by" not in said
    assert (await operator("holds", "set", "--account", "--reason", "all", *QUIET))[0] == 0
    code, said = await operator("holds", "list", "--output", "json")
    flow, account = json.loads(said)["holds"]
    assert (flow["name"], flow["setting"], flow["lanes"]) == (FLOW, [0, 1], [])
    assert (account["scope"], account["name"], account["reason"]) == ("account", "*", "all")
    assert "@" in flow["by"]
    code, said = await operator("holds", "list")
    assert code == 0
    assert f"holds release --flow {FLOW}" in said
    assert "all accounts" in said
    assert "0, 1 not yet" in said
    assert (await operator("holds", "release", "--account", *QUIET))[0] == 0
    code, said = await operator("holds", "list", "--output", "json")
    assert [each["name"] for each in json.loads(said)["holds"]] == [FLOW]


async def test_repeating_under_an_id_says_so(kafka: str, names: Names, tmp_path: Path) -> None:
    """A runbook's script may be run twice."""
    settings = await prepared(kafka, names)
    operator = Operator(settings, tmp_path)
    arguments = ("limit", "set", "5000", "--id", "night-1", *QUIET)
    code, said = await operator(*arguments)
    assert (code, said) == (0, f"written to {settings.kafka.topics.control} as night-1\n")
    code, said = await operator(*arguments)
    assert code == 0
    assert said.startswith("night-1 was given before, at 20")
    assert said.endswith("nothing is written\n")
    code, said = await operator("limit", "reset", "--id", "night-1", *QUIET)
    assert (code, said.startswith("error: id: night-1 was given to another")) == (2, True)
    assert len(await commands_of(settings)) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("holds", "set", "--flow", "AbCd", "--reason", "x"), 2, "8 ASCII letters and digits"),
        (("holds", "set", "--flow", FLOW), 2, "reason: is required"),
        (("holds", "set", "--reason", "x"), 2, "either --flow ID, or --account [NAME]"),
        (("holds", "release", "--flow", FLOW, "--account"), 2, "either --flow ID"),
        (("holds", "set", "--account", "main", "--reason", "x"), 2, "known are default"),
        (("holds", "release", "--account", "main"), 2, "known are default"),
        (("holds", "set", "--account", "", "--reason", "x"), 2, "known are default"),
        (("holds", "release", "--flow", FLOW, "--id", "a b"), 2, "id: must be"),
        (("calls", "cancel", "--flow", "x", "--yes"), 2, "8 ASCII letters and digits"),
        (("calls", "cancel", "--flow", FLOW, "--before", "noon", "--yes"), 2, "ISO 8601"),
        (("calls", "cancel", "--flow", FLOW, "--before", "2999-01-01T00:00Z"), 2, "future"),
        (("limit", "set", "999"), 2, "999 calls a minute over 2 lanes is a share of 499"),
    ],
)
async def test_a_wrong_command_is_one_line_and_changes_nothing(
    kafka: str, names: Names, tmp_path: Path, arguments: Sequence[str], code: int, words: str
) -> None:
    """At three in the morning one line with the way out is what helps."""
    settings = await prepared(kafka, names, lanes=2)
    got, said = await Operator(settings, tmp_path)(*arguments)
    assert got == code, said
    assert said.startswith("error: ")
    assert words in said
    assert said.count("\n") == 1
    assert await commands_of(settings) == []


async def test_a_cancel_asks_first(kafka: str, names: Names, tmp_path: Path) -> None:
    """It cannot be taken back; a script has to say that it means it."""
    settings = await prepared(kafka, names)
    await produce(kafka, settings.kafka.topics.requests, [b"1"], partition=3)
    operator = Operator(settings, tmp_path)
    code, said = await operator("calls", "cancel", "--flow", FLOW, *QUIET)
    assert code == 2
    assert "--yes" in said.splitlines()[-1]
    assert await commands_of(settings) == []
    code, said = await operator("calls", "cancel", "--flow", FLOW, "--yes", *QUIET)
    assert code == 0
    assert "stop the upstream, or hold the flow" in said
    (cancel,) = await commands_of(settings)
    assert (cancel.flow_id, cancel.ends[3], cancel.ends[0]) == (FLOW, 1, 0)


async def test_topics_that_are_missing_are_one_line(
    kafka: str, names: Names, tmp_path: Path
) -> None:
    """A wrong configuration file must not look like an empty list of holds."""
    operator = Operator(settings_for(kafka, names), tmp_path)
    for arguments in (("holds", "list"), ("limit", "reset"), ("limit", "set", "5000")):
        code, said = await operator(*arguments)
        assert (code, said.count("\n")) == (1, 1)
        assert "call-dispatcher topics create" in said


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("", 1), ("y", 0)])
async def test_a_terminal_is_asked(
    kafka: str, names: Names, tmp_path: Path, answer: str, code: int
) -> None:
    """Return alone, pressed by a tired hand, must not cancel a campaign."""
    settings = await prepared(kafka, names)
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(sections_of(settings)))
    arguments = ["calls", "cancel", "--flow", FLOW, *QUIET, "--config", str(config)]
    got, shown = await asyncio.to_thread(on_a_terminal, arguments, answer)
    assert got == code, shown
    assert "Cancel them? [y/N]" in shown
    assert ("error: nothing was cancelled" in shown) == (code == 1)
    assert len(await commands_of(settings)) == (code == 0)


def on_a_terminal(arguments: Sequence[str], answer: str) -> tuple[int, str]:
    """Exit code and output of `call-dispatcher` on a terminal where `answer` is typed."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "DISPATCHER_PROVIDER__SECURITY_ID": SECURITY_ID}
    process = subprocess.Popen(
        [sys.executable, "-m", "service", *arguments],
        cwd=ROOT,
        env=environ,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    shown = b""
    # Linux ends a terminal whose last writer has gone with an error.
    with contextlib.suppress(OSError):
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    return process.wait(20), shown.decode()
