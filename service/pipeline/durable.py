"""What of a lane's state is durable: the checkpoint that a turn writes.

Knows nothing of turns, nor of how a checkpoint is read back.
"""

from __future__ import annotations

from service.core.checkpoint import VERSION, Checkpoint
from service.pipeline.state import LaneState


def checkpoint_of(
    state: LaneState,
    owner: str,
    lease_seconds: float,
    timeout_seconds: float,
    now: float,
    *,
    released: bool,
) -> Checkpoint:
    """The state as of now, consistent with the outbox that was just taken."""
    return Checkpoint(
        VERSION,
        state.lane,
        state.lanes,
        owner,
        state.turn,
        lease_seconds,
        timeout_seconds,
        released,
        [ledger.state() for ledger in state.ledgers.values()],
        [batch.saved for batch in state.open.values()],
        state.guard.tally(now),
        state.holds.states(),
        sorted(state.shifting),
        control=state.control_at,
        cancels=state.cancels.states(),
        bounds=state.learned.states(),
        limit=state.limit,
        parked=state.parked.waiting,
        overflow=state.overflow.waiting,
    )
