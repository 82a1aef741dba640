"""docs/publishing.md: its examples are run as they stand there, against a real broker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.core.outcome_schemas import REASONS
from tests.support import kafka as broker
from tests.support.kafka import Names

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/publishing.md").read_text()
PARTITIONS = 4


def block(language: str, word: str) -> str:
    """The example in this language that holds `word`."""
    found: list[str] = [
        text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if word in text
    ]
    assert len(found) == 1
    return found[0]


def steps(session: str) -> list[tuple[str, str]]:
    """The commands of a console example, each with what it prints."""
    parts = re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]
    found = []
    for part in parts:
        here = re.match(r".*<<'END'\n.*?^END\n", part, re.DOTALL | re.MULTILINE)
        line_end = here.end() if here else part.index("\n") + 1
        found.append((part[:line_end], part[line_end:]))
    return found


def run(program: list[str], text: str, folder: Path, **variables: str) -> str:
    """What a program prints on both streams, given `text` to read."""
    return subprocess.run(
        program,
        input=text,
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout


@pytest.fixture
async def topic(kafka: str, names: Names) -> str:
    """A requests topic of this test's own."""
    name = names("calls.requests")
    await broker.create_topics(kafka, {name: broker.Topic(PARTITIONS)})
    return name


async def test_the_session_with_a_file_goes_as_the_page_says(
    kafka: str, names: Names, topic: str, tmp_path: Path
) -> None:
    """A newcomer who copies it must see the same lines, and publish each event once."""
    variables = {
        "DISPATCHER_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "DISPATCHER_KAFKA__GROUP_ID": names("group"),
        "DISPATCHER_KAFKA__TOPICS__REQUESTS": topic,
        "DISPATCHER_PROVIDER__URL": "https://api.example.com/create",
        "DISPATCHER_PROVIDER__SECURITY_ID": "Ab1" * 21 + "x",
        "PYTHONPATH": str(ROOT),
    }
    shell = f'call-dispatcher() {{ {sys.executable} -m service "$@"; }}\n'
    for command, printed in steps(block("console", "events.jsonl")):
        said = run(["bash"], shell + command, tmp_path, **variables)
        # How far it has come, every five seconds: only on a busy machine.
        said = re.sub(r"^\d+ events published\n", "", said, flags=re.MULTILINE)
        assert said.replace(topic, "calls.requests") == printed
    assert len(await broker.read_all(kafka, topic)) == 2


async def test_the_program_on_the_page_publishes_one_event(
    kafka: str, topic: str, tmp_path: Path
) -> None:
    """What is copied into other teams' services must work, and print the event's source."""
    program = block("python", "AIOKafkaProducer").replace("127.0.0.1:9092", kafka)
    said = run([sys.executable, "-"], program.replace("calls.requests", topic), tmp_path)
    assert re.fullmatch(rf"{re.escape(topic)}-[0-3]-0\n", said)
    (record,) = await broker.read_all(kafka, topic)
    assert record.key == b"order-1001"


def test_the_page_says_what_each_reason_asks_of_the_publisher() -> None:
    """A reason without a line leaves its reader with events that nobody knows how to mend."""
    table = PAGE.split("## What a dead letter asks of you")[1]
    assert re.findall(
        r"^\| `(\w+)` \|", table.replace("| `dispatch.reason` |", ""), re.MULTILINE
    ) == list(REASONS)
