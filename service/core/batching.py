"""Groups calls per flow into drafts that respect every bound of a batch.

Knows nothing of sealing, sending or clocks. A draft is *ready* by count, by bytes, or by age; a
draft that is ready only by age goes on filling until it is taken. Whether it holds an identity
twice is asked when it is taken, and then it is cut there (docs/decisions/023).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter

from service.core.calls import Call, identities_of
from service.core.fairness import Rotation

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


class _Line:
    """What waits of one flow."""

    __slots__ = ("bounds", "calls", "drafts", "last", "look_at")

    def __init__(self, bounds: Bounds, first: Draft) -> None:
        self.bounds = bounds
        self.calls = 0
        self.drafts = [first]
        """In order; most flows have one, so it is no deque: an empty one has 600 bytes."""
        self.last = first
        """Of the drafts: it is asked for with each call, and one step nearer here."""
        self.look_at: float | None = None
        """When the flow is looked at again, if that is noted; too early is harmless."""


class Batcher:
    """All drafts of a lane, and which flow's turn it is."""

    def __init__(self, bounds_of: Callable[[str], Bounds]) -> None:
        self._bounds_of = bounds_of
        self._lines: dict[str, _Line] = {}
        """By flow: of each line, one draft at least."""
        self._ages: list[tuple[float, str]] = []
        self.added = 0
        """Calls that were put in so far, those that came back included."""
        self._rotation = Rotation(self._quantum)

    def _quantum(self, flow_id: str) -> float:
        bounds = self._lines[flow_id].bounds
        return bounds.calls_max * bounds.priority

    @property
    def waiting(self) -> Mapping[str, int]:
        """Calls that wait in drafts at present, by flow; a flow without any is not in it."""
        return {flow_id: line.calls for flow_id, line in self._lines.items()}

    def waiting_of(self, flow_id: str) -> int:
        """The same of one flow."""
        line = self._lines.get(flow_id)
        return 0 if line is None else line.calls

    def heads(self) -> Iterator[Sequence[Call]]:
        """The calls of each flow's first draft."""
        return (line.drafts[0].calls for line in self._lines.values())

    def add(self, call: Call, now: float) -> None:
        """`extend` with one call."""
        self.extend(call.flow_id, (call,), now)

    def extend(self, flow_id: str, calls: Sequence[Call], now: float) -> None:
        """Put calls of a flow into its last draft, and into new ones behind it."""
        line = self._lines.get(flow_id)
        if line is None:
            line = self._lines[flow_id] = _Line(self._bounds_of(flow_id), Draft(flow_id, now))
            self._rank(flow_id, line, now)
        count, last, bounds = len(calls), line.last, line.bounds
        line.calls += count
        self.added += count
        # Of many flows a fetch has one call each.
        if count == 1 and last.take_in(calls[0], bounds):
            return
        at = last.fill(calls, 0, bounds)
        if at == count and last.cause is Cause.AGE:
            return
        while at < count:
            last = line.last = Draft(flow_id, now)
            line.drafts.append(last)
            at = last.fill(calls, at, bounds)
        # One of them is closed now, so the first is.
        self._rotation.add(flow_id)

    def ready(self, now: float) -> bool:
        """Whether any flow has a draft ready at `now`."""
        while self._ages and self._ages[0][0] <= now:
            at, flow_id = heapq.heappop(self._ages)
            line = self._lines.get(flow_id)
            if line is not None and line.look_at == at:
                line.look_at = None
                self._rank(flow_id, line, now)
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
            return min(len(self._head(flow_id).calls), calls_max(flow_id))

        flow_id = self._rotation.pick(size, eligible)
        if flow_id is None:
            return None
        line, calls = self._lines[flow_id], size(flow_id)
        drafts = line.drafts
        draft = drafts.pop(0)
        line.calls -= calls
        if calls < len(draft.calls):
            draft, rest = draft.split(calls)
            drafts.insert(0, rest)
            line.last = drafts[-1]
        elif not drafts:
            self._forget(flow_id)
        elif drafts[0].cause is Cause.AGE:
            self._rotation.remove(flow_id)
            self._rank(flow_id, line, now)
        return draft

    def _head(self, flow_id: str) -> Draft:
        """The flow's first draft, all identities distinct: it is cut before the first repeat."""
        line = self._lines[flow_id]
        draft = line.drafts[0]
        distinct = draft.distinct_calls()
        if distinct < len(draft.calls):
            draft, rest = draft.split(distinct)
            draft.cause, draft.distinct = Cause.REPEAT, True
            line.drafts[:1] = [draft, rest]
            line.last = line.drafts[-1]
        return draft

    def has(self, flow_id: str) -> bool:
        """Whether calls of the flow wait."""
        return flow_id in self._lines

    def first(self, flow_id: str) -> Call | None:
        """The call of the flow that has waited longest."""
        line = self._lines.get(flow_id)
        return None if line is None else line.drafts[0].calls[0]

    def others_ready(self, flow_id: str) -> bool:
        """Whether a flow besides this one has a draft that was ready when last looked at."""
        return len(self._rotation) > (flow_id in self._rotation)

    def flows(self) -> list[str]:
        """All flows of which calls wait."""
        return list(self._lines)

    def withdraw(self, flow_id: str) -> list[Call]:
        """All calls of the flow that wait, in order; they are the caller's from now on."""
        line = self._lines.get(flow_id)
        if line is None:
            return []
        self._forget(flow_id)
        return [call for draft in line.drafts for call in draft.calls]

    def withdraw_last(self, flow_id: str, calls: int) -> list[Call]:
        """At least this many calls of the flow, whole drafts, the latest; in order."""
        line, taken = self._lines[flow_id], deque[Draft]()
        drafts = line.drafts
        while len(drafts) > 1 and sum(len(draft.calls) for draft in taken) < calls:
            taken.appendleft(drafts.pop())
        line.last = drafts[-1]
        found = [call for draft in taken for call in draft.calls]
        line.calls -= len(found)
        return found

    def _forget(self, flow_id: str) -> None:
        del self._lines[flow_id]
        self._rotation.remove(flow_id)

    def _rank(self, flow_id: str, line: _Line, now: float) -> None:
        """Put the flow into the rotation if its first draft is ready, else note when it will be."""
        first = line.drafts[0]
        ready_at = first.opened_at + line.bounds.linger_seconds
        if first.cause is not Cause.AGE or ready_at <= now:
            self._rotation.add(flow_id)
        elif flow_id not in self._rotation and line.look_at is None:
            line.look_at = ready_at
            heapq.heappush(self._ages, (ready_at, flow_id))
