"""What each user of a secured broker does, from the first event to the last command.

Knows nothing of ACLs: whatever a broker refuses shows as an act that does not succeed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from service.demo.processes import ProcessFailed
from service.demo.stage import Dispatcher, Stage
from service.settings import TopicsSettings
from tests.support.dispatcher import QUICK, Sections, call, command, merged
from tests.support.kafka import bounds, produce, read_all
from tests.support.secured import Secured

TOPICS = TopicsSettings()
SMALL: Sections = {
    # A window that is soon full, so that a large flow's calls go to the overflow topic.
    "events": {"window_events_max": 80},
    "batching": {"calls_max": 5, "linger_seconds": 0.1},
    "provider": {"concurrency": 2, "calls_per_minute": 30_000, "timeout_seconds": 2},
}
LATENCY = ("--latency-ms", "100")
POLL_SECONDS = 0.1
HELD, LARGE = "Flow0001", "Flow0002"


class Refused(AssertionError):
    """Something that a user needs did not succeed."""


class Course:
    """The users' acts on one broker; they may be repeated."""

    def __init__(self, stage: Stage, broker: Secured, url: str, seconds_max: float) -> None:
        self._stage, self._broker, self._url = stage, broker, url
        self.seconds_max = seconds_max
        self._number = 0

    async def dispatches(self) -> None:
        """The least: start, dispatch, end.

        Raises:
            Refused: something of it did not come about in time.
        """
        async with self._running():
            await self._publish("Flow0000", 3)
            await self._until("outcomes", self._all_ended)

    async def dispatcher(self) -> None:
        """Dispatch, park, spill, bring back, believe a replay, and end."""
        await self.dispatches()
        async with self._running():
            await self._as_operator("holds", "set", "--flow", HELD, "--reason", "test")
            parked = (await self._bounds(TOPICS.parked))[1]
            await self._publish(HELD, 5)
            await self._until("parked calls", lambda: self._grown(TOPICS.parked, parked))
            await self._as_operator("holds", "release", "--flow", HELD)
            await self._until("outcomes of parked calls", self._all_ended)
            await self._until("deleted parked calls", lambda: self._emptied(TOPICS.parked))
            spilt = (await self._bounds(TOPICS.overflow))[1]
            await self._publish(LARGE, 300)
            await self._until("overflow", lambda: self._grown(TOPICS.overflow, spilt))
            await self._until("outcomes of the large flow", self._all_ended)
            await self._until("deleted overflow", lambda: self._emptied(TOPICS.overflow))
            # Nobody knows this replay, which only the replays topic can say.
            await self._publish("Flow0000", 1, headers=[("dispatch.replay-id", b"r-unknown")])
            await self._until("the outcome of a replayed event", self._all_ended)

    async def mend(self) -> None:
        """End what acts that failed have left: holds, and events without an outcome."""
        async with self._running():
            await self._as_operator("holds", "release", "--flow", HELD, codes=(0, 2))
            await self._until("outcomes of what was left", self._all_ended)

    async def upstream(self) -> None:
        """Publish from a file, and look once more whether all of it is published."""
        events = self._stage.directory / "events.jsonl"
        events.write_text("".join(json.dumps(call(self._next())) + "\n" for _ in range(3)))
        run = f"run-{self._next()}"
        await self._as("upstream", "publish", str(events), "--id", run)
        await self._as("upstream", "publish", str(events), "--id", run, "--resume")

    async def operator(self) -> None:
        """Every command of somebody on duty, beside a dispatcher."""
        plan = str(self._stage.directory / f"{self._next()}.plan")
        async with self._running():
            await self._as_operator("check", "--connect")
            await self._as_operator("limit", "set", "6000")
            await self._as_operator("limit", "reset")
            await self._as_operator("holds", "set", "--flow", HELD, "--reason", "test")
            await self._publish(HELD, 3)
            await self._as_operator("calls", "cancel", "--flow", HELD, "--yes")
            await self._as_operator("holds", "release", "--flow", HELD)
            await self._as_operator("holds", "list")
            await self._until("cancelled calls", self._all_ended)
            await self._as_operator("dead-letters", "list", "--flow", HELD)
            replay = ("dead-letters", "replay")
            await self._as_operator(*replay, "--reason", "cancelled", "--plan", plan)
            await self._as_operator(*replay, "--execute", plan)
            await self._as_operator(*replay, "--status")
            await self._until("replayed calls", self._all_ended)
            await self._as_operator("audit")
        # Nobody owns the lane now.
        await self._as_operator("limit", "reset")

    # How it is seen

    async def _all_ended(self) -> bool:
        wanted = {
            (r.partition, r.offset) for r in await read_all(self._broker.bootstrap, TOPICS.requests)
        }
        ended: set[tuple[int, ...]] = set()
        for record in await read_all(self._broker.bootstrap, TOPICS.results):
            source = json.loads(record.value)["source"]
            ended.add((source["partition"], source["offset"]))
        for record in await read_all(self._broker.bootstrap, TOPICS.dead_letters):
            headers = dict(record.headers)
            ended.add(
                tuple(int(headers[f"__dlq.errors.{name}"]) for name in ("partition", "offset"))
            )
        return wanted <= ended

    async def _bounds(self, topic: str) -> tuple[int, int]:
        [both] = (await bounds(self._broker.bootstrap, topic)).values()
        return both

    async def _grown(self, topic: str, end: int) -> bool:
        return (await self._bounds(topic))[1] > end

    async def _emptied(self, topic: str) -> bool:
        """All but markers is deleted, which the turn of a later event brings about."""
        await self._publish("Flow0000", 1)
        await self._until("outcomes", self._all_ended)
        return not await read_all(self._broker.bootstrap, topic)

    async def _until(self, what: str, condition: Callable[[], Awaitable[bool]]) -> None:
        try:
            async with asyncio.timeout(self.seconds_max):
                while not await condition():  # noqa: ASYNC110 - other processes change it
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise Refused(f"no {what} in time") from None

    # How it is done

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def _publish(self, flow_id: str, count: int, **options: Any) -> None:
        events = [call(self._next(), flow_id) for _ in range(count)]
        values = [json.dumps(event).encode() for event in events]
        await produce(self._broker.bootstrap, TOPICS.requests, values, **options)

    async def _as_operator(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> None:
        await self._as("operator", *arguments, codes=codes)

    async def _as(self, user: str, *arguments: str, codes: tuple[int, ...] = (0,)) -> None:
        sections = merged(
            QUICK, SMALL, {"kafka": self._broker.scram(user), "provider": {"url": self._url}}
        )
        code, said = await command(self._stage.directory, arguments, sections)
        if code not in codes:
            raise Refused(f"{' '.join(arguments[:2])} ended with {code}: {said[-300:]}")

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[Dispatcher]:
        mine = {
            "kafka": {
                **self._broker.scram("dispatcher"),
                "create_topics": False,
                "group_id": "call-dispatcher",
                "topics": TOPICS.model_dump(),
            }
        }
        try:
            async with asyncio.timeout(self.seconds_max):
                running = await self._stage.start_dispatcher(
                    self._url, merged(QUICK, SMALL, mine), name=f"dispatcher-{self._next()}"
                )
        except (ProcessFailed, TimeoutError) as error:
            raise Refused(f"run does not start: {error}") from error
        try:
            yield running
        except Refused as refused:
            raise Refused(f"{refused}; {_troubles(running)}") from refused
        finally:
            await running.process.stop(self.seconds_max)


def _troubles(running: Dispatcher) -> str:
    """What the dispatcher said of it."""
    said = running.process.log_file.read_text().splitlines()
    return " ".join(
        {line["message"] for line in map(json.loads, said) if line["event"] == "trouble"}
    )
