"""Times of events: the forms that are understood, and the one form that is sent.

Knows nothing of what time it is now. Every rule is from provider-api.md, `start-time` forms.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

TEXT_CHARACTERS_MAX = 64
"""Of a time as it came: its longest sensible form has half of that, and texts are cached."""
TEXTS_CACHED = 8192
"""Start-times repeat: a campaign has one, a spread-out day has a few thousand."""

INDIA = timezone(timedelta(hours=5, minutes=30))
INDIA_SECONDS = 19_800
DAY_SECONDS = 86_400
_EPOCH_DAY = date(1970, 1, 1).toordinal()

_FORM = re.compile(
    r"(?P<year>\d{4})(?P<dash>-?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)[Tt ]"
    r"(?P<hour>\d\d)(?P<colon>:?)(?P<minute>\d\d)"
    r"(?:(?P=colon)(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?"
    r"(?P<utc>[Zz])?(?:(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)?",
    re.ASCII,
)


def day_of(wall: float) -> int:
    """The proleptic ordinal of the day at +05:30 of a time in seconds since the epoch."""
    return _EPOCH_DAY + int((wall + INDIA_SECONDS) // DAY_SECONDS)


def start_time_at(wall: float) -> str:
    """A time in seconds since the epoch in the form that is sent; 25 characters."""
    return datetime.fromtimestamp(int(wall // 1), INDIA).isoformat(timespec="seconds")


def moved(text: str) -> str:
    """A time in the form that is sent, moved by a second, but never over midnight."""
    moment = datetime.fromisoformat(text)
    later = moment + timedelta(seconds=1)
    if later.date() != moment.date():
        later = moment - timedelta(seconds=1)
    return later.isoformat(timespec="seconds")


@lru_cache(maxsize=TEXTS_CACHED)
def start_time(text: str, time_zone: str) -> tuple[str, int]:
    """A `start-time` in the form that is sent (25 characters), and its day's ordinal at +05:30.

    Args:
        text: as it stands in the event.
        time_zone: IANA name, for a text without an offset.

    Raises:
        ValueError: it is no time that is understood; the text does not quote it.
    """
    moment, _ = _read(text, time_zone)
    return moment.isoformat(timespec="seconds"), moment.toordinal()


def epoch_seconds(text: str, time_zone: str) -> float:
    """An `expires-at` in seconds since the epoch; its forms are those of a `start-time`.

    Raises:
        ValueError: as `start_time`.
    """
    moment, fraction = _read(text, time_zone)
    return moment.timestamp() + fraction


def _read(text: str, time_zone: str) -> tuple[datetime, float]:
    """The moment at +05:30 in whole seconds, and the fraction that was cut off it."""
    found = _FORM.fullmatch(text) if len(text) <= TEXT_CHARACTERS_MAX else None
    if found is None:
        raise ValueError("is no ISO 8601 date and time; write it like 2030-01-31T09:30:00+05:30")
    part = found.groupdict(default="0")
    year, month, day = int(part["year"]), int(part["month"]), int(part["day"])
    hour, minute, second = int(part["hour"]), int(part["minute"]), int(part["second"])
    zone = _zone(found, time_zone)
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=zone).astimezone(INDIA)
    except OverflowError as error:
        raise ValueError("lies outside the years 1 to 9999; correct the date") from error
    return moment, float(f"0.{part['fraction']}")


def _zone(found: re.Match[str], time_zone: str) -> timezone | ZoneInfo:
    if found["sign"] is None:
        return UTC if found["utc"] else ZoneInfo(time_zone)
    hours, minutes = int(found["hours"]), int(found["minutes"] or 0)
    if hours >= 24 or minutes >= 60:  # noqa: PLR2004 - hours of a day, minutes of an hour
        raise ValueError("has an offset that does not exist; write it like +05:30")
    offset = timedelta(hours=hours, minutes=minutes)
    zone = timezone(offset if found["sign"] == "+" else -offset)
    # The documents' own sample ends in Z+05:30, and means +05:30; what any other pair of the two
    # would mean is a guess, and a wrong guess is a call at the wrong hour.
    if found["utc"] and zone != INDIA:
        raise ValueError("has both Z and an offset; leave one of them out")
    return zone
