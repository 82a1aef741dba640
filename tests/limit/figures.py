"""What a run at the limit comes to.

Knows nothing of processes: it reads the twin's log of requests and the dispatchers' own logs.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.limit.course import LIMIT, TIMEOUT_SECONDS, Course

CLOCK_SECONDS = 0.25
"""A log line's time is that of writing it."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run's, or the worst of several."""

    used_ratio: float
    """Calls that arrived in the plain stretch, of what the limit allows."""
    calls_per_sliding_minute_max: int
    requests_per_sliding_minute_max: int
    windows_above_limit: int
    arrivals_after_timeout: int
    """Requests that arrived when no attempt of a living process was under way."""
    handover_seconds: float
    """Longest time without an arrival around the SIGTERM; with several lanes others go on."""
    takeover_seconds: float
    """The same around the kill -9."""
    calls_per_request: float


def figures_of(course: Course) -> Figures:
    """The figures of one run."""
    assert course.summary is not None
    plain = [r for r in course.requests if course.plain_from < r.at <= course.plain_to]
    calls = sum(request.calls for request in plain)
    minutes = (course.plain_to - course.plain_from) / 60
    return Figures(
        used_ratio=round(calls / (LIMIT * minutes), 4),
        calls_per_sliding_minute_max=course.summary.calls_per_sliding_minute_max,
        requests_per_sliding_minute_max=course.summary.requests_per_sliding_minute_max,
        windows_above_limit=course.summary.windows_above_limit,
        arrivals_after_timeout=_late(course),
        handover_seconds=round(_gap(course, course.stopped_at, course.failing_from), 1),
        takeover_seconds=round(_gap(course, course.killed_at, course.stopped_at), 1),
        calls_per_request=round(calls / max(1, len(plain)), 1),
    )


def worst(all_figures: Sequence[Figures]) -> Figures:
    """Of each figure the worst."""
    lowest = {"used_ratio", "calls_per_request"}
    return Figures(
        **{
            name: (min if name in lowest else max)(getattr(each, name) for each in all_figures)
            for name in Figures.__dataclass_fields__
        }
    )


def _gap(course: Course, since: float, until: float) -> float:
    """The longest time without an arrival that ends between these."""
    times = [r.at for r in course.requests if since - 2.0 < r.at < until]
    return max((b - a for a, b in pairwise(times) if b > since), default=0.0)


def _late(course: Course) -> int:
    """Arrivals that no attempt explains."""
    attempts: defaultdict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for line in _answered(course.logs):
        end = datetime.fromisoformat(line["timestamp"]).timestamp()
        attempts[line["flow_id"], line["calls"]].append((end - line["seconds"], end))
    late = 0
    for request in course.requests:
        rows = attempts[request.flow_id or "", request.calls]
        fits = [r for r in rows if r[0] - CLOCK_SECONDS <= request.at <= r[1] + CLOCK_SECONDS]
        if fits:
            rows.remove(min(fits))
        elif not course.killed_at - TIMEOUT_SECONDS <= request.at <= course.killed_at + 1.0:
            # What the killed process had under way has no line in its log.
            late += 1
    return late


def _answered(logs: Iterable[str]) -> Iterable[dict[str, Any]]:
    for text in logs:
        for line in text.splitlines():
            if "batch_answered" in line:
                yield json.loads(line)
