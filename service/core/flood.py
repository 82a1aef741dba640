"""The flood breaker: when too many calls of a flow fail, the flow is stopped instead of burnt.

Knows nothing of holds or why a call failed. It counts, for each flow, the calls that ended within a
window, and how many of them ended badly.
"""

from __future__ import annotations

from dataclasses import dataclass

STEPS = 12
"""A window is counted in so many parts."""
FLOWS_OF_ACCOUNT = 5
"""So many flows of an account that trip within one window stop the account."""


@dataclass(frozen=True, slots=True)
class Tripped:
    """A flow, and its account too if `account_too`, must be stopped."""

    flow_id: str
    account_too: bool
    bad: int
    total: int


class Flood:
    """Counts of one lane. Times are the loop's, in seconds."""

    def __init__(self, share: float, events_min: int, window_seconds: float) -> None:
        self._share = share
        self._events_min = events_min
        self._window = window_seconds
        self._of_flow: dict[str, list[int]] = {}
        """By flow, the one that was counted last at the end: step, total, bad, and so on again. In
        one list, for there are thousands of flows."""
        self._step = 0
        """Number of the part of the window that was counted last."""
        self._trips: dict[str, dict[str, float]] = {}
        """By account: when each of its flows tripped."""

    def count(self, flow_id: str, account: str, total: int, bad: int, now: float) -> Tripped | None:
        """So many calls of a flow ended, so many of them badly; what that trips, if anything."""
        step = int(now * STEPS // self._window)
        if step != self._step:
            self._step = step
            self._forget(now)
        rows = self._of_flow[flow_id] = self._of_flow.pop(flow_id, [])
        if not rows or rows[-3] != step:
            rows += (step, total, bad)
        else:
            rows[-2] += total
            rows[-1] += bad
        while rows[0] <= step - STEPS:
            del rows[:3]
        if not bad:
            return None
        all_of_them, all_bad = sum(rows[1::3]), sum(rows[2::3])
        if all_of_them < self._events_min or all_bad <= self._share * all_of_them:
            return None
        del self._of_flow[flow_id]
        trips = self._trips.setdefault(account, {})
        trips[flow_id] = now
        recent = [at for at in trips.values() if at > now - self._window]
        return Tripped(flow_id, len(recent) >= FLOWS_OF_ACCOUNT, all_bad, all_of_them)

    def _forget(self, now: float) -> None:
        oldest = now - self._window
        for flow_id, rows in list(self._of_flow.items()):
            if rows[-3] > self._step - STEPS:
                break
            del self._of_flow[flow_id]
        for account, trips in list(self._trips.items()):
            self._trips[account] = {flow: at for flow, at in trips.items() if at > oldest}
            if not self._trips[account]:
                del self._trips[account]
