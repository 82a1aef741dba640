"""Watches what leaves: durable bytes only, one owner at a time, and neither turn nor answer lost.

It knows what checkpoints say, what left and what was heard; nothing of events or outcomes' reasons.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable

import msgspec

from service.core.checkpoint import Checkpoint, OpenBatch
from service.core.history import End
from service.core.verdicts import Answer, Response

Mint = tuple[str, int]
"""(batch-id, number of the mint)"""

TAKEN = {200, 201, 202, 209}
"""Codes that may say that the request was, or had been, taken."""


class Bodies:
    """The bodies of one world."""

    def __init__(self, wrong: Callable[[str], None], *, alike: bool, half_written: bool) -> None:
        """Nothing has left yet.

        Args:
            wrong: told of each violation.
            alike: whether different batches may have the same bytes: case (f).
            half_written: whether stopped processes finish what they had begun: case (g).
        """
        self._wrong = wrong
        self._alike = alike
        self._half_written = half_written
        self._states: dict[int, Checkpoint] = {}
        """The last of each lane."""
        self._batches: dict[str, OpenBatch] = {}
        """As the last checkpoint that knows them has them."""
        self._durable: dict[bytes, tuple[int, Mint]] = {}
        """Lane and mint of each body that a committed checkpoint holds."""
        self._left: dict[bytes, Mint] = {}
        self._heard: dict[tuple[str, bytes], int] = {}
        """By process and body: a code that was heard and does not say that it was taken."""
        self._owners: defaultdict[int, list[str]] = defaultdict(list)
        """Who committed in each lane, in this order."""
        self._sender: dict[int, int] = {}
        """The place among its owners of the last that sent for a lane."""

    def checkpoint(self, state: Checkpoint) -> None:
        """A lane's state is durable."""
        before = self._states.get(state.lane)
        self._states[state.lane] = state
        # A migration marks the last turn, and may take the mark away.
        marked = before is not None and _unmarked(state) == _unmarked(before)
        if before is not None and state.turn <= before.turn and not marked:
            self._wrong(f"turn {state.turn} of lane {state.lane} does not know turn {before.turn}")
        owners = self._owners[state.lane]
        if state.owner not in owners[-1:]:
            owners.append(state.owner)
        for batch in state.batches:
            self._compare(self._batches.get(batch.id), batch)
            self._batches[batch.id] = batch
            self._durable[batch.sha256] = (state.lane, (batch.id, batch.mint))

    def forget_turns(self) -> None:
        """The checkpoints are gone: a lane that had nothing to read may begin again."""
        self._states.clear()

    def _compare(self, before: OpenBatch | None, after: OpenBatch) -> None:
        if before is None or before.mint != after.mint:
            return
        what = f"batch {after.id} mint {after.mint}"
        if before.sha256 != after.sha256:
            self._wrong(f"{what} changed its bytes")
        if after.attempts[: len(before.attempts)] != before.attempts:
            self._wrong(f"{what} lost a part of its history")

    def launched(self, body: bytes, owner: str, *, twins: int) -> int | None:
        """The first byte of a request leaves; `twins` with these very bytes may still arrive.

        Returns:
            The lane, or None if it cannot be told.
        """
        sha256 = hashlib.sha256(body).digest()
        known = self._durable.get(sha256)
        if known is None:
            self._wrong("a request left although no committed checkpoint holds its bytes")
            return None
        if self._alike:
            # The same bytes may be another batch's, of another lane.
            return None
        lane, mint = known
        before = self._left.setdefault(sha256, mint)
        if before != mint:
            self._wrong(f"the same bytes left for {before} and for {mint}")
        place = _last_place(self._owners[lane], owner)
        if place < self._sender.setdefault(lane, place):
            self._wrong(f"a request of lane {lane} left after its successor's first one")
        self._sender[lane] = max(place, self._sender[lane])
        if twins and not self._half_written:
            self._wrong("a request left while one with the same bytes was still on its way")
        return lane

    def heard(self, body: bytes, owner: str, answer: Answer) -> None:
        """An answer has reached the process that asked."""
        code = _code(answer)
        if code is not None and code not in TAKEN:
            self._heard[owner, hashlib.sha256(body).digest()] = code

    def believed(self, batch_id: str, owner: str) -> None:
        """A lane takes a 201 for the proof that a batch was accepted."""
        batch = self._batches[batch_id]
        code = self._heard.get((owner, batch.sha256))
        if code is not None and not self._alike:
            # Else another batch with the same bytes may have heard it.
            self._wrong(
                f"batch {batch_id} is `accepted` by a 201 after the same owner heard {code}"
            )
        if any(attempt.end is not End.UNANSWERED for attempt in batch.attempts):
            self._wrong(f"batch {batch_id} is `accepted` by a 201 against its durable history")


def _unmarked(state: Checkpoint) -> Checkpoint:
    return msgspec.structs.replace(state, migrating=False)


def _last_place(owners: list[str], owner: str) -> int:
    return max((place for place, one in enumerate(owners) if one == owner), default=-1)


def _code(answer: Answer) -> int | None:
    """The code of a readable answer."""
    if not isinstance(answer, Response) or answer.truncated:
        return None
    try:
        return int(json.loads(answer.body)["api-response-code"])
    except (ValueError, TypeError, KeyError):
        return None
