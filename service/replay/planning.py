"""Makes a plan: which of the dead letters that are asked for would be sent, which not, and why.

Knows nothing of how it is executed, and writes nothing but the plan's file.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.adapters.kafka.scan import KafkaScan
from service.adapters.spill import database
from service.core.letter_filter import Wanted
from service.core.letters import Letter
from service.core.outcomes import rfc3339
from service.core.replay_choice import Chooser, LeftOut, Rules, digest_of
from service.core.replay_words import VERSION, PlanHead, Row
from service.letters import reading
from service.pipeline.flows import Flows, make_intake
from service.replay import plan_file
from service.settings import Settings

SAMPLES_MAX = 3
"""Of each reason."""
COMMIT_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks to be sent again."""

    wanted: Wanted
    rules: Rules
    by: str
    filter: Mapping[str, Any]
    """`wanted` in words, for the audit record."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that was made."""

    head: PlanHead
    path: Path
    samples: dict[str, list[tuple[Letter, Any]]]
    """By reason: some of what would be sent, with their records."""


@dataclass(slots=True)
class _Found:
    """What a scan has found so far; the rows are on disk."""

    rows: sqlite3.Connection = field(default_factory=database)
    by_reason: Counter[str] = field(default_factory=Counter)
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    samples: dict[str, list[tuple[Letter, Any]]] = field(default_factory=lambda: defaultdict(list))
    since_ms: int | None = None
    _fresh: int = 0

    def __post_init__(self) -> None:
        self.rows.execute(
            "CREATE TABLE planned (partition INT, offset INT, sha256 TEXT, drops TEXT,"
            " source TEXT UNIQUE, PRIMARY KEY (partition, offset)) WITHOUT ROWID"
        )
        self.rows.execute("BEGIN")

    def add(self, letter: Letter, record: Any, drops: tuple[str, ...]) -> None:
        _, partition, offset = letter.place
        source = "-".join(map(str, letter.first_source))
        row = (partition, offset, digest_of(record), " ".join(drops), source)
        done = self.rows.execute("INSERT OR IGNORE INTO planned VALUES (?, ?, ?, ?, ?)", row)
        if not done.rowcount:
            self.left_out[LeftOut.NAMED_TWICE] += 1
            return
        self._fresh += 1
        if self._fresh % COMMIT_ROWS == 0:
            self.rows.execute("COMMIT")
            self.rows.execute("BEGIN")
        self.by_reason[letter.reason] += 1
        if len(self.samples[letter.reason]) < SAMPLES_MAX:
            self.samples[letter.reason].append((letter, record))
        self.since_ms = min(self.since_ms or letter.written_ms, letter.written_ms)

    def planned(self) -> Iterator[Row]:
        query = "SELECT partition, offset, sha256, drops FROM planned ORDER BY partition, offset"
        for partition, offset, sha256, drops in self.rows.execute(query):
            yield Row(partition, offset, sha256, tuple(drops.split()))


async def make_plan(scan: KafkaScan, settings: Settings, asked: Asked, path: Path) -> Plan:
    """Look what could be sent, and write it to `path`.

    Raises:
        TopicsError: a topic is missing.
        BrokerUnavailable: the broker did not answer.
        OSError: the plan cannot be written.
    """
    names, replays = settings.kafka.topics, (settings.kafka.topics.replays, 0)
    await scan.topics([names.requests, names.dead_letters, names.replays])
    replays_end = (await scan.ends([replays]))[replays]
    now = time.time()
    found = _Found()
    with closing(found.rows):
        await _look(scan, settings, asked, found, now)
        head = PlanHead(
            version=VERSION,
            id=f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
            made_at=rfc3339(int(now * 1000)),
            by=asked.by,
            filter=dict(asked.filter),
            options={
                "force": asked.rules.force,
                "max-replays": asked.rules.replays_max,
                "set-start-time": "now" if asked.rules.start_time_now else None,
                "drop-expires-at": asked.rules.drop_expires_at,
            },
            topic=names.dead_letters,
            planned=found.by_reason.total(),
            by_reason=dict(found.by_reason.most_common()),
            left_out={str(why): count for why, count in found.left_out.most_common()},
            since_ms=found.since_ms or int(now * 1000),
            replays_end=replays_end,
        )
        return Plan(plan_file.write(path, head, found.planned()), path, dict(found.samples))


async def _look(
    scan: KafkaScan, settings: Settings, asked: Asked, found: _Found, now: float
) -> None:
    names, wanted = settings.kafka.topics, asked.wanted
    chooser = Chooser(make_intake(settings, Flows(settings)), asked.rules)
    with closing(await reading.replayed(scan, names, wanted.since_ms)) as known:
        spans = await reading.spans(scan, names.dead_letters, wanted.since_ms, wanted.until_ms)
        unreadable = Counter[str]()
        async for letter, record in reading.letters(scan, names.dead_letters, spans, unreadable):
            if not wanted.takes(letter, record.value):
                continue
            if known.since(letter):
                found.left_out[LeftOut.REPLAYED] += 1
                continue
            drops = chooser.drops(letter, record, now)
            if isinstance(drops, LeftOut):
                found.left_out[drops] += 1
            else:
                found.add(letter, record, drops)
