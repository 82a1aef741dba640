"""Taking a lane over: fence, read the last checkpoint, write the first one, know when to send.

Knows nothing of how turns and sends go on afterwards. The order of its steps is the argument that
no call is lost or doubled (docs/exactly-once.md, design.md, Lanes).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from service.core import checkpoint as checkpoints
from service.core.aside import by_partition
from service.core.cancels import Cancels
from service.core.checkpoint import Checkpoint, OpenBatch, Stage, unpack_sources
from service.core.learned import LearnedBounds
from service.core.offsets import Ledger, PartitionState
from service.core.rate import WINDOW_SECONDS, WindowGuard
from service.core.times import day_of
from service.core.verdicts import Attempt, End
from service.errors import CheckpointUnreadable, TopicsError
from service.pipeline.arrivals import check_end
from service.pipeline.batch import Batch
from service.pipeline.flows import Flows
from service.pipeline.heard import Heard
from service.pipeline.state import LaneState
from service.ports import Broker, Clock, Reader, Stored, Survey, TopicPartition, Writer
from service.settings import Settings

TALLY_ERROR_SECONDS = 1.0
"""The broker's clock stamps both records; this much is given away to its steps."""

END_TRIES = 10
"""Seconds that a log's end may lie before the position, until the topic is taken for a new one."""
DAY_UNKNOWN = 0
"""No day of this era: attempts of unknown days never count as of one day."""


@dataclass(slots=True)
class Taken:
    """What a takeover found."""

    state: LaneState
    writer: Writer
    predecessor: Checkpoint | None
    stamp_ms: int
    """The broker's time of the predecessor's record."""
    fenced_at: float
    """CLOCK_BOOTTIME when step 1 had returned: no earlier owner can commit after it."""


async def take_over(
    lane: int,
    broker: Broker,
    reader: Reader,
    settings: Settings,
    flows: Flows,
    heard: Heard,
    clock: Clock,
    make_state: Callable[[Survey, Checkpoint | None], LaneState],
) -> Taken:
    """Steps 1, 2 and 5 of a takeover; the caller commits the first turn.

    Raises:
        LaneFenced, BrokerUnavailable, CommitUnknown: try again if the lane is still wanted.
        TopicsError, CheckpointUnreadable: the lane must not run; the text names the way out.
    """
    # Asked before the fence: an owner that had committed offsets by now had its checkpoint
    # committed with them, so what is read behind the fence must show it. Offsets that are seen
    # only later prove nothing about this lane.
    survey = await broker.survey()
    writer = broker.writer(lane)
    try:
        await writer.start()
        fenced_at = clock.boot()
        stored = await broker.last_checkpoint(lane)
        predecessor = checkpoints.decode(stored.value) if stored else None
        state = make_state(survey, predecessor)
        if predecessor is None:
            await _refuse_unless_new(lane, broker, settings, survey)
            await _begin(
                state, reader, settings, survey, latest=settings.kafka.start_from == "latest"
            )
        else:
            check_lanes(predecessor, survey.partitions[settings.kafka.topics.checkpoints], settings)
            state.turn = predecessor.turn
            state.shifting = set(predecessor.shifting)
            state.learned = LearnedBounds(predecessor.bounds)
            state.cancels = Cancels(settings.kafka.topics.requests, predecessor.cancels)
            state.control_at = predecessor.control
            state.parked.waiting = state.parked.unread = predecessor.parked
            state.overflow.waiting = state.overflow.unread = predecessor.overflow
            state.parked.look_ms = state.now_ms()
            state.set_limit(predecessor.limit)
            state.ledgers = {(p.topic, p.partition): _ledger(p) for p in predecessor.partitions}
            await _begin(state, reader, settings, survey, latest=False)
            stamp_ms = stored.timestamp_ms if stored else 0
            _adopt(state, predecessor, flows, heard, stamp_ms, day_of(clock.wall()))
    except BaseException:
        await writer.stop()
        raise
    return Taken(state, writer, predecessor, stored.timestamp_ms if stored else 0, fenced_at)


def _ledger(state: PartitionState) -> Ledger:
    try:
        return Ledger.restore(state)
    except ValueError as error:
        raise CheckpointUnreadable(f"a checkpoint is damaged: {error}") from error


def check_lanes(predecessor: Checkpoint, lanes: int, settings: Settings) -> None:
    """Refuse to run on a number of lanes that the checkpoints were not written for.

    Raises:
        TopicsError: partitions were added by hand, or a migration is not finished.
    """
    topic = settings.kafka.topics.checkpoints
    if predecessor.migrating:
        raise TopicsError(
            f"a change of the number of lanes was interrupted; finish it with `call-dispatcher "
            f"topics create --lanes {lanes} --migrate`"
        )
    if predecessor.lanes != lanes:
        raise TopicsError(
            f"topic {topic} has {lanes} partitions, but its checkpoints are of "
            f"{predecessor.lanes} lanes: raise the number of lanes with `call-dispatcher topics "
            f"create --lanes {lanes} --migrate`, never by hand"
        )


async def _refuse_unless_new(lane: int, broker: Broker, settings: Settings, survey: Survey) -> None:
    """A lane without a checkpoint is new only if nothing says that it ran before."""
    names = settings.kafka.topics
    lanes = survey.partitions[names.checkpoints]
    for other in range(lanes):
        stored: Stored | None = await broker.last_checkpoint(other) if other != lane else None
        if stored is not None:
            check_lanes(checkpoints.decode(stored.value), lanes, settings)
    known = [tp for tp in survey.group_offsets if tp[1] % lanes == lane]
    if known:
        raise TopicsError(
            f"lane {lane} has no checkpoint in topic {names.checkpoints}, yet group "
            f"{settings.kafka.group_id} has committed offsets of {names.requests}: the checkpoints "
            "were deleted. Find out which calls were placed (`calls.results`, the provider's "
            "reports), then go on with a new kafka.group_id and kafka.start_from"
        )


async def _begin(
    state: LaneState, reader: Reader, settings: Settings, survey: Survey, *, latest: bool
) -> None:
    """Take up the lane's partitions that it has not read before, and start reading."""
    topic = settings.kafka.topics.requests
    mine: list[TopicPartition] = [
        (topic, partition) for partition in range(state.lane, survey.partitions[topic], state.lanes)
    ]
    old = {tp: ledger.position for tp, ledger in state.ledgers.items()}
    # Asked before anything is fetched: the answers would wait behind a fetch that finds nothing.
    await reader.start({})
    mine += state.aside
    bounds: Mapping[TopicPartition, tuple[int, int]] = await reader.bounds({*old, *mine})
    for _ in range(END_TRIES):
        if all(position <= bounds[tp][1] for tp, position in old.items()):
            break
        # A broker that was killed may show less than it has, until its transactions are settled.
        await asyncio.sleep(1.0)
        bounds = await reader.bounds({*old, *mine})
    for tp, position in old.items():
        check_end(tp, position, bounds[tp][1])
    fresh = {
        tp: bounds[tp][1 if latest and tp not in state.aside else 0] for tp in mine if tp not in old
    }
    for tp, offset in fresh.items():
        state.begin(tp, offset)
    positions = {**old, **fresh}
    await reader.add({tp: at for tp, at in positions.items() if tp not in state.aside})


def _adopt(
    state: LaneState,
    predecessor: Checkpoint,
    flows: Flows,
    heard: Heard,
    stamp_ms: int,
    today: int,
) -> None:
    """Open batches become batches to be rebuilt; each may have been sent once more."""
    partitions = [(p.topic, p.partition) for p in predecessor.partitions]
    for saved in predecessor.batches:
        positions = unpack_sources(saved.sources, saved.calls)
        sources = [(*partitions[index], offset) for index, offset in positions]
        attempts = heard.merged(saved.id, saved.mint, saved.attempts)
        saved = msgspec.structs.replace(saved, attempts=attempts)  # noqa: PLW2901 - the same batch
        batch = Batch(
            _attempted(saved, stamp_ms, today, released=predecessor.released),
            flows.account(saved.flow_id),
            by_partition([place[:2] for place in sources], [at for _, at in positions]),
            sources=sources,
            sent=saved.stage is not Stage.REFUSED,
        )
        state.open_batch(batch)
        for source in sources:
            state.recovering[source] = batch


def _attempted(saved: OpenBatch, stamp_ms: int, today: int, *, released: bool) -> OpenBatch:
    if saved.first_possible_ms is None:
        saved = msgspec.structs.replace(saved, first_possible_ms=stamp_ms)
    if released or saved.stage is Stage.REFUSED:
        # A half that waits for the other's answer is never sent.
        return saved
    # A released batch counts as attempted once without an answer, on a day that is known only if
    # its record is of today.
    day = today if day_of(stamp_ms / 1000) == today else DAY_UNKNOWN
    attempt = Attempt(End.UNANSWERED, None, day)
    return msgspec.structs.replace(saved, attempts=(*saved.attempts, attempt))


def carry_tally(taken: Taken) -> None:
    """Count the predecessor's tally as if it were of now.

    The first checkpoint must hold it: it is all that a successor has, should this owner not come
    to a second one. How old the tally is tells only the broker's time of that checkpoint.
    """
    if taken.predecessor is not None:
        now = asyncio.get_running_loop().time()
        for seconds, calls, requests in taken.predecessor.tally:
            taken.state.guard.count_until(calls, requests, now + seconds)


def count_what_was_sent(taken: Taken, first_stamp_ms: int, quiet_seconds: float) -> None:
    """Start the window guard anew, from the predecessor's tally and from what may be under way.

    Args:
        taken: the takeover.
        first_stamp_ms: the broker's time of this owner's first checkpoint.
        quiet_seconds: from now until no POST of an earlier owner can be under way.
    """
    predecessor, state = taken.predecessor, taken.state
    if predecessor is None:
        return
    now, guard = asyncio.get_running_loop().time(), state.guard
    state.guard = WindowGuard(guard.calls_max, guard.requests_max)
    age = (first_stamp_ms - taken.stamp_ms) / 1000 - TALLY_ERROR_SECONDS
    for seconds, calls, requests in predecessor.tally:
        if seconds > age:
            state.guard.count_until(calls, requests, now + seconds - max(0.0, age))
    if not predecessor.released:
        for saved in predecessor.batches:
            state.guard.count_until(saved.calls, 1, now + quiet_seconds + WINDOW_SECONDS)
