"""The demo: its oracle finds what is planted, its run is true, and it leaves nothing behind."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from service.demo.events import FAULTY_SHARE, FLOWS, plan_events
from service.demo.oracle import Outcome, Placed, Published, Request, Verification, verify
from tests.support.kafka import admin_client

ROOT = Path(__file__).parents[2]
EVENTS = 600
JSON_KEYS = {
    *("events", "accepted", "dead_letters", "lost", "doubled", "requests"),
    *("calls_per_request_max", "calls_per_request_backlogged", "body_bytes_max"),
    *("calls_per_sliding_minute_max", "limit_per_minute", "seconds"),
}
FLOW = "Flow0001"


class World:
    """Three events that went well: one call accepted, one malformed event, one call refused."""

    def __init__(self) -> None:
        kinds = ("accepted", "invalid", "rejected")
        self.published = [_published(number, kind) for number, kind in enumerate(kinds)]
        self.outcomes = [
            Outcome(self.published[0].source, "accepted", call=(FLOW, '"order-0"')),
            *(
                Outcome(each.source, kind, digest=each.digest)
                for each, kind in zip(self.published[1:], kinds[1:], strict=True)
            ),
        ]
        self.placed = [Placed(FLOW, '"order-0"', 1)]

    def verify(self) -> Verification:
        """What the oracle says of it."""
        return verify(self.published, self.outcomes, self.placed, [])


def _published(number: int, expected: str, at: float = 0.0, flow_id: str = FLOW) -> Published:
    digest = hashlib.sha256(str(number).encode()).digest()
    source = ("calls.requests", 0, number)
    identifier = f'"order-{number}"'
    return Published(source, flow_id, identifier, frozenset({expected}), digest, at)


def test_the_oracle_is_content_with_a_good_run() -> None:
    """An oracle that cries wolf would be switched off."""
    found = World().verify()
    assert found.ok
    assert (found.events, found.accepted) == (3, 1)
    assert found.dead_letters == {"invalid": 1, "rejected": 1}


def _no_outcome(world: World) -> None:
    del world.outcomes[0]


def _told_but_never_placed(world: World) -> None:
    world.placed.clear()


def _placed_twice(world: World) -> None:
    world.placed[0] = replace(world.placed[0], times=2)


def _told_twice(world: World) -> None:
    world.outcomes.append(world.outcomes[1])


def _result_and_dead_letter(world: World) -> None:
    world.outcomes.append(replace(world.outcomes[1], source=world.published[0].source))
    world.published[0] = replace(
        world.published[0], expected=frozenset(), digest=world.published[1].digest
    )
    world.placed.clear()


def _rejected_but_placed(world: World) -> None:
    world.placed.append(Placed(FLOW, '"order-2"', 1))


def _another_reason(world: World) -> None:
    world.outcomes[2] = replace(world.outcomes[2], kind="expired")


def _another_call(world: World) -> None:
    world.outcomes[0] = replace(world.outcomes[0], call=(FLOW, '"order-2"'))


def _another_value(world: World) -> None:
    world.outcomes[1] = replace(world.outcomes[1], digest=world.published[2].digest)


def _outcome_of_nothing(world: World) -> None:
    world.outcomes.append(replace(world.outcomes[0], source=("calls.requests", 5, 0)))


def _call_of_nothing(world: World) -> None:
    world.placed.append(Placed("Flow0002", '"order-0"', 1))


PLANTED = [
    (_no_outcome, (1, 0, 0), "calls.requests-0-0: has no outcome, and was called"),
    (_told_but_never_placed, (1, 0, 0), "calls.requests-0-0: has a result, but"),
    (_placed_twice, (0, 1, 0), "calls.requests-0-0: was accepted 2 times"),
    (_told_twice, (0, 1, 0), "calls.requests-0-1: has 2 outcomes: invalid, invalid"),
    (_result_and_dead_letter, (1, 1, 0), "calls.requests-0-0: has 2 outcomes"),
    (_rejected_but_placed, (0, 0, 1), "calls.requests-0-2: ended rejected, but"),
    (_another_reason, (0, 0, 1), "calls.requests-0-2: ended expired, expected rejected"),
    (_another_call, (0, 0, 1), "calls.requests-0-0: has the result of another call"),
    (_another_value, (0, 0, 1), "calls.requests-0-1: has a dead letter with another value"),
    (_outcome_of_nothing, (0, 0, 1), "calls.requests-5-0: has an outcome, was never"),
    (_call_of_nothing, (0, 0, 1), 'Flow0002 "order-0": was called, was never published'),
]


@pytest.mark.parametrize(("plant", "faults", "text"), PLANTED)
def test_the_oracle_finds_what_is_planted(
    plant: Callable[[World], None], faults: tuple[int, int, int], text: str
) -> None:
    """A demo, or a chaos run, that passes in spite of a lost call would prove nothing."""
    world = World()
    plant(world)
    found = world.verify()
    assert (found.lost, found.doubled, found.wrong) == faults
    named = [*found.lost_first, *found.doubled_first, *found.wrong_first]
    assert any(line.startswith(text) for line in named)
    assert not found.ok


def test_the_oracle_names_ten_offenders_and_counts_all() -> None:
    """A run that lost a million events must not print a million lines."""
    found = verify([_published(number, "accepted") for number in range(50)], [], [], [])
    assert (found.lost, len(found.lost_first)) == (50, 10)


def test_requests_under_a_backlog_are_told_from_others() -> None:
    """The figure that shows full batches must count neither the last ones nor retries."""
    published = [_published(number, "accepted", at=1.0) for number in range(1_400)]
    published += [_published(9_000 + number, "invalid", at=1.0) for number in range(900)]
    requests = [
        Request(FLOW, 7, attempt=1, at=0.5),
        Request(FLOW, 480, attempt=1, at=2.0),
        Request(FLOW, 480, attempt=2, at=3.0),
        Request(FLOW, 413, attempt=1, at=4.0),
        Request(FLOW, 500, attempt=1, at=5.0),
    ]
    found = verify(published, [], [], requests)
    assert found.calls_per_request_backlogged == (480 + 413) / 2


def test_without_a_backlog_there_is_no_mean() -> None:
    """Zero would look like empty batches."""
    assert World().verify().calls_per_request_backlogged is None


def test_events_come_from_the_seed() -> None:
    """A run that failed can be repeated."""
    planned = plan_events(2_000, seed=7)
    assert planned == plan_events(2_000, seed=7) != plan_events(2_000, seed=8)
    kinds = [event.expected for event in planned]
    faulty = int(2_000 * FAULTY_SHARE)
    assert (kinds.count("invalid"), kinds.count("rejected")) == (faulty, faulty)
    assert {event.flow_id for event in planned} == set(FLOWS)
    assert len({event.identifier for event in planned}) == 2_000


def _demo(kafka: str, tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """The demo in a process group of its own, as a terminal would start it."""
    return subprocess.Popen(
        [sys.executable, "-m", "service", "demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "KAFKA_BOOTSTRAP": kafka, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def test_a_small_demo_keeps_every_promise(kafka: str, tmp_path: Path) -> None:
    """The first thing that a newcomer runs, with an outage in the middle of it."""
    with _demo(kafka, tmp_path, "--events", str(EVENTS)) as process:
        stdout, stderr = process.communicate(timeout=110)
    assert process.returncode == 0, stderr
    told = json.loads(stdout.splitlines()[-1])
    assert told.keys() >= JSON_KEYS
    assert (told["events"], told["lost"], told["doubled"], told["wrong"]) == (EVENTS, 0, 0, 0)
    assert told["dead_letters"] == {"invalid": 3, "rejected": 3}
    assert told["accepted"] == EVENTS - 6
    assert told["calls_per_sliding_minute_max"] <= told["limit_per_minute"] == 30_000
    assert "provider outage!" in stderr


def test_a_kept_demo_can_be_looked_at_until_ctrl_c(kafka: str, tmp_path: Path) -> None:
    """A newcomer looks at the pages and topics after the run; then nothing may stay behind."""
    with _demo(kafka, tmp_path, "--events", "100", "--keep") as process:
        assert process.stderr is not None
        said = ""
        while not said.endswith("Ctrl-C stops all of it\n"):
            line = process.stderr.readline()
            assert line, said
            said += line
        pages = re.findall(r"http://\S+(?<!,)", said)
        assert [page.rpartition("/")[2] for page in pages] == [
            *("ledger", "calls", "status", "metrics")
        ]
        for page in pages:
            with urllib.request.urlopen(page, timeout=10) as answer:  # noqa: S310 - our own
                assert answer.status == 200
        children = _children(process.pid)
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(stdout.splitlines()[-1])["lost"] == 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert not list(tmp_path.iterdir())
    prefix = re.findall(r"topics (demo-\w+\.)", said)[0]
    assert not [name for name in asyncio.run(_topics(kafka)) if name.startswith(prefix)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_running(
    kafka: str, tmp_path: Path, number: signal.Signals
) -> None:
    """Else each Ctrl-C would leave a dispatcher behind that holds memory, ports and a group."""
    with _demo(kafka, tmp_path) as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith("publishing"):
            assert process.poll() is None
        children = _children(process.pid)
        assert len(children) == 2, "the twin and the dispatcher"
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert not list(tmp_path.iterdir())


async def _topics(kafka: str) -> list[str]:
    async with admin_client(kafka) as admin:
        return list(await admin.list_topics())


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]
