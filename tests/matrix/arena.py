"""One dispatcher's world for many cases: broker, twin, processes, and what came of every call.

Knows nothing of what is right.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from service.demo.evidence import TwinPages
from service.demo.processes import Process
from service.demo.stage import STOP_SECONDS_MAX, Dispatcher, Stage
from tests.matrix.cases import Case
from tests.matrix.compare import Outcome, Seen
from tests.matrix.script import REFUSED
from tests.matrix.words import CALLS, Profile
from tests.support.dispatcher import QUICK, Sections, command, merged, page
from tests.support.kafka import Topic, create_topics, delete_topics, produce, read_all

LANES = 2
"""So that so many first attempts as one process may have under way can be twice as many."""
TWIN_STOP_SECONDS_MAX = 5.0
CONFIG: Sections = {
    "batching": {"linger_seconds": 0.5},
    "provider": {"concurrency": 256, "calls_per_minute": 30_000, "timeout_seconds": 5},
    "retry": {
        "attempts_max": 4,
        "backoff_seconds": 0.1,
        "backoff_max_seconds": 0.4,
        "park_seconds": 1,
    },
    "log": {"level": "info"},
}
"""Short waits. Four attempts end a batch before five doubts in a row hold its account. A machine
that is busy still answers in five seconds: a timeout too many is another history."""


@dataclass(slots=True)
class Arena:
    """One group of cases of one profile."""

    stage: Stage
    profile: Profile
    url: str
    twin: TwinPages
    config: Sections
    published: dict[tuple[int, int], tuple[Case, str]] = field(default_factory=dict)
    """By partition and offset."""
    patience_seconds: float = 0.0
    """So long nothing may change before what is still wrong is taken for wrong."""
    _started: int = 0

    async def start(self, url: str | None = None, **more: dict[str, Any]) -> Dispatcher:
        """Start a dispatcher and wait until it is ready.

        Args:
            url: of the provider, if not the twin's.
            more: put over its configuration.
        """
        self._started += 1
        config = merged(self.config, more)
        name = f"dispatcher-{self._started}"
        return await self.stage.start_dispatcher(url or self.url, config, name=name)

    async def stop(self, dispatcher: Dispatcher) -> None:
        """Let it drain and end."""
        await dispatcher.process.stop(STOP_SECONDS_MAX)
        assert dispatcher.process.exit_code == 0, dispatcher.process.last_words

    async def publish(self, cases: Sequence[Case]) -> None:
        """Write the events of these cases, those of one case in one partition and in a row."""
        for partition in range(LANES):
            mine = [case for case in cases if case.number % LANES == partition]
            values = [value for case in mine for value in case.events()]
            topic = self.stage.names.topics["requests"]
            written = await produce(self.stage.bootstrap, topic, values, partition=partition)
            calls = [(case, letter) for case in mine for letter in CALLS]
            for at, which in zip(written, calls, strict=True):
                self.published[at.partition, at.offset] = which

    async def arrived(self, cases: Sequence[Case]) -> bool:
        """Whether the first request of each case has arrived at the provider."""
        flows = {request.flow_id for request in await self.twin.requests()}
        return all(case.flow_id in flows for case in cases)

    async def in_flight(self, dispatcher: Dispatcher) -> int:
        """Requests of the dispatcher that are under way."""
        return sum(lane["in-flight"] for lane in (await page(dispatcher, "status"))[1]["lanes"])

    async def look(self, dispatcher: Dispatcher | None, cases: Sequence[Case]) -> list[Seen]:
        """What has come of each case; holds are those of `dispatcher`."""
        outcomes = await self._outcomes()
        holds = await self._holds(dispatcher)
        return [
            Seen(
                {letter: outcomes[case.number, letter] for letter in CALLS},
                {
                    scope: code
                    for (scope, name), code in holds.items()
                    if name == {"flow": case.flow_id, "account": case.account}[scope]
                },
            )
            for case in cases
        ]

    async def _outcomes(self) -> defaultdict[tuple[int, str], list[Outcome]]:
        found: defaultdict[tuple[int, str], list[Outcome]] = defaultdict(list)
        topics, bootstrap = self.stage.names.topics, self.stage.bootstrap
        for record in await read_all(bootstrap, topics["results"]):
            result = json.loads(record.value)
            source = result["source"]
            self._add(found, (source["partition"], source["offset"]), _accepted(result))
        for record in await read_all(bootstrap, topics["dead_letters"]):
            headers = {name: value.decode() for name, value in record.headers}
            at = (int(headers["__dlq.errors.partition"]), int(headers["__dlq.errors.offset"]))
            self._add(found, at, _dead(headers))
        return found

    def _add(
        self,
        found: defaultdict[tuple[int, str], list[Outcome]],
        at: tuple[int, int],
        outcome: Outcome,
    ) -> None:
        case, letter = self.published[at]
        found[case.number, letter].append(outcome)

    @staticmethod
    async def _holds(dispatcher: Dispatcher | None) -> dict[tuple[str, str], int | None]:
        if dispatcher is None:
            return {}
        try:
            lanes = (await page(dispatcher, "status"))[1]["lanes"]
        except aiohttp.ClientError:
            return {}
        return {(h["scope"], h["name"]): h["code"] for lane in lanes for h in lane["holds"]}

    async def placed(self) -> dict[str, dict[str, int]]:
        """How often the provider placed each call, by flow and client-identifier."""
        times: dict[str, dict[str, int]] = {}
        for call in await self.twin.placed():
            times.setdefault(call.flow_id, {})[json.loads(call.identifier)] = call.times
        return times

    async def first_sizes(self) -> dict[str, int]:
        """How many calls the first request of each flow had."""
        sizes: dict[str, int] = {}
        for request in await self.twin.requests():
            sizes.setdefault(request.flow_id or "", request.calls)
        return sizes


def _accepted(result: Mapping[str, Any]) -> Outcome:
    by_response = result["confirmation"] == "response"
    return Outcome(
        "accepted" if by_response else "checksum",
        result["api-response-code"],
        result["phonon-uuid"],
        result["request-id"],
    )


def _dead(headers: Mapping[str, str]) -> Outcome:
    code = headers.get("dispatch.code")
    return Outcome(
        headers["dispatch.reason"],
        None if code is None else int(code),
        message=headers["__dlq.errors.message"],
    )


@asynccontextmanager
async def arena(
    kafka: str, profile: Profile, cases: Sequence[Case], **more: dict[str, Any]
) -> AsyncIterator[Arena]:
    """An arena on the broker `kafka`; `more` is configuration of all its dispatchers."""
    async with Stage(f"matrix-{profile}") as stage:
        stage.bootstrap = kafka
        stage.keep_logs = True
        played = await _start_twin(stage, profile)
        url = await played.said(r"twin ready on (\S+)\n")
        flows = {c.flow_id: {"security_id": c.security_id} for c in cases if c.fault.own_account}
        config = merged(QUICK, CONFIG, {"provider": {"profile": profile}}, {"flows": flows}, more)
        try:
            await _create_topics(stage, url, config)
            async with TwinPages(url) as twin:
                yield Arena(stage, profile, url, twin, config)
            stage.keep_logs = False
        finally:
            await played.stop(TWIN_STOP_SECONDS_MAX)
            await delete_topics(kafka, stage.names.topics.values())


async def _start_twin(stage: Stage, profile: Profile) -> Process:
    """A twin that knows every security-id: each case has its own."""
    refused = [part for rule in REFUSED for part in ("--refuse", rule)]
    options = ("--profile", profile, "--limit", "30000", "--switch", "drip-seconds=8", *refused)
    log_file = stage.directory / "twin.log"
    return await Process.start("twin", ("twin", "--port", "0", *options), log_file, {})


async def _create_topics(stage: Stage, url: str, config: Sections) -> None:
    topics = stage.names.topics
    flowing = [topics[name] for name in ("requests", "results", "dead_letters")]
    await create_topics(stage.bootstrap, dict.fromkeys(flowing, Topic(LANES)))
    kafka = {
        "bootstrap_servers": stage.bootstrap,
        "group_id": stage.names.prefix,
        "topics": topics,
    }
    sections = merged(config, {"kafka": kafka, "provider": {"url": url}, "http": {"port": 0}})
    arguments = ("topics", "create", "--lanes", str(LANES))
    code, text = await command(stage.directory, arguments, sections)
    assert code == 0, text
