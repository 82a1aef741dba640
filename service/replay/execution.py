"""Executes a plan: reads the dead letters that it names, and publishes their events again.

Knows nothing of the command line. What is done is committed with the events themselves, so it can
be killed at any moment and goes on where it was, with nothing sent twice.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from datetime import datetime
from typing import Any

from service.adapters.kafka.connection import client_options
from service.adapters.kafka.replay import Event, KafkaReplay
from service.adapters.kafka.scan import KafkaScan
from service.core.letters import Letter, letter_of
from service.core.outcomes import rfc3339
from service.core.replay import (
    ReplayState,
    digest_of,
    headers_of,
    reworked,
    too_many_failed,
)
from service.errors import ConfigurationError, DispatcherError
from service.letters import reading
from service.letters.reading import Replayed
from service.replay.outcomes import Outcomes
from service.replay.pace import Fixed, Pace, Spare
from service.replay.plan_file import Plan
from service.settings import Settings

LOOK_SECONDS = 1.0
"""Between two looks at the outcomes."""

Told = Callable[[ReplayState], None]


class Execution:
    """One run of one plan."""

    def __init__(
        self, settings: Settings, plan: Plan, who: str, rate: float | None, abort_ratio: float
    ) -> None:
        """Check that the plan fits.

        Args:
            settings: whose topics the events go to.
            plan: what to send.
            who: whoever executes it.
            rate: events a second; None: what the live traffic leaves.
            abort_ratio: stop when a greater share of the events that ended has failed again.

        Raises:
            ConfigurationError: the plan is of other topics.
        """
        names, header = settings.kafka.topics, plan.header
        if (header.dead_letters, header.requests) != (names.dead_letters, names.requests):
            raise ConfigurationError(
                f"the plan is of {header.dead_letters} and {header.requests}, the configuration "
                f"names {names.dead_letters} and {names.requests}: use that with which it was made"
            )
        self.state = ReplayState(plan.id, who, "", header.filter, header.terms, plan.found.planned)
        self._settings = settings
        self._names = names
        self._plan = plan
        self._rate = rate
        self._abort_ratio = abort_ratio
        self._client_id = f"replay-{who}"
        self._log = KafkaReplay(settings, self._client_id)
        self._outcomes: Outcomes
        self._looked_at = 0.0
        self._sent_before = 0

    @property
    def sent_now(self) -> int:
        """How many events this run has sent, those of a transaction that was not confirmed too."""
        return self.state.sent - self._sent_before

    @property
    def progress(self) -> str:
        """How far it has come, in words."""
        return f"about {self.state.sent:,} of {self.state.planned:,} are sent"

    async def run(self, tell: Told, say: Callable[[str], None]) -> ReplayState:
        """Send what is not sent yet; returns how the replay stands at its end.

        Args:
            tell: takes the state now and then.
            say: takes a line for people.

        Raises:
            DispatcherError: it cannot begin or go on; the text says why.
            TopicsError: a topic is missing.
            BrokerUnavailable: the broker did not answer.
        """
        async with AsyncExitStack() as exits:
            options = client_options(self._settings.kafka)
            reader, asker = [
                await exits.enter_async_context(KafkaScan(options, lambda *_: None))
                for _ in range(2)
            ]
            exits.push_async_callback(self._log.stop)
            earlier = (await self._log.start(asker)).get(self._plan.id)
            if earlier is not None:
                self.state = earlier
            self._sent_before = self.state.sent
            if self.state.state == "done":
                return self.state
            await self._begin()
            self._outcomes = Outcomes(asker, self._names, self._plan.id)
            await self._outcomes.since(_ms(self.state.began_at))
            pace: Pace = (
                Spare(self._settings, asker, self._client_id, say)
                if self._rate is None
                else Fixed(self._rate)
            )
            with closing(await self._sent_by_others(reader)) as others:
                await self._send(reader, others, pace, tell)
            await self._end("done")
            tell(self.state)
        return self.state

    async def _begin(self) -> None:
        """The id stands in the replays topic before the first event that names it."""
        state = self.state
        state.state = "running"
        state.began_at = state.began_at or _now()
        await self._commit([])

    async def _commit(self, events: list[Event]) -> None:
        self.state.updated_at = _now()
        await self._log.commit(events, self.state)

    async def _end(self, how: str) -> None:
        await self._outcomes.look()
        self.state.accepted, self.state.failed = self._outcomes.accepted, self._outcomes.failed
        self.state.state = how
        await self._commit([])

    async def _sent_by_others(self, scan: KafkaScan) -> Replayed:
        """What other replays have sent, since the plan was made too."""
        found = Replayed()
        async for origin, _ in reading.replayed_requests(scan, self._names, None):
            if origin.replay_id != self._plan.id:
                found.add([origin])
        return found

    async def _send(self, scan: KafkaScan, others: Replayed, pace: Pace, tell: Told) -> None:
        state, events, room = self.state, list[Event](), await pace.room()
        async for partition, offset, found in self._planned(scan):
            if found is None or others.since(found[0]):
                state.left_out += 1
            else:
                events.append(self._event(*found))
                state.sent += 1
            state.positions[partition] = offset + 1
            if len(events) == room:
                await self._commit(events)
                tell(state)
                await self._check()
                events, room = [], await pace.room()
        await self._commit(events)
        tell(state)

    async def _check(self) -> None:
        """Stop if too many have failed again."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at, found, state = now, self._outcomes, self.state
        await found.look()
        state.accepted, state.failed = found.accepted, found.failed
        if too_many_failed(state, self._abort_ratio):
            await self._end("aborted")
            raise DispatcherError(
                f"aborted: {state.failed} of {state.accepted + state.failed} events that ended "
                f"have failed again, more than --abort-ratio {self._abort_ratio:g} allows; "
                f"{state.sent} of {state.planned} are sent. Look at `dead-letters list --replayed`"
                ", and execute the plan again to go on"
            )

    def _event(self, letter: Letter, record: Any) -> Event:
        value = reworked(record.value, self.state.terms, time.time())
        headers = headers_of(letter, record.headers, self._plan.id)
        return letter.source[1], (record.key, value, headers)

    async def _planned(
        self, scan: KafkaScan
    ) -> AsyncIterator[tuple[int, int, tuple[Letter, Any] | None]]:
        """Partition and offset of each that is not done, with what stands there; None: it is gone.

        Raises:
            DispatcherError: a record is not the one that was planned.
        """
        topic = self._names.dead_letters
        for partition in self._plan.partitions:
            done = self.state.positions.get(partition, 0)
            wanted = ((at, digest) for at, digest in self._plan.of(partition) if at >= done)
            at, digest = next(wanted, (-1, ""))
            tp = (topic, partition)
            first = max((await scan.starts([tp]))[tp], done, self._plan.first(partition))
            async for _, records in scan.read("", {tp: (first, self._plan.end(partition))}):
                for record in records:
                    while 0 <= at < record.offset:
                        yield partition, at, None
                        at, digest = next(wanted, (-1, ""))
                    if record.offset != at:
                        continue
                    yield partition, at, self._checked(record, digest)
                    at, digest = next(wanted, (-1, ""))
            while at >= 0:
                yield partition, at, None
                at, digest = next(wanted, (-1, ""))

    def _checked(self, record: Any, digest: str) -> tuple[Letter, Any]:
        letter = letter_of(record)
        if letter is None or digest_of(record.key, record.value, record.headers) != digest:
            raise DispatcherError(
                f"{record.topic}-{record.partition}-{record.offset} is not the dead letter that "
                "was planned, the topic was made anew: make a new plan"
            )
        return letter, record


def _now() -> str:
    return rfc3339(int(time.time() * 1000))


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)
