"""Calling hours: the times of the week at which a flow's calls may be sent.

Knows nothing of what happens to calls outside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES

Span = tuple[int, int]
"""(first minute, minute after the last) counted from Monday 00:00; within one week."""

_RULE = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?\s+)?"
    r"(?P<start>\d{2}:\d{2})-(?P<end>\d{2}:\d{2})",
    re.ASCII,
)


def parse_calling_hours(rules: Iterable[str]) -> tuple[Span, ...]:
    """The spans of the week that `rules` open, sorted and joined.

    A rule is `09:00-21:00`, or with days `mon-fri 09:00-21:00`. One that ends before it starts
    runs over midnight, and belongs to the day on which it starts; 24:00 is the day's end.

    Raises:
        ValueError: a rule cannot be read; the text says what is wrong with it.
    """
    spans = sorted(span for rule in rules for span in _spans(rule.strip().lower()))
    joined: list[Span] = []
    for first, end in spans:
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((first, end))
    return tuple(joined)


def opens_at(spans: Sequence[Span], zone: ZoneInfo, wall: float) -> float:
    """The first time at or after `wall` at which `spans` of that zone's week are open.

    Both are seconds since the epoch. Where the clock is put back, an hour that comes twice is open
    or closed both times.
    """
    local = datetime.fromtimestamp(wall, zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    minute = local.weekday() * DAY_MINUTES + local.hour * 60 + local.minute
    if any(first <= minute < end for first, end in spans):
        return wall
    ahead = min((first - minute) % WEEK_MINUTES for first, _ in spans)
    days, rest = divmod(local.hour * 60 + local.minute + ahead, DAY_MINUTES)
    # The day first, then the time of day: a day has not always 24 hours.
    day = (midnight + timedelta(days=days)).date()
    opening = datetime(day.year, day.month, day.day, rest // 60, rest % 60, tzinfo=zone)
    return max(wall, opening.astimezone(UTC).timestamp())


def _spans(rule: str) -> Iterable[Span]:
    found = _RULE.fullmatch(rule)
    if not found:
        raise ValueError("calling hours must be like 09:00-21:00 or mon-fri 09:00-21:00")
    start, end = _minutes(found["start"]), _minutes(found["end"])
    if start in {end, DAY_MINUTES}:
        raise ValueError("calling hours must not be empty; the whole day is 00:00-24:00")
    length = end - start if end > start else end + DAY_MINUTES - start
    for day in _days(found["first"], found["last"]):
        first = day * DAY_MINUTES + start
        yield first, min(first + length, WEEK_MINUTES)
        if first + length > WEEK_MINUTES:
            yield 0, first + length - WEEK_MINUTES


def _minutes(text: str) -> int:
    hours, minutes = int(text[:2]), int(text[3:])
    total = hours * 60 + minutes
    if minutes > 59 or total > DAY_MINUTES:  # noqa: PLR2004 - minutes of an hour
        raise ValueError(f"calling hours: {text} is no time of day")
    return total


def _days(first: str | None, last: str | None) -> Iterable[int]:
    if first is None:
        return range(7)
    for name in (first, last or first):
        if name not in DAYS:
            raise ValueError(f"calling hours: {name} is no day; days are {', '.join(DAYS)}")
    begin, end = DAYS.index(first), DAYS.index(last or first)
    return [(begin + step) % 7 for step in range((end - begin) % 7 + 1)]
