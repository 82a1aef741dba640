"""`audit` on real Kafka: what is planted is named, and what is right or still open is not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from service.core.calls import Header
from service.core.intake import PlainRecord
from service.core.offsets import Ledger
from service.core.origin import Origin
from tests.support.dispatcher import command
from tests.support.kafka import Names, admin_client, produce, producer
from tests.support.past import Past, Turn, event, without_progress
from tests.support.settings import sections_of, settings_for


class Auditing:
    """A past, and the command that judges it."""

    def __init__(self, past: Past, directory: Path) -> None:
        self.past = past
        self._directory = directory

    async def __call__(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Exit code and report."""
        code, said = await self.text(*arguments, "--output", "json")
        return code, json.loads(said)

    async def text(self, *arguments: str) -> tuple[int, str]:
        """Exit code and all that was printed."""
        sections = sections_of(self.past.settings)
        code, said = await command(self._directory, ("audit", *arguments), sections)
        return code, without_progress(said)

    def source(self, offset: int) -> str:
        """How a report names a request."""
        return f"{self.past.topics.requests}-{self.past.partition}-{offset}"


@pytest.fixture
async def auditing(kafka: str, names: Names, tmp_path: Path) -> AsyncIterator[Auditing]:
    """Empty topics and their lane."""
    past = Past(settings_for(kafka, names))
    await past.begin()
    yield Auditing(past, tmp_path)
    await past.end()


async def delete_before(past: Past, topic: str, partition: int, offset: int) -> None:
    """What retention does, at once."""
    async with admin_client(past.settings.kafka.bootstrap_servers) as admin:
        await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(offset)})


async def test_a_kept_promise_is_kept_whatever_is_still_open(auditing: Auditing) -> None:
    """An alarm about calls that merely wait would be turned off by the second night."""
    past = auditing.past
    await past.publish(event(n) for n in range(10))
    await past.read()
    await past.turn(Turn(accept=[0, 2], fail={1: "rejected"}, park=[3, 4], open=[6, 5]))
    await past.publish(event(n) for n in range(10, 13))
    code, report = await auditing()
    assert code == 0, report
    assert report["kept"] is True
    assert (report["requests"], report["results"]) == (13, 2)
    assert report["dead-letters"] == {"rejected": 1}
    counts = {kind: each["count"] for kind, each in report["open"].items()}
    assert counts == {"in-batch": 2, "waiting": 6, "parked": 2, "overflow": 0}
    assert report["open"]["in-batch"]["first"] == [auditing.source(5), auditing.source(6)]
    assert 0 <= report["open"]["waiting"]["oldest-age-seconds"] < 600


async def test_what_is_planted_is_named(auditing: Auditing) -> None:
    """The whole worth of an audit: the one lost call among thousands, by its place."""
    past = auditing.past
    await past.publish(event(n) for n in range(10))
    await delete_before(past, past.topics.requests, 0, 2)
    past.requests.lose(0, 2)
    await past.read()
    await past.turn(Turn(accept=[2, 3, 4], fail={5: "expired"}, forget=[6]))
    true = past.requests
    past.requests = Ledger(past.topics.requests, 0, 0)
    past.requests.read([4, 5])
    await past.turn(Turn(accept=[4, 5]))
    past.requests = true
    await past.turn(Turn())
    code, report = await auditing()
    assert code == 1
    assert report["kept"] is False
    assert [fault["source"] for fault in report["lost-first"]] == [auditing.source(6)]
    assert (report["lost"], report["doubled"], report["orphans"]) == (1, 2, 0)
    first, second = report["doubled-first"]
    assert (first["source"], second["source"]) == (auditing.source(4), auditing.source(5))
    results, dead_letters = past.topics.results, past.topics.dead_letters
    assert first["outcomes"] == [f"result {results}-0-2", f"result {results}-0-4"]
    assert sorted(second["outcomes"]) == [f"expired {dead_letters}-0-0", f"result {results}-0-5"]
    assert report["gaps"] == [{"topic": past.topics.requests, "partition": 0, "first": 0, "end": 2}]
    code, said = await auditing.text()
    assert code == 1
    assert f"lost     {auditing.source(6)}" in said
    assert said.endswith("the promise is broken\n")


async def test_a_parked_call_that_is_done_there_and_has_no_outcome_is_lost(
    auditing: Auditing,
) -> None:
    """A copy that still lies in the parked topic must not hide that nobody will read it."""
    past = auditing.past
    await past.publish(event(n) for n in range(4))
    await past.read()
    await past.turn(Turn(park=[0, 1, 2, 3]))
    past.parked.read([0, 1])
    past.parked.finish([0])
    await past.turn(Turn())
    code, report = await auditing()
    assert (code, report["lost"], report["open"]["parked"]["count"]) == (1, 1, 3)
    assert report["lost-first"][0]["source"] == auditing.source(0)


async def test_outcomes_of_nothing_are_orphans(auditing: Auditing) -> None:
    """A result of an event that upstream took back was called, and nobody asked for it."""
    past = auditing.past
    bootstrap, topic = past.settings.kafka.bootstrap_servers, past.topics.requests
    async with producer(bootstrap, transactional_id=f"{topic}.upstream") as client:
        await client.begin_transaction()
        taken_back = await client.send_and_wait(topic, event(0), partition=0)
        await client.abort_transaction()
    await past.publish([event(1)])
    await past.read()
    past.records[0] = PlainRecord(
        event(0), topic=topic, partition=0, offset=taken_back.offset, timestamp=1
    )
    past.requests = Ledger(topic, 0, 0)
    past.requests.read([0, 2])
    await past.turn(Turn(accept=[0, 2]))
    await produce(bootstrap, past.topics.results, [b"not ours"])
    code, report = await auditing()
    assert (code, report["orphans"], report["unreadable"]) == (1, 1, 1)
    (orphan,) = report["orphans-first"]
    assert orphan["source"] == auditing.source(0)
    assert orphan["outcomes"] == [f"result {past.topics.results}-0-0"]


async def test_what_retention_took_is_out_of_range_and_said_so(auditing: Auditing) -> None:
    """Outcomes that were deleted by age must not look like lost calls, nor be passed over."""
    past = auditing.past
    old_ms = int(time.time() * 1000) - 10 * 86_400_000
    await past.publish([event(0)])
    async with producer(past.settings.kafka.bootstrap_servers) as client:
        await client.send_and_wait(past.topics.requests, event(1), partition=0, timestamp_ms=old_ms)
    await past.publish(event(n) for n in range(2, 6))
    await past.read()
    await past.turn(Turn(accept=[0, 1, 2]))
    await past.turn(Turn(accept=[3, 4, 5]))
    await delete_before(past, past.topics.requests, 0, 1)
    await delete_before(past, past.topics.results, 0, 2)
    code, report = await auditing()
    assert (code, report["lost"]) == (0, 0)
    assert report["requests"] == 5
    assert report["out-of-range"]["requests-with-outcomes-gone"] == 1
    assert report["outcomes-since"] is not None


async def test_a_range_is_obeyed(auditing: Auditing) -> None:
    """A nightly job looks at the last day only, and must not be rung by what is known."""
    past = auditing.past
    old_ms = int(time.time() * 1000) - 7_200_000
    async with producer(past.settings.kafka.bootstrap_servers) as client:
        for n in range(3):
            await client.send_and_wait(
                past.topics.requests, event(n), partition=0, timestamp_ms=old_ms + n
            )
    await past.publish(event(n) for n in range(3, 6))
    await past.read()
    await past.turn(Turn(accept=[0, 2, 3, 4, 5], forget=[1]))
    assert (await auditing())[0] == 1
    code, report = await auditing("--since", "1h")
    assert (code, report["requests"], report["results"]) == (0, 3, 3)
    assert (await auditing("--until", "1h"))[1]["lost"] == 1
    code, report = await auditing("--partition", "0", "--offsets", "2-4")
    assert (code, report["requests"]) == (0, 2)
    assert report["out-of-range"]["outcomes-of-older-requests"] == 1
    assert (await auditing("--partition", "1"))[1]["requests"] == 0


async def test_wrong_usage_is_two(auditing: Auditing) -> None:
    """Cron must be able to tell a misspelt option from a broken promise."""
    for arguments in (
        ("--since", "noon"),
        ("--offsets", "1-2"),
        ("--partition", "0", "--offsets", "1"),
        ("--output", "xml"),
    ):
        code, said = await auditing.text(*arguments)
        assert code == 2, said


def replayed(origin: int, replay_id: str, topic: str, count: int = 1) -> list[Header]:
    """Headers of an event that was replayed."""
    return Origin(topic, 0, origin, 1, replay_id, count).headers()


async def test_replays_are_chained(auditing: Auditing) -> None:
    """A replay that phones somebody again who was called is the harm that it must not do."""
    past = auditing.past
    topic = past.topics.requests
    await past.publish(event(n) for n in range(4))
    await past.read()
    await past.turn(Turn(accept=[3], fail={0: "rejected", 1: "rejected", 2: "rejected"}))
    bootstrap = past.settings.kafka.bootstrap_servers
    await produce(bootstrap, past.topics.replays, [b"{}"], key=b"replay-1")
    await past.publish([event(0)], headers=replayed(0, "replay-1", topic))
    await past.publish([event(1)], headers=replayed(1, "replay-1", topic))
    await past.publish([event(2)], headers=replayed(3, "forged", topic))
    await past.read()
    believed = {"replay-1"}
    await past.turn(Turn(accept=[4, 6], fail={5: "rejected"}, replays=believed))
    code, report = await auditing()
    assert code == 0, report
    assert report["replays"] == {
        "replay-1": {"sent": 2, "results": 1, "dead-letters": 1, "open": 0}
    }
    await past.publish([event(0)], headers=replayed(0, "replay-1", topic))
    await past.publish([event(3)], headers=replayed(3, "replay-1", topic))
    await past.read()
    await past.turn(Turn(accept=[7, 8], replays=believed))
    code, report = await auditing()
    assert (code, report["doubled"], report["sent-again"]) == (1, 2, 1)
    assert {fault["source"] for fault in report["doubled-first"]} == {
        auditing.source(0),
        auditing.source(3),
    }


async def test_an_open_transaction_is_waited_for(auditing: Auditing) -> None:
    """The checkpoint may be seen before the outcomes of its own turn are: that is no loss."""
    past = auditing.past
    await past.publish(event(n) for n in range(2))
    await past.read()
    bootstrap, results = past.settings.kafka.bootstrap_servers, past.topics.results
    async with producer(bootstrap, transactional_id=f"{results}.other") as client:
        await client.begin_transaction()
        await client.send_and_wait(results, b"open", partition=0)
        await past.turn(Turn(accept=[0, 1]))
        running = asyncio.create_task(auditing())
        done, _ = await asyncio.wait([running], timeout=3)
        assert not done
        await client.abort_transaction()
    code, report = await running
    assert (code, report["results"]) == (0, 2)
