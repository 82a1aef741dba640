"""Writes a lane's past into real topics: requests, outcomes and checkpoints, in its own bytes.

Knows nothing of how a dispatcher decides: the test says what happened, right or wrong.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.adapters.kafka.broker import KafkaBroker
from service.adapters.kafka.topics import ensure_topics
from service.adapters.kafka.writer import KafkaWriter
from service.core.aside import Why, set_aside
from service.core.calls import Call
from service.core.checkpoint import VERSION, Checkpoint, OpenBatch, encode, pack_sources
from service.core.codec import Recipe
from service.core.offsets import Ledger
from service.core.outcomes import Acceptance, Failure, Results, dead_letter, template_of
from service.ports import Outgoing, Write
from service.settings import Settings
from tests.support.calls import call_of
from tests.support.kafka import produce, read_all

FLOW = "AbCd1234"
RECIPE = Recipe(1, "1.0", False, "digits", "Asia/Kolkata", None, None)  # noqa: FBT003 - as stored
BATCH = "00ff00ff00ff00ff"
BYTES_MAX = 1_000_000
_PROGRESS = re.compile(r"^.*: [\d,]+ of [\d,]+ offsets\n", re.MULTILINE)


def without_progress(said: str) -> str:
    """What a command printed, without how far it had come: a slow machine sees more of that."""
    return _PROGRESS.sub("", said)


def event(number: int, **more: object) -> bytes:
    """An event of customer `number`; `more` is put over it, with `_` for `-` in names."""
    whole = {
        "flow-id": FLOW,
        "client-identifier": f"customer-{number}",
        "contact-numbers": [f"98{number:08d}"],
        "keys": [{"name": "$flow.key.name", "value": f"Asha {number}"}],
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    return json.dumps(whole).encode()


@dataclass(slots=True)
class Turn:
    """What one turn does to records of the requests, by their offsets."""

    accept: Collection[int] = ()
    fail: Mapping[int, str] = field(default_factory=dict)
    """Offset to reason."""
    park: Collection[int] = ()
    forget: Collection[int] = ()
    """Done without an outcome: what must never happen."""
    open: Sequence[int] = ()
    """In an open batch from now on."""
    lose: Iterable[tuple[int, int]] = ()
    limit: int | None = None
    """Calls a minute, if an operator changed it."""
    replays: Collection[str] = ()
    """Replays whose events' origin is believed."""


class Past:
    """One lane, and one partition of the requests that it has read so far."""

    def __init__(self, settings: Settings, partition: int = 0) -> None:
        self.settings = settings
        self.topics = settings.kafka.topics
        self.partition = partition
        self.broker = KafkaBroker(settings, "past")
        self.records: dict[int, Any] = {}
        self.requests = Ledger(self.topics.requests, partition, 0)
        self.parked = Ledger(self.topics.parked, 0, 0)
        self.batches: list[OpenBatch] = []
        self._turn = 0
        self._limit: int | None = None
        self._writer: KafkaWriter = self.broker.writer(0)

    async def begin(self) -> None:
        """Make the topics, and be the lane's owner."""
        await ensure_topics(self.settings, self.broker.options, lanes=1, create=True)
        await self._writer.start()

    async def end(self) -> None:
        """Leave the broker."""
        await self._writer.stop()

    async def publish(self, values: Iterable[bytes | None], **options: Any) -> list[int]:
        """Publish events; returns their offsets."""
        options = {"partition": self.partition, "key": b"customer", **options}
        bootstrap = self.settings.kafka.bootstrap_servers
        written = await produce(bootstrap, self.topics.requests, values, **options)
        return [each.offset for each in written]

    async def read(self) -> list[int]:
        """Read what is published by now, as the lane would; returns its offsets."""
        found = await read_all(self.settings.kafka.bootstrap_servers, self.topics.requests)
        fresh = [
            record
            for record in found
            if record.partition == self.partition and record.offset >= self.requests.end
        ]
        self.records |= {record.offset: record for record in fresh}
        offsets = [record.offset for record in fresh]
        if offsets:
            self.requests.read(offsets)
        return offsets

    async def turn(self, turn: Turn) -> None:
        """Commit one turn."""
        self._turn += 1
        self._limit = turn.limit or self._limit
        writes: dict[tuple[str, int], list[Write]] = {}
        accepted = [self._call(offset) for offset in turn.accept]
        if accepted:
            template = template_of(acceptance())
            written = Results([(template, call, None) for call in accepted], turn.replays)
            writes[self.topics.results, self.partition] = list(written)
        for offset, reason in turn.fail.items():
            source = (self.topics.requests, self.partition, offset)
            failure = Failure(
                reason, f"because of 98{offset:08d}", self._now_ms(), 400, FLOW, BATCH
            )
            letter = dead_letter(
                source, self.records[offset], failure, "group", BYTES_MAX, turn.replays
            )
            writes.setdefault((self.topics.dead_letters, self.partition), []).append(letter)
        for offset in turn.park:
            now_ms = self._now_ms()
            aside = set_aside(self._call(offset), Why.HOLD, now_ms, now_ms)
            writes.setdefault((self.topics.parked, 0), []).append(aside)
        self.requests.finish([*turn.accept, *turn.fail, *turn.park, *turn.forget])
        for first, end in turn.lose:
            self.requests.lose(first, end)
        if turn.open:
            self.batches.append(self._batch(turn.open))
        await self._writer.commit(Outgoing(writes, {}, 0, encode(self._checkpoint())))

    def _call(self, offset: int) -> Call:
        record = self.records[offset]
        identifier = json.dumps(json.loads(record.value)["client-identifier"]).encode()
        return call_of(record, FLOW, identifier)

    @staticmethod
    def _now_ms() -> int:
        return int(time.time() * 1000)

    @staticmethod
    def _batch(offsets: Sequence[int]) -> OpenBatch:
        sources = pack_sources([0] * len(offsets), offsets)
        return OpenBatch(BATCH, FLOW, len(offsets), sources, 0, False, b"", RECIPE)  # noqa: FBT003 - as stored

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            VERSION,
            0,
            1,
            "past",
            self._turn,
            5.0,
            30.0,
            released=False,
            partitions=[self.requests.state(), self.parked.state()],
            batches=self.batches,
            tally=[],
            holds=[],
            limit=self._limit,
        )


def acceptance() -> Acceptance:
    """What the results of a turn share."""
    return Acceptance(BATCH, FLOW, "request-1", 202, "response", 1, int(time.time() * 1000))
