"""Deals the lanes' checkpoints out anew when the number of lanes grows.

Knows nothing of topics or transactions. Partition *p* of the requests goes to lane *p mod N*; what
is one lane's alone (the tally) is split, what may concern any of them (holds) is given to each.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from service.core.checkpoint import Checkpoint
from service.core.holds import HoldState
from service.core.learned import Learned
from service.errors import TopicsError


def refuse_unless_drained(old: Sequence[Checkpoint]) -> None:
    """Open batches cannot move: their lane must settle them first.

    Raises:
        TopicsError: a lane has open batches; the text names the way out.
    """
    busy = {checkpoint.lane: len(checkpoint.batches) for checkpoint in old if checkpoint.batches}
    if busy:
        lanes = ", ".join(f"lane {lane}: {count}" for lane, count in sorted(busy.items()))
        raise TopicsError(
            f"batches are open ({lanes}), and they cannot change their lane: nothing was changed. "
            "Let the dispatchers settle them, stop all (SIGTERM), then run this again"
        )


def deal(old: Sequence[Checkpoint], lanes: int, owner: str) -> list[Checkpoint]:
    """The checkpoints of `lanes` lanes that go on where `old` ones stopped, in lane order."""
    partitions = sorted(
        (state for checkpoint in old for state in checkpoint.partitions),
        key=lambda state: (state.topic, state.partition),
    )
    holds: dict[tuple[str, str], HoldState] = {}
    for checkpoint in old:
        holds |= {(hold.scope, hold.name): hold for hold in checkpoint.holds}
    model = msgspec.structs.replace(
        old[0],
        lanes=lanes,
        owner=owner,
        turn=max(checkpoint.turn for checkpoint in old) + 1,
        lease_seconds=max(checkpoint.lease_seconds for checkpoint in old),
        timeout_seconds=max(checkpoint.timeout_seconds for checkpoint in old),
        released=all(checkpoint.released for checkpoint in old),
        holds=list(holds.values()),
        shifting=sorted({account for checkpoint in old for account in checkpoint.shifting}),
        migrating=False,
        # A lane that is behind makes its own way again: commands are idempotent.
        control=min(checkpoint.control for checkpoint in old),
        cancels=list({one.id: one for each in old for one in each.cancels}.values()),
        bounds=_lowest_bounds(old),
    )
    # Rounded up: the lanes together may count a few calls too many for a minute, never too few.
    tally = [
        (seconds, -(-calls // lanes), -(-requests // lanes))
        for checkpoint in old
        for seconds, calls, requests in checkpoint.tally
    ]
    return [
        msgspec.structs.replace(
            model,
            lane=lane,
            partitions=[state for state in partitions if state.partition % lanes == lane],
            tally=tally,
            parked=old[lane].parked if lane < len(old) else 0,
            overflow=old[lane].overflow if lane < len(old) else 0,
        )
        for lane in range(lanes)
    ]


def _lowest_bounds(old: Sequence[Checkpoint]) -> list[Learned]:
    lowest: dict[str, Learned] = {}
    for learned in (each for checkpoint in old for each in checkpoint.bounds):
        before = lowest.get(learned.account)
        if before is None or learned.calls_max < before.calls_max:
            lowest[learned.account] = learned
    return list(lowest.values())
