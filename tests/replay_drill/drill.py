"""The drill itself: a night's dead letters, a plan, its execution killed twice, and the proof.

Knows nothing of the command line.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from service.core.origin import origin_of
from service.demo.processes import Process
from service.demo.stage import Stage
from tests.replay_drill.live import Live
from tests.support.dispatcher import command, ended
from tests.support.kafka import Names, read_all
from tests.support.past import Past, Turn, event
from tests.support.settings import SECURITY_ID, settings_for

SHARES = {
    "rejected": 40,
    "exhausted": 20,
    "cancelled": 15,
    "expired": 15,
    "invalid": 5,
    "duplicate": 3,
    "unconfirmed": 2,
}
"""Of a hundred; `duplicate`, `unconfirmed` and `invalid` are left out of the plan."""
EVENTS = 50_000
PLANNED_OF_HUNDRED = 90
TURN_EVENTS = 5_000
LATENCY_MS = "20-80"
LIVE_PER_SECOND = 100
POLL_SECONDS = 0.5
MOMENT_SECONDS_MAX = 900.0
LIVE_P99_RATIO_MAX = 1.5
EXPIRED_AT = "2026-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Course:
    """How it is played."""

    events: int = EVENTS
    rate: float | None = None
    """Of the replay; None: what live traffic leaves."""
    warm_seconds: float = 15.0
    baseline_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it."""

    planned: int
    sent: int
    sent_twice: int
    live_p99_ratio: float
    second_run_sent: int
    audit_broken: int

    @property
    def safe(self) -> bool:
        """All was sent, each once, and nothing is broken; whatever the machine's speed."""
        return self.sent == self.planned and not (
            self.sent_twice or self.second_run_sent or self.audit_broken
        )


class Drill:
    """One run on a stage whose broker runs."""

    def __init__(self, stage: Stage, course: Course, tell: Callable[[str], None]) -> None:
        self._stage = stage
        self._course = course
        self._tell = tell
        topics = stage.names.topics
        self._settings = settings_for(
            stage.bootstrap, Names(), kafka={"group_id": stage.names.prefix, "topics": topics}
        )
        kafka = {"bootstrap_servers": stage.bootstrap, "group_id": stage.names.prefix}
        self._sections: dict[str, dict[str, Any]] = {
            "kafka": {**kafka, "topics": topics},
            "provider": {"url": self._settings.provider.url},
        }
        self._plan = stage.directory / "the.plan"
        self._config = stage.directory / "replay.yaml"
        self._config.write_text(yaml.safe_dump(self._sections))

    async def run(self) -> Figures:
        """Play it."""
        await self._bury()
        url = await self._stage.start_twin("--limit", "30000", "--latency-ms", LATENCY_MS)
        dispatcher = await self._stage.start_dispatcher(url)
        topics, course = self._settings.kafka.topics, self._course
        said = await self._command("--drop-expires-at", "--plan", str(self._plan))
        planned = _planned(self._plan)
        self._tell(said.split("\n\nsamples")[0])
        async with Live(
            self._stage.bootstrap, topics.requests, topics.results, LIVE_PER_SECOND
        ) as live:
            await asyncio.sleep(course.warm_seconds)
            quiet_from = time.time()
            await asyncio.sleep(course.baseline_seconds)
            replay_from = time.time()
            await self._execute(planned)
            replay_to = time.time()
            await live.end()
        before, during = live.p99(quiet_from, replay_from), live.p99(replay_from, replay_to)
        self._tell(f"live p99: {before:.3f} s before, {during:.3f} s beside the replay")
        lives = await self._lives()
        broken = await self._audit()
        self._tell("the same plan again, and a new one")
        await self._command("--execute", str(self._plan), "--rate", "10000")
        await self._command("--drop-expires-at", "--plan", str(self._plan))
        await self._command("--execute", str(self._plan), "--rate", "10000")
        again = await self._lives()
        await dispatcher.stop()
        return Figures(
            planned,
            sum(lives.values()),
            sum(times - 1 for times in lives.values()),
            round(during / before, 2),
            sum(again.values()) - sum(lives.values()),
            broken,
        )

    async def _bury(self) -> None:
        """The night: each event failed by some reason."""
        past = Past(self._settings)
        await past.begin()
        reasons = [reason for reason, share in SHARES.items() for _ in range(share)]
        why: dict[int, str] = {}
        for first in range(0, self._course.events, TURN_EVENTS):
            numbers = range(first, min(first + TURN_EVENTS, self._course.events))
            chosen = [reasons[number * 37 % 100] for number in numbers]
            values = [_event(number, what) for number, what in zip(numbers, chosen, strict=True)]
            why |= dict(zip(await past.publish(values), chosen, strict=True))
        await past.read()
        offsets = list(why)
        for first in range(0, len(offsets), TURN_EVENTS):
            some = offsets[first : first + TURN_EVENTS]
            await past.turn(Turn(fail={offset: why[offset] for offset in some}))
        await past.end()
        self._tell(f"{len(offsets):,} dead letters since two o'clock")

    async def _command(self, *arguments: str) -> str:
        words = ("dead-letters", "replay", *arguments)
        code, said = await command(self._stage.directory, words, self._sections)
        assert code == 0, said
        return said

    async def _execute(self, planned: int) -> None:
        """Execute, kill -9 at a third and at two thirds, and execute to the end."""
        for third in (1, 2, 3):
            process = await self._start(third)
            if third < 3:
                await self._sent(process, planned * third // 3)
                os.kill(process.pid, signal.SIGKILL)
                await ended(process)
                self._tell(f"kill -9 after {await self._noted():,} of {planned:,}")
            else:
                async with asyncio.timeout(MOMENT_SECONDS_MAX):
                    while process.exit_code is None:  # noqa: ASYNC110 - another process ends
                        await asyncio.sleep(POLL_SECONDS)
                self._tell(process.log_file.read_text().strip().splitlines()[-1])
                assert process.exit_code == 0, process.last_words

    async def _start(self, number: int) -> Process:
        rate = () if self._course.rate is None else ("--rate", str(self._course.rate))
        words = ("dead-letters", "replay", "--execute", str(self._plan), *rate)
        return await Process.start(
            "replay",
            (*words, "--config", str(self._config)),
            self._stage.directory / f"replay-{number}.log",
            {"DISPATCHER_PROVIDER__SECURITY_ID": SECURITY_ID},
        )

    async def _sent(self, process: Process, count: int) -> None:
        async with asyncio.timeout(MOMENT_SECONDS_MAX):
            while await self._noted() < count:
                assert process.exit_code is None, process.last_words
                await asyncio.sleep(POLL_SECONDS)

    async def _noted(self) -> int:
        found = await read_all(self._stage.bootstrap, self._settings.kafka.topics.replays)
        return max((int(json.loads(each.value)["sent"]) for each in found), default=0)

    async def _lives(self) -> Counter[int]:
        """How often each dead letter's event was sent, by the offset of its first life."""
        topics, bootstrap = self._settings.kafka.topics, self._stage.bootstrap
        ids = {each.key.decode() for each in await read_all(bootstrap, topics.replays)}
        found = (origin_of(each, ids) for each in await read_all(bootstrap, topics.requests))
        return Counter(origin.offset for origin in found if origin is not None)

    async def _audit(self) -> int:
        """Once nothing is open any more: what is lost, doubled, without a source, or sent again."""
        async with asyncio.timeout(MOMENT_SECONDS_MAX):
            while True:
                code, said = await command(
                    self._stage.directory, ("audit", "--output", "json"), self._sections
                )
                report = json.loads(said[said.index("{") :])
                if not sum(each["count"] for each in report["open"].values()):
                    break
        broken = sum(int(report[name]) for name in ("lost", "doubled", "orphans", "sent-again"))
        assert (code == 0) == (not broken and not report["gaps"]), report
        return broken + len(report["gaps"])


def _planned(plan: Path) -> int:
    with plan.open() as file:
        return int(json.loads(file.readline())["planned"])


def _event(number: int, reason: str) -> bytes:
    if reason == "invalid":
        return event(number, strat_time="now")
    if reason == "expired":
        return event(number, expires_at=EXPIRED_AT)
    return event(number)
