"""A scene for tests of the whole program: its processes, what is published, and what came of it.

Knows nothing of the dispatcher's inside: topics, the twin's ledger, logs and pages tell all.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from service.demo.evidence import Outcomes, TwinPages, as_requests
from service.demo.oracle import Published, Verification, verify
from service.demo.processes import Process
from service.demo.stage import Dispatcher, Stage
from service.settings import Settings
from tests.support.kafka import Names, Topic, create_topics, produce, read_all
from tests.support.settings import SECURITY_ID, settings_for

STATE_SECONDS_MAX = 60.0
"""For a state to be reached, on a machine that does other things too."""
POLL_SECONDS = 0.1
STOP_SECONDS_MAX = 20.0

Sections = dict[str, dict[str, Any]]
QUICK: Sections = {
    "kafka": {"session_timeout_seconds": 6},
    "batching": {"linger_seconds": 0.1},
    "provider": {"timeout_seconds": 2},
    "retry": {"backoff_seconds": 0.2, "backoff_max_seconds": 1.0},
    "log": {"level": "debug"},
}
"""Short waits, so that recoveries take seconds."""


def merged(*parts: Sections) -> Sections:
    """Configurations put over each other, field by field."""
    names = {name for part in parts for name in part}
    return {name: {k: v for p in parts for k, v in p.get(name, {}).items()} for name in names}


def call(number: int, flow_id: str = "Flow0000", **more: object) -> dict[str, Any]:
    """An event of customer `number`; `more` is put over it, with `_` for `-` in names."""
    return {
        "flow-id": flow_id,
        "client-identifier": f"customer-{number}",
        "contact-numbers": [f"98{number:08d}"],
        **{name.replace("_", "-"): value for name, value in more.items()},
    }


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Return once `condition` holds."""
    async with asyncio.timeout(STATE_SECONDS_MAX):
        while not await condition():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(POLL_SECONDS)


async def page(dispatcher: Dispatcher, name: str) -> tuple[int, Any]:
    """HTTP status and JSON of one of its pages."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{dispatcher.address}/{name}") as answer,
    ):
        return answer.status, json.loads(await answer.text())


async def the_lane(dispatcher: Dispatcher) -> dict[str, Any]:
    """What /status says of its only lane; empty if it owns none."""
    lanes = (await page(dispatcher, "status"))[1]["lanes"]
    return dict(lanes[0]) if lanes else {}


def log_lines(dispatcher: Dispatcher, event: str) -> list[dict[str, Any]]:
    """Lines of its log with this event name."""
    text = dispatcher.process.log_file.read_text()
    whole = text[: text.rfind("\n") + 1].splitlines()
    return [line for line in map(json.loads, whole) if line["event"] == event]


async def logged(dispatcher: Dispatcher, event: str) -> bool:
    """Whether its log has a line with this event name; for `until`."""
    return bool(log_lines(dispatcher, event))


async def ended(process: Process) -> int:
    """Its exit code, once it has ended."""
    async with asyncio.timeout(STATE_SECONDS_MAX):
        while process.exit_code is None:  # noqa: ASYNC110 - another process sets it
            await asyncio.sleep(POLL_SECONDS)
    return process.exit_code


async def kill(dispatcher: Dispatcher) -> None:
    """End it by SIGKILL: nothing of it can be tidied up."""
    os.kill(dispatcher.process.pid, signal.SIGKILL)
    await ended(dispatcher.process)


async def command(
    directory: Path, arguments: Sequence[str], sections: Sections, **environment: str
) -> tuple[int, str]:
    """Run a command that ends by itself; returns its exit code and all that it printed."""
    name = secrets.token_hex(4)
    config = directory / f"{name}.yaml"
    config.write_text(yaml.safe_dump(sections))
    environment = {"DISPATCHER_PROVIDER__SECURITY_ID": SECURITY_ID, **environment}
    process = await Process.start(
        "command",
        (*arguments, "--config", str(config)),
        directory / f"{name}.log",
        environment,
    )
    try:
        code = await ended(process)
    finally:
        await process.stop(0)
    return code, process.log_file.read_text()


@dataclass(slots=True)
class Scene:
    """One test's processes, topics and events. Every event's identifier is its alone."""

    stage: Stage
    url: str
    twin: TwinPages
    outcomes: Outcomes
    config: Sections
    published: list[Published] = field(default_factory=list)

    @property
    def requests(self) -> str:
        """The topic that the dispatcher reads."""
        return self.stage.names.topics["requests"]

    async def run(self, name: str = "dispatcher", **more: dict[str, Any]) -> Dispatcher:
        """Start a dispatcher; it is ready, as an owner or a standby."""
        return await self.stage.start_dispatcher(
            self.url, merged(QUICK, self.config, more), name=name
        )

    async def command(self, *arguments: str, **more: dict[str, Any]) -> tuple[int, str]:
        """Run a command on this scene's topics; returns its exit code and what it printed."""
        mine: Sections = {
            "kafka": {
                "bootstrap_servers": self.stage.bootstrap,
                "group_id": self.stage.names.prefix,
                "topics": self.stage.names.topics,
            },
            "provider": {"url": self.url},
            "http": {"port": 0},
        }
        sections = merged(mine, QUICK, self.config, more)
        return await command(self.stage.directory, arguments, sections)

    @property
    def settings(self) -> Settings:
        """Settings of clients that act on this scene's topics and group."""
        mine = {"group_id": self.stage.names.prefix, "topics": self.stage.names.topics}
        return settings_for(self.stage.bootstrap, Names(), kafka=mine)

    async def run_and_stop(self, calls: Sequence[dict[str, Any]]) -> None:
        """Let a first dispatcher place these calls, and stop it in order."""
        await self.publish(calls)
        dispatcher = await self.run()
        await self.settled()
        await dispatcher.process.stop(STOP_SECONDS_MAX)
        assert dispatcher.process.exit_code == 0

    async def publish(
        self, events: Sequence[dict[str, Any]], expected: str = "accepted", **options: Any
    ) -> list[Published]:
        """Write events whose outcome must be `expected` (`accepted` or a reason)."""
        values = [json.dumps(event, separators=(",", ":")).encode() for event in events]
        written = await produce(self.stage.bootstrap, self.requests, values, **options)
        fresh = [
            Published(
                (self.requests, at.partition, at.offset),
                event["flow-id"],
                json.dumps(event["client-identifier"], separators=(",", ":"), ensure_ascii=False),
                frozenset({expected}),
                hashlib.sha256(value).digest(),
                at.timestamp / 1000,
            )
            for event, value, at in zip(events, values, written, strict=True)
        ]
        self.published += fresh
        return fresh

    async def publish_malformed(
        self, values: Sequence[bytes | None], **options: Any
    ) -> list[Published]:
        """Write values that are no events: each must end `invalid`, and nobody may be called."""
        written = await produce(self.stage.bootstrap, self.requests, values, **options)
        fresh = [
            Published(
                (self.requests, at.partition, at.offset),
                "",
                f"{at.partition}-{at.offset}",
                frozenset({"invalid"}),
                hashlib.sha256(value or b"").digest(),
                at.timestamp / 1000,
            )
            for value, at in zip(values, written, strict=True)
        ]
        self.published += fresh
        return fresh

    async def settled(self) -> Verification:
        """Wait until every event has an outcome; then let the oracle look for what is wrong."""
        wanted = {each.source for each in self.published}

        async def all_have_one() -> bool:
            await self.outcomes.read_to_end()
            return wanted <= {each.source for each in self.outcomes.found}

        await until(all_have_one)
        found = verify(
            self.published,
            self.outcomes.found,
            await self.twin.placed(),
            as_requests(await self.twin.requests()),
        )
        assert found.ok, found
        return found

    async def placed_calls(self, count: int) -> None:
        """Wait until the provider has accepted `count` calls or more."""

        async def placed() -> bool:
            return (await self.twin.summary()).calls_accepted >= count

        await until(placed)

    async def results(self) -> dict[int, dict[str, Any]]:
        """Results by the source's offset; for topics of one partition."""
        records = await read_all(self.stage.bootstrap, self.stage.names.topics["results"])
        values = [json.loads(record.value) for record in records]
        return {value["source"]["offset"]: value for value in values}

    async def dead_letters(self) -> dict[int, Any]:
        """Dead letters as records by the source's offset; for topics of one partition."""
        records = await read_all(self.stage.bootstrap, self.stage.names.topics["dead_letters"])
        return {int(dict(each.headers)["__dlq.errors.offset"]): each for each in records}


@asynccontextmanager
async def scene(
    kafka: str, /, *twin_options: str, partitions: int = 1, **config: dict[str, Any]
) -> AsyncIterator[Scene]:
    """A scene on the broker `kafka`, with a twin started and no dispatcher yet.

    Args:
        kafka: the broker's address.
        twin_options: of the `twin` command.
        partitions: of requests, results and dead letters.
        config: configuration of all its dispatchers by section, over `QUICK`.
    """
    async with Stage("scene") as stage:
        stage.bootstrap = kafka
        topics = stage.names.topics
        flowing = [topics[name] for name in ("requests", "results", "dead_letters")]
        await create_topics(kafka, dict.fromkeys(flowing, Topic(partitions)))
        url = await stage.start_twin(*twin_options)
        outcomes = Outcomes(kafka, topics["results"], topics["dead_letters"])
        async with TwinPages(url) as twin:
            try:
                await outcomes.start()
                yield Scene(stage, url, twin, outcomes, dict(config))
            finally:
                await outcomes.stop()
