"""Drafts: calls of one flow that will be one batch, within every bound of a batch.

Knows nothing of other flows, nor of when a draft is taken (batching.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter

from service.core.calls import Call, identities_of

CALLS_UNBOUNDED = 2**31
"""No bound but the flow's own."""
_fragment = attrgetter("fragment")


class Cause(StrEnum):
    """Why a batch was sealed; the label of `batches_sealed_total`."""

    COUNT = "count"
    BYTES = "bytes"
    REPEAT = "repeat"
    AGE = "age"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one batch of a flow may hold."""

    calls_max: int
    fragments_bytes_max: int
    """Of the fragments and the commas between them: the body's limit less its other bytes."""
    linger_seconds: float
    priority: float = 1.0


UNBOUNDED = Bounds(CALLS_UNBOUNDED, 2**63, 0.0)


class Draft:
    """Calls of one flow that will be one batch, in order of arrival."""

    __slots__ = ("bytes", "calls", "cause", "distinct", "flow_id", "opened_at")

    def __init__(self, flow_id: str, opened_at: float) -> None:
        self.flow_id = flow_id
        self.calls: list[Call] = []
        self.bytes = 0
        """Of the fragments and the commas between them."""
        self.opened_at = opened_at
        self.cause = Cause.AGE
        self.distinct = False
        """Whether it is known that no two of its calls share an identity."""

    def fill(self, calls: Sequence[Call], at: int, bounds: Bounds) -> int:
        """Take calls in from index `at` on; returns the index of the first that cannot join.

        `cause` says why; then, or when it is full, none joins any more.
        """
        if self.cause is not Cause.AGE:
            return at
        mine, size, self.distinct = self.calls, self.bytes, False
        end = min(len(calls), at + bounds.calls_max - len(mine))
        some = calls if end - at == len(calls) else calls[at:end]
        # Each with the comma before it; the first has none.
        more = sum(map(len, map(_fragment, some))) + len(some) - (not mine)
        if size + more > bounds.fragments_bytes_max:
            some, more = _fitting(some, bounds.fragments_bytes_max - size, alone=not mine)
            end = at + len(some)
            self.cause = Cause.BYTES
        self.bytes = size + more
        mine += some
        if len(mine) >= bounds.calls_max:
            self.cause = Cause.COUNT
        return end

    def take_in(self, call: Call, bounds: Bounds) -> bool:
        """`fill` with one call, if it leaves the draft open; False if not, and nothing is done."""
        mine = self.calls
        size = self.bytes + len(call.fragment) + 1
        if (
            self.cause is not Cause.AGE
            or size > bounds.fragments_bytes_max
            or not 0 < len(mine) < bounds.calls_max - 1
        ):
            return False
        mine.append(call)
        self.bytes, self.distinct = size, False
        return True

    def distinct_calls(self) -> int:
        """How many of its first calls have an identity each that none before them has."""
        if not self.distinct:
            identities = identities_of(self.calls)
            if len(set(identities)) < len(identities):
                return _first_repeat(identities)
            self.distinct = True
        return len(self.calls)

    def split(self, calls: int) -> tuple[Draft, Draft]:
        """The first `calls` of it, and the rest."""
        parts = Draft(self.flow_id, self.opened_at), Draft(self.flow_id, self.opened_at)
        for part, some in zip(parts, (self.calls[:calls], self.calls[calls:]), strict=True):
            part.fill(some, 0, UNBOUNDED)
            part.cause, part.distinct = self.cause, self.distinct
        return parts


def _fitting(calls: Sequence[Call], room: int, *, alone: bool) -> tuple[Sequence[Call], int]:
    """Those of the first calls that fit behind others, and their bytes with the commas.

    Args:
        calls: in order.
        room: bytes that are left.
        alone: nothing is before them: the first has no comma, and is in whatever its length.
    """
    size = 0
    for at, call in enumerate(calls):
        first = alone and at == 0
        more = size + len(call.fragment) + (not first)
        if more > room and not first:
            return calls[:at], size
        size = more
    return calls, size


def _first_repeat(identities: Iterable[bytes]) -> int:
    seen = set[bytes]()
    for at, identity in enumerate(identities):
        if identity in seen:
            return at
        seen.add(identity)
    raise AssertionError("called only where an identity repeats")
