"""What a replica looks like from outside, as plain values.

Knows nothing of HTTP or metrics: both are given what this module makes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from urllib.parse import urlsplit

from service.core.status import (
    FLOWS_MAX,
    FlowStatus,
    HoldStatus,
    LaneStatus,
    PartitionStatus,
    Status,
)
from service.pipeline.lane import Lane, World
from service.pipeline.replica import Replica
from service.pipeline.sender import Sender
from service.pipeline.state import LaneState


def status_of(replica: Replica, world: World) -> Status:
    """The whole process as of now; call it in the replica's loop."""
    settings = world.settings
    lanes = tuple(_lane(lane) for _, lane in sorted(replica.lanes.items()))
    well = replica.joined and all(lane.state == "owned" for lane in lanes)
    error = None if well else replica.trouble
    return Status(
        version=version("call-dispatcher"),
        ready=replica.joined and not replica.draining and error is None,
        draining=replica.draining,
        joined=replica.joined,
        standby=replica.joined and not lanes,
        owner=world.owner,
        group_id=settings.kafka.group_id,
        profile=settings.provider.profile,
        url_host=urlsplit(settings.provider.url).hostname or "",
        limit_scope=settings.provider.limit_scope,
        lanes=lanes,
        error=error,
    )


def _lane(lane: Lane) -> LaneStatus:
    if lane.state is None or lane.sender is None or lane.window is None:
        return LaneStatus(lane.lane, "taking", 0, 0, 0, 0, 0, 0, 0, 0, 0)
    return _owned(lane.lane, lane.state, lane.sender, lane.window.standing)


def _owned(lane: int, state: LaneState, sender: Sender, standing: str) -> LaneStatus:
    now = asyncio.get_running_loop().time()
    waiting = state.batcher.waiting
    longest = sorted(waiting.items(), key=lambda item: -item[1])[:FLOWS_MAX]
    partitions = tuple(_partitions(state))
    in_window = state.guard.used(now)[0]
    return LaneStatus(
        lane=lane,
        state="owned",
        turn=state.turn,
        open_batches=len(state.open),
        waiting_calls=sum(waiting.values()),
        held_events=state.memory.events,
        held_bytes=state.memory.bytes,
        in_flight=sender.in_flight,
        calls_in_window=in_window,
        calls_per_minute=state.guard.calls_max,
        requests_per_minute=state.guard.requests_max,
        partitions=partitions,
        parked_calls=state.parked.waiting,
        parked_oldest_age_seconds=_parked_age(state),
        overflow_calls=state.overflow.waiting,
        oldest_event_age_seconds=_oldest_age(state),
        holds=tuple(
            HoldStatus(
                hold.scope,
                hold.name,
                hold.reason,
                hold.since_ms,
                hold.code,
                hold.probes,
                None if (at := state.holds.probe_at_of(hold)) is None else max(0.0, at - now),
                hold.by,
            )
            for hold in state.holds.states()
        ),
        flows=tuple(FlowStatus(flow_id, calls) for flow_id, calls in longest),
        paused_seconds=max(0.0, sender.circuit_until - now),
        pause=sender.circuit_reason or None,
        recovering_batches=len(set(map(id, state.recovering.values()))),
        checkpoint_bytes=state.checkpoint_bytes,
        standing=standing,
        minutes_until_drained=_minutes_until_drained(partitions, state.overflow.waiting, in_window),
    )


def _partitions(state: LaneState) -> Iterator[PartitionStatus]:
    for tp, ledger in state.ledgers.items():
        if tp not in state.aside:
            end = state.ends.get(tp)
            lag = None if end is None else max(0, end - ledger.end) + ledger.open
            yield PartitionStatus(*tp, ledger.position, end, lag)


def _minutes_until_drained(
    partitions: Sequence[PartitionStatus], moved: int, sent_in_a_minute: int
) -> float | None:
    lags = [each.lag for each in partitions if each.lag is not None]
    if len(lags) < len(partitions):
        return None
    # What was moved to the overflow topic has left the lag, and waits to be sent all the same.
    backlog = sum(lags) + moved
    if not backlog:
        return 0.0
    return round(backlog / sent_in_a_minute, 2) if sent_in_a_minute else None


def _oldest_age(state: LaneState) -> float | None:
    oldest = [calls[0].record.timestamp for calls in state.batcher.heads()]
    oldest += [b.calls[0].record.timestamp for b in state.open.values() if b.calls]
    return max(0.0, (state.now_ms() - min(oldest)) / 1000) if oldest else None


def _parked_age(state: LaneState) -> float | None:
    parked = state.parked
    if not parked.waiting or parked.oldest_ms == float("inf"):
        return None
    return max(0.0, (state.now_ms() - parked.oldest_ms) / 1000)
