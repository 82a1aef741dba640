"""`publish` in processes of its own, on a real broker: what upstream teams rely on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from service.adapters.lines import LINE_BYTES_MAX, LineReader
from service.commands.publish import publish
from tests.support import kafka as broker
from tests.support.kafka import Names

ROOT = Path(__file__).parents[2]
PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Upstream:
    """A team that publishes to a topic of its own."""

    bootstrap: str
    topic: str
    group: str
    folder: Path

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """`call-dispatcher publish` under way."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DISPATCHER_")}
        variables = {
            "DISPATCHER_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
            "DISPATCHER_KAFKA__GROUP_ID": self.group,
            "DISPATCHER_KAFKA__TOPICS__REQUESTS": self.topic,
            "DISPATCHER_PROVIDER__URL": "https://api.example.com/create",
            "DISPATCHER_PROVIDER__SECURITY_ID": "Ab1" * 21 + "x",
            "PYTHONPATH": os.pathsep.join([str(ROOT), inherited.get("PYTHONPATH", "")]),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "service", "publish", *arguments],
            cwd=self.folder,
            env={**inherited, **variables},
            stdin=options.get("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    async def publish(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`call-dispatcher publish` to its end."""
        return await finished(self.start(*arguments))

    def write(self, name: str, lines: Iterable[str]) -> str:
        """A file of lines; returns its name as the command takes it."""
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines))
        return name

    async def records(self) -> list[Any]:
        """What readers of the topic see."""
        return await broker.read_all(self.bootstrap, self.topic)

    async def identifiers(self) -> list[Any]:
        """The client-identifiers of the events that readers see, sorted."""
        return sorted(json.loads(one.value)["client-identifier"] for one in await self.records())

    async def more_arrived(self, than: int = 0) -> int:
        """Return once the committed logs are longer than `than` together; how long they are."""
        client = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, isolation_level="read_committed"
        )
        async with client:
            partitions = [TopicPartition(self.topic, n) for n in range(PARTITIONS)]
            while True:
                length = sum((await client.end_offsets(partitions)).values())
                if length > than:
                    return int(length)


@pytest.fixture
async def upstream(kafka: str, names: Names, tmp_path: Path) -> Upstream:
    """A team with an empty topic."""
    found = Upstream(kafka, names("requests"), names("group"), tmp_path)
    await broker.create_topics(kafka, {found.topic: PARTITIONS})
    return found


async def finished(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait for the end of a process, with what it said."""
    out, err = await asyncio.to_thread(process.communicate, None, 60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Standard error without the progress that a slow machine has time to print."""
    return [line for line in done.stderr.splitlines() if not line.endswith("events published")]


def event(identifier: Any, **changed: Any) -> str:
    """One line."""
    fields = {
        "flow-id": "AbCd1234",
        "client-identifier": identifier,
        "contact-numbers": ["9876543210"],
        "keys": [{"name": "$flow.key.account", "value": f"account {identifier}"}],
    }
    return json.dumps(fields | {name.replace("_", "-"): value for name, value in changed.items()})


def run_id_of(said: str) -> str:
    """The run's id out of the words on how to go on."""
    return said.partition("--id ")[2].partition("`")[0]


async def test_each_line_becomes_one_event_with_its_bytes(upstream: Upstream) -> None:
    """What a team wrote is what the dispatcher reads, once; blank lines are nothing."""
    lines = [event(f"customer {n}") for n in range(100)]
    file = upstream.write("events.jsonl", [*lines[:50], "", "  \r", *lines[50:]])
    done = await upstream.publish(file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"published 100 events of events.jsonl to {upstream.topic}; "
        "0 invalid lines skipped; 0 lines were done before\n"
    )
    records = await upstream.records()
    assert sorted(record.value.decode() for record in records) == sorted(lines)


async def test_events_lie_where_any_other_producer_would_put_them(upstream: Upstream) -> None:
    """A team that also publishes from its own program keeps one customer in one partition."""
    file = upstream.write("events.jsonl", [event(f"kunde-{n:x}-ä") for n in range(60)])
    assert (await upstream.publish(file)).returncode == 0
    ours = {record.key: record.partition for record in await upstream.records()}
    assert set(ours) == {f"kunde-{n:x}-ä".encode() for n in range(60)}
    async with broker.producer(upstream.bootstrap) as client:
        theirs = {
            key: (await client.send_and_wait(upstream.topic, b"", key)).partition for key in ours
        }
    assert ours == theirs
    assert len(set(ours.values())) == PARTITIONS


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("client-identifier", {b'{"a":1}'}),
        ("flow-id", {b"AbCd1234"}),
        ("$flow.key.account", {b"17"}),
        ("none", {None}),
    ],
)
async def test_the_key_is_what_was_asked_for(
    upstream: Upstream, key: str, expected: set[bytes | None]
) -> None:
    """The key decides what stays in order and how load spreads; teams choose it."""
    keys = [{"name": "$flow.key.account", "value": 17}]
    lines = [
        event({"a": 1}, keys=keys, start_time=f"2099-01-{n:02}T10:00:00") for n in range(1, 13)
    ]
    done = await upstream.publish(upstream.write("events.jsonl", lines), "--key", key)
    assert (done.returncode, done.stderr) == (0, "")
    records = await upstream.records()
    assert {record.key for record in records} == expected
    assert len({record.partition for record in records}) == (PARTITIONS if key == "none" else 1)


async def test_a_bad_line_is_refused_by_number_and_the_rest_follows_once_corrected(
    upstream: Upstream,
) -> None:
    """A team repairs one line of a long file and goes on; no customer is called twice."""
    good = [event(n) for n in range(12)]
    bad = event(5, contact_numbers=["98765X4321"])
    file = upstream.write("events.jsonl", [*good[:5], bad, *good[6:]])
    refused = await upstream.publish(file)
    assert refused.returncode == 1
    first, second = refused.stderr.splitlines()
    assert first.startswith("error: events.jsonl:6: invalid: contact-numbers[0] ")
    assert "98765" not in refused.stderr
    assert "5 lines of events.jsonl are known to be done" in second
    assert await upstream.identifiers() == list(range(5))

    upstream.write("events.jsonl", good)
    done = await upstream.publish(file, "--resume", "--id", run_id_of(second))
    assert (done.returncode, done.stderr) == (0, "")
    assert await upstream.identifiers() == list(range(12))


async def test_a_corrected_file_is_not_taken_for_the_old_one(upstream: Upstream) -> None:
    """Without the id a changed file is another one: to begin anew would call customers twice."""
    file = upstream.write("events.jsonl", [event(1), "{}"])
    assert (await upstream.publish(file)).returncode == 1
    upstream.write("events.jsonl", [event(1), event(2)])
    done = await upstream.publish(file, "--resume")
    assert done.returncode == 1
    assert done.stderr.startswith("error: nothing is known of a run of events.jsonl")
    assert await upstream.identifiers() == [1]


async def test_changed_lines_before_the_resumed_one_are_noticed(upstream: Upstream) -> None:
    """A line inserted above would shift the rest: one event lost, one doubled."""
    file = upstream.write("events.jsonl", [event(1), event(2), "{}"])
    refused = await upstream.publish(file, "--id", "today")
    assert run_id_of(refused.stderr) == "today"
    for lines in ([event(0), event(1), event(2)], [event(1)]):
        upstream.write("events.jsonl", lines)
        done = await upstream.publish(file, "--id", "today", "--resume")
        assert done.returncode == 1
        assert "not the same input" in done.stderr
    assert await upstream.identifiers() == [1, 2]


async def test_skipped_lines_are_listed_and_counted(upstream: Upstream) -> None:
    """With --skip-invalid the good events go, and the team learns which did not, and why."""
    bad = ["{", event(None), event(3, contact_numbers=[]), "\ufeff" + event(4), '"text"']
    file = upstream.write("events.jsonl", [event(1), *bad, event(2)])
    done = await upstream.publish(file, "--skip-invalid")
    assert done.returncode == 0
    listed = done.stderr.splitlines()
    assert [line.split(" invalid:")[0] for line in listed] == [
        f"skipped events.jsonl:{number}:" for number in range(2, 7)
    ]
    assert "published 2 events" in done.stdout
    assert "5 invalid lines skipped" in done.stdout
    assert await upstream.identifiers() == [1, 2]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
async def test_a_run_that_is_ended_in_the_middle_is_resumed_without_doubling(
    upstream: Upstream, how: signal.Signals
) -> None:
    """After kill -9 or Ctrl-C nobody knows how far it came: Kafka does, to the line."""
    count = 6_000
    file = upstream.write("events.jsonl", (event(n) for n in range(count)))
    process = upstream.start(file, "--rate", "500")
    await upstream.more_arrived()
    process.send_signal(how)
    ended = await finished(process)
    assert ended.returncode == (-how if how == signal.SIGKILL else 130)
    if how == signal.SIGINT:
        [said] = complaints(ended)
        assert said.startswith("interrupted: ")
    resumed = await upstream.publish(file, "--resume")
    assert (resumed.returncode, complaints(resumed)) == (0, [])
    assert 0 < int(resumed.stdout.split()[1]) < count
    assert await upstream.identifiers() == list(range(count))


async def test_kills_between_write_and_commit_lose_and_double_nothing(upstream: Upstream) -> None:
    """At full speed a run is nearly always inside a transaction: kill -9 strikes in several."""
    count, kills, length = 80_000, 3, 0
    file = upstream.write("events.jsonl", (event(n) for n in range(count)))
    for run in range(kills):
        process = upstream.start(file, *(["--resume"] if run else []))
        length = await upstream.more_arrived(length)
        process.kill()
        assert (await finished(process)).returncode == -signal.SIGKILL
    last = await upstream.publish(file, "--resume")
    assert (last.returncode, complaints(last)) == (0, [])
    found = Counter(await upstream.identifiers())
    assert found == Counter(range(count))


async def test_what_was_published_is_not_published_again_by_accident(upstream: Upstream) -> None:
    """A second Enter on the same command must not call every customer again; --again does."""
    file = upstream.write("events.jsonl", [event(1), event(2)])
    assert (await upstream.publish(file)).returncode == 0
    copy = upstream.write("copy.jsonl", [event(1), event(2)])
    for name in (file, copy):
        refused = await upstream.publish(name)
        assert refused.returncode == 1
        assert "--resume" in refused.stderr
        assert "--again" in refused.stderr
    resumed = await upstream.publish(file, "--resume")
    assert "published 0 events" in resumed.stdout
    assert await upstream.identifiers() == [1, 2]
    assert (await upstream.publish(file, "--again")).returncode == 0
    assert await upstream.identifiers() == [1, 1, 2, 2]


async def test_a_file_that_grows_is_published_from_where_it_ended(upstream: Upstream) -> None:
    """An export that is appended to all day is one run under one --id."""
    file = upstream.write("events.jsonl", [event(1), event(2)])
    assert (await upstream.publish(file, "--id", "day")).returncode == 0
    upstream.write("events.jsonl", [event(1), event(2), event(3)])
    done = await upstream.publish(file, "--id", "day", "--resume")
    assert "published 1 events" in done.stdout
    assert "2 lines were done before" in done.stdout
    assert await upstream.identifiers() == [1, 2, 3]


async def test_a_second_process_of_the_same_run_ends_the_first(upstream: Upstream) -> None:
    """A run that was believed dead and is not must not publish beside the one that took over."""
    count = 3_000
    file = upstream.write("events.jsonl", (event(n) for n in range(count)))
    first = upstream.start(file, "--rate", "300")
    await upstream.more_arrived()
    second = await upstream.publish(file, "--resume")
    assert (second.returncode, complaints(second)) == (0, [])
    ended = await finished(first)
    assert ended.returncode == 1
    assert complaints(ended) == ["error: another process publishes the same: this one stops"]
    assert await upstream.identifiers() == list(range(count))


async def test_a_slow_pipe_is_published_as_it_comes(upstream: Upstream) -> None:
    """`tail -f … | publish -` must not keep an event until thousands have come."""
    process = upstream.start("-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(event("first") + "\n")
    process.stdin.flush()
    await upstream.more_arrived()
    process.stdin.write(event("second"))
    process.stdin.close()
    process.stdin = None
    done = await finished(process)
    assert (done.returncode, done.stderr) == (0, "")
    assert "published 2 events of standard input" in done.stdout
    assert await upstream.identifiers() == ["first", "second"]


async def test_ctrl_c_ends_a_run_that_waits_for_input(upstream: Upstream) -> None:
    """A person at a terminal gets the prompt back, and is told the way on."""
    process = upstream.start("-", "--id", "typed", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(event(1) + "\n")
    process.stdin.flush()
    await upstream.more_arrived()
    process.send_signal(signal.SIGINT)
    ended = await finished(process)
    assert ended.returncode == 130
    assert "1 lines of standard input are known to be done" in ended.stderr
    assert run_id_of(ended.stderr) == "typed"


async def test_a_rate_is_kept(upstream: Upstream) -> None:
    """A team that shares the limit with others can hold itself back."""
    file = upstream.write("events.jsonl", (event(n) for n in range(30)))
    begin = asyncio.get_running_loop().time()
    assert (await upstream.publish(file, "--rate", "20")).returncode == 0
    assert asyncio.get_running_loop().time() - begin >= 1.5
    assert len(await upstream.records()) == 30


async def test_what_cannot_work_is_one_clear_line(upstream: Upstream) -> None:
    """A missing broker or topic: what to do, and never a traceback."""
    file = upstream.write("events.jsonl", [event(1)])
    away = Upstream("127.0.0.1:1", upstream.topic, upstream.group, upstream.folder)
    done = await away.publish(file)
    assert done.returncode == 1
    assert (
        done.stderr
        == "error: Kafka cannot be reached: connecting to 127.0.0.1:1: nobody listens there\n"
    )
    elsewhere = Upstream(upstream.bootstrap, "no-such-topic", upstream.group, upstream.folder)
    done = await elsewhere.publish(file)
    assert done.returncode == 1
    assert done.stderr.startswith("error: topic no-such-topic does not exist: ")
    assert await upstream.records() == []


@pytest.mark.parametrize(
    "wrong",
    [["--resume", "--again"], ["--key", "customer"], ["--id", "a b"], ["--rate", "0"]],
)
def test_wrong_usage_is_told_before_anything_happens(wrong: list[str], tmp_path: Path) -> None:
    """A mistyped option must not publish half of what was meant."""
    file = tmp_path / "events.jsonl"
    file.write_text(event(1))
    done = CliRunner().invoke(publish, [str(file), *wrong])
    assert done.exit_code == 2
    assert wrong[0] in done.output
    assert CliRunner().invoke(publish, [str(tmp_path / "none")]).exit_code == 2


async def test_a_key_that_the_dispatcher_would_refuse_is_refused_here(upstream: Upstream) -> None:
    """Key and headers have a bound of their own: a long identifier is no key."""
    file = upstream.write("events.jsonl", [event("x" * 70_000)])
    done = await upstream.publish(file)
    assert done.returncode == 1
    assert "choose another --key" in done.stderr
    assert (await upstream.publish(file, "--key", "flow-id")).returncode == 0


@given(
    lines=st.lists(st.binary(max_size=20).map(lambda it: it.replace(b"\n", b"")), max_size=20),
    piece_bytes=st.integers(1, 40),
    lines_max=st.integers(1, 7),
    ended=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_lines_are_the_same_however_a_pipe_delivers_them(
    lines: list[bytes], piece_bytes: int, lines_max: int, *, ended: bool
) -> None:
    """A resumed run must count the same lines, however its input is cut into reads."""
    text = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    expected = text.split(b"\n")
    if not expected[-1]:
        expected.pop()

    async def read() -> list[bytes]:
        source, sink = os.pipe()
        reader, found = LineReader(source), []
        pieces = [text[at : at + piece_bytes] for at in range(0, len(text), piece_bytes)]
        for piece in pieces[: len(pieces) // 2]:
            os.write(sink, piece)
        if len(pieces) > 1 and b"\n" in b"".join(pieces[: len(pieces) // 2]):
            found += await reader.chunk(lines_max, 0)
        for piece in pieces[len(pieces) // 2 :]:
            os.write(sink, piece)
        os.close(sink)
        while chunk := await reader.chunk(lines_max, 0):
            assert len(chunk) <= lines_max
            found += chunk
        os.close(source)
        return found

    assert asyncio.run(read()) == expected


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    """A file of another kind, given by mistake, is one bad line and not a dead machine."""
    file = tmp_path / "dump"
    file.write_bytes(b"x" * (5 * LINE_BYTES_MAX) + b"\nshort")

    async def read() -> list[bytes]:
        with file.open("rb") as opened:
            reader = LineReader(opened.fileno())
            found = await reader.chunk(10, 0)
            assert await reader.chunk(10, 0) == []
        return found

    assert asyncio.run(read()) == [b"x" * LINE_BYTES_MAX, b"short"]
