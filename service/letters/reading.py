"""Reads dead letters, which events were replayed, and what the lanes' checkpoints say.

Knows nothing of what is done with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Any

from service.adapters.kafka.broker import KafkaBroker
from service.adapters.kafka.scan import KafkaScan, Span
from service.adapters.spill import database
from service.core.checkpoint import decode
from service.core.letters import Letter, letter_of
from service.core.open_work import OpenWork
from service.core.origin import Origin, origin_of
from service.ports import TopicPartition
from service.settings import TopicsSettings

CLOCKS_MS = 60_000
"""So far apart the clocks of those who write requests and outcomes may be."""


async def spans(
    scan: KafkaScan, topic: str, since_ms: int | None = None, until_ms: int | None = None
) -> dict[TopicPartition, Span]:
    """What is committed of a topic, of a range of its records' times.

    Raises:
        TopicsError: it does not exist.
    """
    count = (await scan.topics([topic]))[topic].partitions
    tps = [(topic, partition) for partition in range(count)]
    starts, ends = await scan.starts(tps), await scan.committed_ends(tps)
    lasts = dict(ends)
    if since_ms is not None:
        found = await scan.since(tps, since_ms)
        starts = {tp: ends[tp] if (at := found[tp]) is None else at for tp in tps}
    if until_ms is not None:
        # Times need not ascend within a partition: a record too many is passed over later.
        found = await scan.since(tps, until_ms + CLOCKS_MS)
        lasts = {tp: ends[tp] if (at := found[tp]) is None else at for tp in tps}
    return {tp: (starts[tp], min(lasts[tp], ends[tp])) for tp in tps}


async def letters(
    scan: KafkaScan, topic: str, found: dict[TopicPartition, Span], unreadable: Counter[str]
) -> AsyncIterator[tuple[Letter, Any]]:
    """Each dead letter, and the record that it is."""
    async for _, records in scan.read("dead letters", found):
        for record in records:
            letter = letter_of(record)
            if letter is None:
                unreadable[topic] += 1
            else:
                yield letter, record


async def open_work(broker: KafkaBroker, lanes: int) -> OpenWork:
    """What the last checkpoint of every lane says."""
    stored = [await broker.last_checkpoint(lane) for lane in range(lanes)]
    return OpenWork(decode(each.value) for each in stored if each is not None)


async def replay_ids(scan: KafkaScan, topic: str) -> set[str]:
    """The replays there are; one that is being noted just now too.

    Raises:
        TopicsError: the topic does not exist.
    """
    await scan.topics([topic])
    tp, ids = (topic, 0), set[str]()
    span = ((await scan.starts([tp]))[tp], (await scan.ends([tp]))[tp])
    async for _, records in scan.read("replays", {tp: span}):
        ids.update((record.key or b"").decode(errors="replace") for record in records)
    return ids


async def replayed_requests(
    scan: KafkaScan, names: TopicsSettings, since_ms: int | None
) -> AsyncIterator[tuple[Origin, Any]]:
    """Each replayed event that was published since, and its request record."""
    ids = await replay_ids(scan, names.replays)
    if not ids:
        return
    since_ms = None if since_ms is None else since_ms - CLOCKS_MS
    found = await spans(scan, names.requests, since_ms)
    async for _, records in scan.read("requests", found):
        for record in records:
            origin = origin_of(record, ids)
            if origin is not None:
                yield origin, record


class Replayed:
    """Which events were replayed how often, on disk."""

    def __init__(self) -> None:
        self._database = database()
        self._database.execute(
            "CREATE TABLE replayed (topic TEXT, partition INT, offset INT, times INT,"
            " PRIMARY KEY (topic, partition, offset)) WITHOUT ROWID"
        )

    def add(self, origins: Iterable[Origin]) -> None:
        """Keep some more."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT INTO replayed VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET times = MAX(times, excluded.times)",
            ((each.topic, each.partition, each.offset, each.count) for each in origins),
        )
        self._database.execute("COMMIT")

    def since(self, letter: Letter) -> bool:
        """Whether the event was replayed after it had failed so."""
        query = "SELECT times FROM replayed WHERE topic = ? AND partition = ? AND offset = ?"
        row = self._database.execute(query, letter.first_source).fetchone()
        return row is not None and row[0] > letter.replay_count

    def close(self) -> None:
        """Give the disk back."""
        self._database.close()


async def replayed(scan: KafkaScan, names: TopicsSettings, since_ms: int | None) -> Replayed:
    """Which events were replayed, as far as the requests reach back."""
    found, some = Replayed(), list[Origin]()
    async for origin, _ in replayed_requests(scan, names, since_ms):
        some.append(origin)
        if len(some) >= 10_000:  # noqa: PLR2004 - rows of one transaction
            found.add(some)
            some.clear()
    found.add(some)
    return found
