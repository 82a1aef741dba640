"""Calling hours: which spans of the week a rule opens."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from service.core.hours import DAY_MINUTES, WEEK_MINUTES, opens_at, parse_calling_hours

NINE, TWENTY_ONE = 9 * 60, 21 * 60


def test_a_rule_without_days_holds_every_day() -> None:
    """A shop that is open daily must not be called on weekdays only."""
    expected = tuple((day * DAY_MINUTES + NINE, day * DAY_MINUTES + TWENTY_ONE) for day in range(7))
    assert parse_calling_hours(["09:00-21:00"]) == expected


def test_days_have_their_own_hours() -> None:
    """Saturday's short hours must not apply on Monday."""
    spans = parse_calling_hours(["mon-tue 09:00-21:00", "Sat 10:00-14:00"])
    saturday = 5 * DAY_MINUTES
    assert spans == (
        (NINE, TWENTY_ONE),
        (DAY_MINUTES + NINE, DAY_MINUTES + TWENTY_ONE),
        (saturday + 600, saturday + 840),
    )


def test_hours_over_midnight_run_into_the_next_day() -> None:
    """A night line is open after midnight too, on Sunday into the week's begin."""
    assert parse_calling_hours(["sun 22:00-02:00"]) == (
        (0, 120),
        (6 * DAY_MINUTES + 22 * 60, WEEK_MINUTES),
    )


def test_days_may_wrap_round_the_week() -> None:
    """fri-mon is Friday to Monday, four days."""
    starts = [first // DAY_MINUTES for first, _ in parse_calling_hours(["fri-mon 09:00-10:00"])]
    assert starts == [0, 4, 5, 6]


def test_overlapping_rules_are_joined() -> None:
    """Two rules that touch are one span: no call waits between them."""
    assert parse_calling_hours(["mon 09:00-12:00", "mon 12:00-13:00", "mon 10:00-11:00"]) == (
        (NINE, 13 * 60),
    )
    assert parse_calling_hours(["00:00-24:00"]) == ((0, WEEK_MINUTES),)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("9-21", "must be like"),
        ("", "must be like"),
        ("09:00-21:00 mon", "must be like"),
        ("32400-75600", "must be like"),
        ("09:60-21:00", "09:60 is no time"),
        ("09:00-24:01", "24:01 is no time"),
        ("09:00-09:00", "must not be empty"),
        ("24:00-06:00", "must not be empty"),
        ("mun 09:00-21:00", "mun is no day"),
        ("mon-abc 09:00-21:00", "abc is no day"),
        ("mon ٠٩:00-21:00", "must be like"),
    ],
)
def test_what_cannot_be_read_is_refused(rule: str, message: str) -> None:
    """A misread rule would call people at night."""
    with pytest.raises(ValueError, match=message):
        parse_calling_hours([rule])


@pytest.mark.parametrize(
    ("rules", "now", "opening"),
    [
        (["09:00-21:00"], "2026-11-23T09:00:00", "2026-11-23T09:00:00"),
        (["09:00-21:00"], "2026-11-23T20:59:59", "2026-11-23T20:59:59"),
        (["09:00-21:00"], "2026-11-23T21:00:00", "2026-11-24T09:00:00"),
        (["09:00-21:00"], "2026-11-23T03:00:30", "2026-11-23T09:00:00"),
        (["22:00-06:00"], "2026-11-23T02:00:00", "2026-11-23T02:00:00"),
        (["22:00-06:00"], "2026-11-23T06:00:00", "2026-11-23T22:00:00"),
        (["mon-fri 09:00-21:00", "sat 10:00-14:00"], "2026-11-28T14:00:00", "2026-11-30T09:00:00"),
        (["sun 22:00-06:00"], "2026-11-23T05:00:00", "2026-11-23T05:00:00"),
        (["sun 22:00-06:00"], "2026-11-23T06:00:00", "2026-11-29T22:00:00"),
        (["00:00-24:00"], "2026-11-23T23:59:59", "2026-11-23T23:59:59"),
    ],
)
def test_when_a_flow_may_be_called_again(rules: list[str], now: str, opening: str) -> None:
    """A call outside its hours wakes a customer; one held too long is never made."""
    zone = ZoneInfo("Asia/Kolkata")
    wall = datetime.fromisoformat(now).replace(tzinfo=zone).timestamp()
    expected = datetime.fromisoformat(opening).replace(tzinfo=zone).timestamp()
    assert opens_at(parse_calling_hours(rules), zone, wall) == expected


@pytest.mark.parametrize(
    ("now", "opening"),
    [
        ("2026-03-28T23:00:00+01:00", "2026-03-29T09:00:00+02:00"),
        ("2026-10-24T23:00:00+02:00", "2026-10-25T09:00:00+01:00"),
    ],
)
def test_a_day_has_not_always_24_hours(now: str, opening: str) -> None:
    """Where clocks change, nine o'clock is still nine o'clock."""
    wall = datetime.fromisoformat(now).timestamp()
    spans = parse_calling_hours(["09:00-21:00"])
    assert opens_at(spans, ZoneInfo("Europe/Berlin"), wall) == (
        datetime.fromisoformat(opening).timestamp()
    )
