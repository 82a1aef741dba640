"""Raises the number of lanes: `topics create --lanes N --migrate`.

Knows nothing of the command line. Each step leaves a state in which no lane can send and the same
command finishes the work, so it can be killed anywhere (design.md, Corners).
"""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack

import msgspec

from service.core import checkpoint as checkpoints
from service.core.checkpoint import Checkpoint
from service.core.migration import deal, refuse_unless_drained
from service.errors import TopicsError
from service.ports import MigrationBroker, Outgoing, Write
from service.settings import Settings


async def migrate(broker: MigrationBroker, settings: Settings, lanes: int) -> bool:
    """Bring the dispatcher to `lanes` lanes; False if it has them already.

    A change that was interrupted is finished, or taken back if `lanes` is the number before it.

    Raises:
        TopicsError: it cannot be done; nothing was changed, and the text names the way out.
        BrokerUnavailable, CommitUnknown, LaneFenced: it was interrupted; run it again.
    """
    before = await _old_lanes(broker, settings, lanes)
    if before == lanes:
        return await _unmark(broker, lanes)
    old: list[Checkpoint] = []
    async with AsyncExitStack() as stack:
        marked = []
        for lane in range(before):
            writer = broker.writer(lane)
            stack.push_async_callback(writer.stop)
            # From here on no earlier owner of this lane can commit; the mark stops later ones.
            await writer.start()
            checkpoint = await _last(broker, lane)
            old.append(msgspec.structs.replace(checkpoint, migrating=False))
            marked.append(writer)
            await writer.commit(_record(checkpoint, migrating=True))
        try:
            refuse_unless_drained(old)
        except TopicsError:
            for writer, checkpoint in zip(marked, old, strict=True):
                await writer.commit(_record(checkpoint, migrating=False))
            raise
    await broker.add_lanes(lanes)
    await _write(broker, settings, deal(old, lanes, f"migrate-{secrets.token_hex(8)}"))
    return True


async def _unmark(broker: MigrationBroker, lanes: int) -> bool:
    """Take back a change that was interrupted before it added a lane; False if there was none."""
    found = False
    for lane in range(lanes):
        if not (await _last(broker, lane)).migrating:
            continue
        found = True
        writer = broker.writer(lane)
        try:
            await writer.start()
            await writer.commit(_record(await _last(broker, lane), migrating=False))
        finally:
            await writer.stop()
    return found


async def _old_lanes(broker: MigrationBroker, settings: Settings, lanes: int) -> int:
    """How many lanes the checkpoints were written for.

    Raises:
        TopicsError: there are none, or more than are wanted.
    """
    topic = settings.kafka.topics.checkpoints
    there = (await broker.survey()).partitions.get(topic, 0)
    found: set[int] = set()
    for lane in range(there):
        stored = await broker.last_checkpoint(lane)
        if stored is not None:
            found.add(checkpoints.decode(stored.value).lanes)
    if not found:
        raise TopicsError(
            f"topic {topic} holds no checkpoint, so there is nothing to migrate: create the topic "
            f"with {lanes} lanes (`call-dispatcher topics create --lanes {lanes}`)"
        )
    if len(found) > 1 or max(found) > lanes:
        raise TopicsError(
            f"the checkpoints are of {', '.join(map(str, sorted(found)))} lanes; their number can "
            f"only grow, not become {lanes}"
        )
    [before] = found
    missing = [lane for lane in range(before) if await broker.last_checkpoint(lane) is None]
    if missing:
        raise TopicsError(
            f"lane {missing[0]} has no checkpoint yet: run a dispatcher until every lane had an "
            "owner, stop it, then migrate"
        )
    return before


async def _last(broker: MigrationBroker, lane: int) -> Checkpoint:
    stored = await broker.last_checkpoint(lane)
    if stored is None:
        raise TopicsError(f"lane {lane} has no checkpoint any more")
    return checkpoints.decode(stored.value)


def _record(checkpoint: Checkpoint, *, migrating: bool) -> Outgoing:
    marked = msgspec.structs.replace(checkpoint, migrating=migrating)
    return Outgoing({}, {}, checkpoint.lane, checkpoints.encode(marked))


async def _write(broker: MigrationBroker, settings: Settings, new: list[Checkpoint]) -> None:
    """All new checkpoints in one transaction."""
    topic = settings.kafka.topics.checkpoints
    writer = broker.migrator()
    try:
        await writer.start()
        others: dict[tuple[str, int], list[Write]] = {
            (topic, one.lane): [(f"lane-{one.lane}".encode(), checkpoints.encode(one), [])]
            for one in new[1:]
        }
        await writer.commit(Outgoing(others, {}, new[0].lane, checkpoints.encode(new[0])))
    finally:
        await writer.stop()
