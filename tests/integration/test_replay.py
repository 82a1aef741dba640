"""`dead-letters replay` on real Kafka: what is planned, what is sent, what no accident changes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.core.origin import Origin, origin_of
from tests.support.dispatcher import command
from tests.support.kafka import Names, read_all
from tests.support.past import Past, Turn, event, without_progress
from tests.support.settings import sections_of, settings_for

REASONS = ("rejected", "exhausted", "invalid", "duplicate", "unconfirmed", "cancelled")


@dataclass(slots=True)
class Operator:
    """Somebody with a shell, and a past to look at."""

    past: Past
    directory: Path
    more: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def __call__(self, *arguments: str) -> tuple[int, str]:
        """Exit code, and what was printed."""
        sections = {**sections_of(self.past.settings), **self.more}
        sections["kafka"]["session_timeout_seconds"] = 6
        words = ("dead-letters", "replay", *arguments)
        code, said = await command(self.directory, words, sections)
        return code, without_progress(said)

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
