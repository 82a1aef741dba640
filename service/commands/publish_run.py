"""One run of `call-dispatcher publish`: lines in, transactions out, and how to go on after a stop.

Knows nothing of the command line, nor of what makes a line an event.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from service.adapters.kafka.publisher import Event, KafkaPublisher, Progress
from service.adapters.lines import LineReader
from service.commands.publish_progress import PublishShown
from service.errors import BrokerUnavailable, DispatcherError, EventRefused

TRANSACTION_LINES_MAX = 5_000
"""Large enough to make the commit cheap, small enough to be seen at the other end within a second
or so."""
LINGER_SECONDS = 0.2
"""How long a transaction waits for more lines of a slow pipe."""

MakeEvent = Callable[[bytes], Event]
"""A line to key and value; raises EventRefused if it is not a valid event."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for."""

    name: str
    """Of the input, for messages."""
    run_id: str
    resume: bool
    again: bool
    skip_invalid: bool
    rate: float | None
    """Events a second."""

    @property
    def transaction_lines(self) -> int:
        """Lines of one transaction: at a given rate no more than a second's."""
        if self.rate is None:
            return TRANSACTION_LINES_MAX
        return max(1, min(TRANSACTION_LINES_MAX, int(self.rate)))


class Run:
    """One run over one input."""

    def __init__(
        self,
        lines: LineReader,
        publisher: KafkaPublisher,
        make_event: MakeEvent,
        asked: Asked,
        shown: PublishShown,
    ) -> None:
        self._lines = lines
        self._publisher = publisher
        self._make_event = make_event
        self._asked = asked
        self._shown = shown
        self._digest = hashlib.sha256()
        self._began = False
        self.line = 0
        """The last line that was taken up."""
        self.committed = 0
        """The last line that is known to be done."""
        self.before = 0
        """Lines that an earlier run had done."""
        self.published = 0
        self.skipped = 0

    async def run(self) -> None:
        """Publish from the first line that is not done to the end.

        Raises:
            DispatcherError: a line is refused, or Kafka cannot be used; the text says how to go on.
        """
        try:
            await self._begin()
            started = asyncio.get_running_loop().time()
            while chunk := await self._chunk(self._asked.transaction_lines):
                await self._publish(chunk)
                if self._asked.rate is not None:
                    due = started + self.published / self._asked.rate
                    await asyncio.sleep(due - asyncio.get_running_loop().time())
        except BrokerUnavailable as error:
            if not self._began:
                raise
            raise BrokerUnavailable(f"{error}\n{self.way_on}") from error

    @property
    def way_on(self) -> str:
        """How far it came and how to go on, for whoever stopped it or repairs a line."""
        if not self._began:
            return "nothing was published"
        instead = " in place of --again" if self._asked.again else ""
        return (
            f"{self.committed} lines of {self._asked.name} are known to be done; to go on, give "
            f"the same command with `--resume --id {self._asked.run_id}`{instead}"
        )

    async def _begin(self) -> None:
        # Asked before the producer starts too, so that a command that is refused does not end
        # another one that is under way.
        self._check(await self._publisher.progress())
        await self._publisher.start()
        done = self._check(await self._publisher.progress())
        if done is None:
            await self._publisher.commit([], Progress(0, self._digest.hexdigest()))
        self._began = True
        if done is not None:
            self.committed = done.lines
            await self._pass_over(done)

    def _check(self, done: Progress | None) -> Progress | None:
        """What to go on after; None to begin at the first line."""
        asked = self._asked
        if asked.resume and done is None:
            raise DispatcherError(
                f"nothing is known of a run of {asked.name} under the id {asked.run_id}: give the "
                "--id that it printed (a file that was changed since has another one). Kafka "
                "forgets a run offsets.retention.minutes after its last line, 7 days by default"
            )
        if done is not None and done.lines > 0 and not (asked.resume or asked.again):
            raise DispatcherError(
                f"{done.lines} lines of {asked.name} were published before (id {asked.run_id}): "
                "add --resume to go on after them, or --again to publish all of it once more"
            )
        return done if asked.resume else None

    async def _pass_over(self, done: Progress) -> None:
        """Read the lines that are done, and make sure that they are those that were published."""
        while self.line < done.lines:
            chunk = await self._chunk(min(TRANSACTION_LINES_MAX, done.lines - self.line))
            if not chunk:
                raise DispatcherError(
                    f"{self._asked.name} has {self.line} lines only, of which {done.lines} were "
                    f"published under the id {self._asked.run_id}: this is not the same input"
                )
            for line in chunk:
                self._count(line)
        if self._digest.hexdigest() != done.digest:
            raise DispatcherError(
                f"the first {done.lines} lines of {self._asked.name} are not those that were "
                f"published under the id {self._asked.run_id}: this is not the same input"
            )
        self.before = done.lines

    async def _chunk(self, lines_max: int) -> list[bytes]:
        try:
            return await self._lines.chunk(lines_max, LINGER_SECONDS)
        except OSError as error:
            raise DispatcherError(f"{self._asked.name} cannot be read: {error}") from error

    async def _publish(self, chunk: list[bytes]) -> None:
        events: list[Event] = []
        refusal: DispatcherError | None = None
        for line in chunk:
            if value := line.strip():
                try:
                    events.append(self._make_event(value))
                except EventRefused as refused:
                    text = self._refusal(refused)
                    if not self._asked.skip_invalid:
                        refusal = DispatcherError(text)
                        break
                    self._shown.say(f"skipped {text}")
                    self.skipped += 1
            self._count(line)
        progress = Progress(self.line, self._digest.hexdigest())
        await _to_its_end(self._commit(events, progress))
        if refusal is not None:
            raise DispatcherError(
                f"{refusal}\n{self.way_on}, once line {self.line + 1} is corrected or with "
                "--skip-invalid"
            )

    async def _commit(self, events: list[Event], progress: Progress) -> None:
        if progress.lines > self.committed:
            await self._publisher.commit(events, progress)
        self.committed = progress.lines
        self.published += len(events)
        self._shown.advance(self.published, self._lines.bytes_read)

    def _refusal(self, refused: EventRefused) -> str:
        where, text = f"{self._asked.name}:{self.line + 1}: {refused.reason}", str(refused)
        if refused.field is None or text.startswith(refused.field):
            return f"{where}: {text}"
        return f"{where}: {refused.field}: {text}"

    def _count(self, line: bytes) -> None:
        self.line += 1
        self._digest.update(line)
        self._digest.update(b"\n")


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await `work`, which is bounded in time, to its end even if this task is cancelled."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
