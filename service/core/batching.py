"""Groups calls per flow into drafts, and says which flow's turn it is.

Knows nothing of sealing, sending or clocks. A draft is *ready* by count, by bytes, or by age; a
draft that is ready only by age goes on filling until it is taken. Whether it holds an identity
twice is asked when it is taken, and then it is cut there (docs/decisions/023).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from service.core.calls import Call
from service.core.drafts import CALLS_UNBOUNDED, Bounds, Cause, Draft
from service.core.fairness import Rotation


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
