"""Groups calls per flow into drafts that respect every bound of a batch.

Knows nothing of sealing, sending or clocks. A draft is *ready* by count, by bytes, by a repeated
client-identifier, or by age; a draft that is ready only by age goes on filling until it is taken.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from service.core.calls import Call
from service.core.fairness import Rotation

CALLS_UNBOUNDED = 2**31
"""No bound but the flow's own."""


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

    __slots__ = ("bytes", "calls", "cause", "flow_id", "identities", "opened_at")

    def __init__(self, flow_id: str, opened_at: float) -> None:
        self.flow_id = flow_id
        self.calls: list[Call] = []
        # A dict, for small ones take a third of the memory of small sets.
        self.identities: dict[bytes, None] = {}
        self.bytes = 0
        self.opened_at = opened_at
        self.cause = Cause.AGE

    def fill(self, calls: Sequence[Call], at: int, bounds: Bounds) -> int:
        """Take calls in from index `at` on; returns the index of the first that cannot join.

        `cause` says why; then, or when it is full, none joins any more.
        """
        mine, seen, size = self.calls, self.identities, self.bytes
        end = min(len(calls), at + bounds.calls_max - len(mine))
        while at < end:
            call = calls[at]
            more = size + len(call.fragment) + (1 if mine else 0)
            if more > bounds.fragments_bytes_max and mine:
                self._close(Cause.BYTES)
                break
            if call.identity in seen:
                self._close(Cause.REPEAT)
                break
            size = more
            mine.append(call)
            seen[call.identity] = None
            at += 1
        self.bytes = size
        if len(mine) >= bounds.calls_max:
            self._close(Cause.COUNT)
        return at

    def _close(self, cause: Cause) -> None:
        self.cause = cause
        # Most of a window waits in drafts that are closed: what nobody asks any more is let go.
        self.identities = {}

    def split(self, calls: int) -> tuple[Draft, Draft]:
        """The first `calls` of it, and the rest."""
        parts = Draft(self.flow_id, self.opened_at), Draft(self.flow_id, self.opened_at)
        for part, some in zip(parts, (self.calls[:calls], self.calls[calls:]), strict=True):
            part.fill(some, 0, UNBOUNDED)
            part.cause = self.cause
        return parts


class Batcher:
    """All drafts of a lane, and which flow's turn it is."""

    def __init__(self, bounds_of: Callable[[str], Bounds]) -> None:
        self._bounds_of = bounds_of
        self._bounds: dict[str, Bounds] = {}
        self._drafts: dict[str, list[Draft]] = {}
        """By flow, in order; most flows have one, so it is no deque: an empty one has 600 bytes."""
        self._ages: list[tuple[float, str]] = []
        self._aging: set[str] = set()
        self._counts: dict[str, int] = {}
        self.added = 0
        """Calls that were put in so far, those that came back included."""
        self._rotation = Rotation(self._quantum)

    def _quantum(self, flow_id: str) -> float:
        bounds = self._bounds[flow_id]
        return bounds.calls_max * bounds.priority

    @property
    def waiting(self) -> Mapping[str, int]:
        """Calls that wait in drafts, by flow; a flow without any is not in it."""
        return self._counts

    def heads(self) -> Iterator[Sequence[Call]]:
        """The calls of each flow's first draft."""
        return (drafts[0].calls for drafts in self._drafts.values())

    def add(self, call: Call, now: float) -> None:
        """`extend` with one call."""
        self.extend(call.flow_id, (call,), now)

    def extend(self, flow_id: str, calls: Sequence[Call], now: float) -> None:
        """Put calls of a flow into its last draft, and into new ones behind it."""
        drafts = self._drafts.get(flow_id)
        self._counts[flow_id] = self._counts.get(flow_id, 0) + len(calls)
        self.added += len(calls)
        if drafts is None:
            drafts = self._drafts[flow_id] = []
            self._bounds[flow_id] = self._bounds_of(flow_id)
        bounds, at = self._bounds[flow_id], 0
        while at < len(calls):
            if not drafts or drafts[-1].cause is not Cause.AGE:
                drafts.append(Draft(flow_id, now))
            at = drafts[-1].fill(calls, at, bounds)
        if drafts[0].cause is not Cause.AGE:
            self._rotation.add(flow_id)
        elif flow_id not in self._rotation:
            self._age(flow_id, drafts[0].opened_at + bounds.linger_seconds)

    def ready(self, now: float) -> bool:
        """Whether any flow has a draft ready at `now`."""
        while self._ages and self._ages[0][0] <= now:
            _, flow_id = heapq.heappop(self._ages)
            self._aging.discard(flow_id)
            self._rank(flow_id, now)
        return bool(self._rotation)

    def next_ready_at(self) -> float | None:
        """When the next draft becomes ready by age; None if no draft waits for that."""
        return self._ages[0][0] if self._ages else None

    def peek(self, now: float, eligible: Callable[[str], bool]) -> bool:
        """Whether a draft of an eligible flow is ready."""
        return self.ready(now) and self._rotation.any(eligible)

    def take(
        self,
        now: float,
        eligible: Callable[[str], bool],
        calls_max: Callable[[str], int] = lambda _: CALLS_UNBOUNDED,
    ) -> Draft | None:
        """The draft whose turn it is, or None when nothing that is ready may go.

        Args:
            now: the time by which drafts age.
            eligible: whether a flow may have a batch now.
            calls_max: how many calls a batch of the flow may have at present; the rest of a larger
                draft stays where it is.
        """
        if not self.ready(now):
            return None

        def size(flow_id: str) -> int:
            return min(len(self._drafts[flow_id][0].calls), calls_max(flow_id))

        flow_id = self._rotation.pick(size, eligible)
        if flow_id is None:
            return None
        drafts, calls = self._drafts[flow_id], size(flow_id)
        draft = drafts.pop(0)
        self._counts[flow_id] -= calls
        if calls < len(draft.calls):
            draft, rest = draft.split(calls)
            drafts.insert(0, rest)
        elif not drafts:
            self._forget(flow_id)
        elif drafts[0].cause is Cause.AGE:
            self._rotation.remove(flow_id)
            self._rank(flow_id, now)
        return draft

    def has(self, flow_id: str) -> bool:
        """Whether calls of the flow wait."""
        return flow_id in self._drafts

    def first(self, flow_id: str) -> Call | None:
        """The call of the flow that has waited longest."""
        drafts = self._drafts.get(flow_id)
        return drafts[0].calls[0] if drafts else None

    def others_ready(self, flow_id: str) -> bool:
        """Whether a flow besides this one has a draft that was ready when last looked at."""
        return len(self._rotation) > (flow_id in self._rotation)

    def flows(self) -> list[str]:
        """All flows of which calls wait."""
        return list(self._drafts)

    def withdraw(self, flow_id: str) -> list[Call]:
        """All calls of the flow that wait, in order; they are the caller's from now on."""
        drafts = self._drafts.get(flow_id)
        if drafts is None:
            return []
        self._forget(flow_id)
        return [call for draft in drafts for call in draft.calls]

    def withdraw_last(self, flow_id: str, calls: int) -> list[Call]:
        """At least this many calls of the flow, whole drafts, the latest; in order."""
        drafts, taken = self._drafts[flow_id], deque[Draft]()
        while len(drafts) > 1 and sum(len(draft.calls) for draft in taken) < calls:
            taken.appendleft(drafts.pop())
        found = [call for draft in taken for call in draft.calls]
        self._counts[flow_id] -= len(found)
        return found

    def _forget(self, flow_id: str) -> None:
        del self._drafts[flow_id], self._bounds[flow_id], self._counts[flow_id]
        self._rotation.remove(flow_id)

    def _rank(self, flow_id: str, now: float) -> None:
        """Put the flow into the rotation if its first draft is ready, else note when it will be."""
        drafts = self._drafts.get(flow_id)
        if not drafts:
            return
        ready_at = drafts[0].opened_at + self._bounds[flow_id].linger_seconds
        if drafts[0].cause is not Cause.AGE or ready_at <= now:
            self._rotation.add(flow_id)
        elif flow_id not in self._rotation:
            self._age(flow_id, ready_at)

    def _age(self, flow_id: str, ready_at: float) -> None:
        """Look at the flow again at `ready_at`; one look a flow is noted, too early is harmless."""
        if flow_id not in self._aging:
            self._aging.add(flow_id)
            heapq.heappush(self._ages, (ready_at, flow_id))
