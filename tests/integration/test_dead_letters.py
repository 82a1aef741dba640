"""`dead-letters` on real Kafka: what is found, counted, told, and kept from being seen."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.core.origin import Origin
from tests.support.dispatcher import command
from tests.support.kafka import Names, produce
from tests.support.past import BATCH, FLOW, Past, Turn, event, without_progress
from tests.support.settings import sections_of, settings_for


class Operator:
    """Somebody with a shell, and a past to look at."""

    def __init__(self, past: Past, directory: Path) -> None:
        self.past = past
        self._directory = directory

    async def __call__(self, *arguments: str) -> tuple[int, str]:
        """Exit code, and what was printed."""
        sections = sections_of(self.past.settings)
        code, said = await command(self._directory, ("dead-letters", *arguments), sections)
        return code, without_progress(said)

    async def rows(self, *arguments: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Rows and the rest of a list."""
        code, said = await self("list", "--output", "json", *arguments)
        assert code == 0, said
        whole = json.loads(said)
        return whole.pop("rows"), whole

    async def offsets(self, *arguments: str) -> list[int]:
        """The sources' offsets of a list."""
        rows, _ = await self.rows(*arguments)
        return sorted(int(row["source"].rpartition("-")[2]) for row in rows)

    async def shown(self, *arguments: str) -> dict[str, Any]:
        """The history of one."""
        code, said = await self("show", "--output", "json", *arguments)
        assert code == 0, said
        whole: dict[str, Any] = json.loads(said)
        return whole


@pytest.fixture
async def operator(kafka: str, names: Names, tmp_path: Path) -> AsyncIterator[Operator]:
    """Six events: one accepted, five failed, by different reasons."""
    past = Past(settings_for(kafka, names))
    await past.begin()
    await past.publish(
        (event(n) for n in range(6)), headers=[("traceparent", b"00-aa-bb-01"), ("who", b"Asha")]
    )
    await past.read()
    fails = {1: "rejected", 2: "rejected", 3: "invalid", 4: "unconfirmed", 5: "expired"}
    await past.turn(Turn(accept=[0], fail=fails))
    yield Operator(past, tmp_path)
    await past.end()


async def test_the_morning_begins_with_counts(operator: Operator) -> None:
    """Forty thousand dead letters since two: first what they are, then single ones."""
    code, said = await operator("list")
    assert code == 0
    assert said.startswith("5 dead letters\nreason       count\nrejected     2\n")
    assert "2      rejected     400   AbCd1234" in said
    assert "the newest" in said
    assert "9800000001" not in said
    assert "because of [number]" in said
    rows, rest = await operator.rows("--rows", "2")
    assert (len(rows), rest["total"]) == (2, 5)
    (rejected,) = (kind for kind in rest["counts"] if kind["reason"] == "rejected")
    assert (rejected["code"], rejected["flow-id"], rejected["count"]) == ("400", FLOW, 2)


async def test_filters_find_what_they_name(operator: Operator) -> None:
    """A replay will send what a filter found: it must be neither more nor less."""
    assert await operator.offsets() == [1, 2, 3, 4, 5]
    assert await operator.offsets("--reason", "rejected", "--reason", "expired") == [1, 2, 5]
    assert await operator.offsets("--code", "400", "--flow", FLOW, "--batch", BATCH) == [
        *range(1, 6)
    ]
    assert await operator.offsets("--code", "401") == []
    assert await operator.offsets("--partition", "0", "--offset", "2-4") == [2, 3]
    assert await operator.offsets("--offset", "4") == [4]
    assert await operator.offsets("--client-identifier", "customer-3") == [3]
    assert await operator.offsets("--since", "1h") == [1, 2, 3, 4, 5]
    assert await operator.offsets("--until", "1h") == []
    assert await operator.offsets("--not-replayed") == [1, 2, 3, 4, 5]
    assert await operator.offsets("--replayed") == []


async def replay(past: Past, origins: list[int], count: int = 1) -> None:
    """Send these events again, as the replay `night-1` would."""
    bootstrap, topics = past.settings.kafka.bootstrap_servers, past.topics
    await produce(bootstrap, topics.replays, [b"{}"], key=b"night-1")
    for offset in origins:
        origin = Origin(topics.requests, 0, offset, 1, "night-1", count)
        await past.publish([event(offset)], headers=origin.headers())
    await past.read()


async def test_what_was_replayed_is_told_until_it_fails_again(operator: Operator) -> None:
    """Whoever replays what is left must not send again what is on its way already."""
    past = operator.past
    await replay(past, [1, 2])
    forged = Origin(past.topics.requests, 0, 3, 1, "forged", 1)
    await past.publish([event(3)], headers=forged.headers())
    assert await operator.offsets("--replayed") == [1, 2]
    assert await operator.offsets("--not-replayed") == [3, 4, 5]
    await past.turn(Turn(fail={6: "rejected", 7: "rejected"}, replays={"night-1"}))
    assert await operator.offsets("--replayed") == [1, 2]
    assert await operator.offsets("--not-replayed") == [3, 4, 5, 6, 7]
    await replay(past, [1], count=2)
    assert await operator.offsets("--not-replayed") == [3, 4, 5, 7]


async def test_a_history_is_told_from_any_of_its_lives(operator: Operator) -> None:
    """Why is this customer still not called? The answer is in the lives before."""
    past = operator.past
    await replay(past, [1])
    await past.turn(Turn(fail={6: "exhausted"}, replays={"night-1"}))
    await replay(past, [1], count=2)
    await past.turn(Turn(accept=[7], replays={"night-1"}))
    topics = past.topics
    first = await operator.shown("0-1")
    again = await operator.shown(f"{topics.requests}-0-6")
    by_place = await operator.shown(again["dead-letter"]["place"])
    assert first["history"] == again["history"] == by_place["history"]
    steps = [(step["what"], int(step["source"].rpartition("-")[2])) for step in first["history"]]
    assert steps == [
        ("published", 1),
        ("failed", 1),
        ("replayed", 6),
        ("failed", 6),
        ("replayed", 7),
        ("accepted", 7),
    ]
    assert (first["dead-letter"]["reason"], again["dead-letter"]["reason"]) == (
        "rejected",
        "exhausted",
    )
    assert (again["dead-letter"]["replay-id"], again["dead-letter"]["replay-count"]) == (
        "night-1",
        1,
    )
    assert by_place["dead-letter"] == again["dead-letter"]
    assert again["first-source"] == f"{topics.requests}-0-1"
    code, said = await operator("show", "0-6")
    assert code == 0
    assert "replay night-1" in said


async def test_private_things_are_seen_only_on_request(operator: Operator) -> None:
    """What is shown is pasted into a ticket."""
    masked = await operator.shown("0-1")
    text = json.dumps(masked)
    assert not any(private in text for private in ("9800000001", "Asha"))
    assert masked["event"]["contact-numbers"] == ["********"]
    assert masked["headers"][0] == {"name": "traceparent", "value": "00-aa-bb-01"}
    whole = await operator.shown("0-1", "--unmask")
    assert whole["event"] == json.loads(event(1))
    assert {"name": "who", "value": "Asha"} in whole["headers"]
    assert "9800000001" in whole["dead-letter"]["message"]
    code, said = await operator("list", "--unmask")
    assert code == 0
    assert "because of 9800000001" in said


async def test_a_file_for_a_spreadsheet_holds_all_rows_and_no_formula(operator: Operator) -> None:
    """An identifier of a hostile customer must not become a formula on somebody's desk."""
    past = operator.past
    (offset,) = await past.publish([event(0, client_identifier="=cmd|' /C calc'!A0")])
    await past.read()
    await past.turn(Turn(fail={offset: "rejected"}))
    await produce(past.settings.kafka.bootstrap_servers, past.topics.dead_letters, [b"not ours"])
    code, said = await operator("list", "--output", "csv")
    assert code == 0
    caution = "caution: 1 records are no dead letters of a dispatcher\n"
    assert caution in said
    rows = list(csv.DictReader(io.StringIO(said.replace(caution, ""))))
    assert len(rows) == 6
    assert rows[-1]["client-identifier"] == "'=cmd|' /C calc'!A0"
    assert rows[0]["reason"] == "rejected"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("list", "--since", "noon"), 2, "--since: is no ISO 8601 date"),
        (("list", "--offset", "a-b"), 2, "--offset: write it like 1000, or 1000-2000"),
        (("list", "--reason", "wrong"), 2, "is not one of"),
        (("show", "17"), 2, "name the event's record like 3-1234"),
        (("show", "other-0-1"), 2, "give a record of"),
        (("show", "0-0"), 1, "it was accepted"),
        (("show", "0-999"), 1, "its record is not there"),
        (("show", "99-1"), 1, "its record is not there"),
    ],
)
async def test_what_cannot_be_found_is_said_with_the_way_on(
    operator: Operator, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """An empty answer to a misspelt question reads like good news."""
    got, said = await operator(*arguments)
    assert got == code, said
    assert words in said


async def test_missing_topics_are_one_line(kafka: str, names: Names, tmp_path: Path) -> None:
    """A wrong configuration file must not look like a morning without dead letters."""
    past = Past(settings_for(kafka, names))
    for arguments in (("list",), ("show", "0-1")):
        code, said = await Operator(past, tmp_path)(*arguments)
        assert (code, said.count("\n")) == (1, 1), said
        assert "call-dispatcher topics create" in said
