"""Times of events, by table: each form of provider-api.md and what is refused."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.times import day_of, epoch_seconds, start_time, start_time_at

KOLKATA = "Asia/Kolkata"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("2030-01-31T09:30:00+05:30", "2030-01-31T09:30:00+05:30"),
        ("2030-01-31T09:30:00", "2030-01-31T09:30:00+05:30"),
        ("2030-01-31T09:30", "2030-01-31T09:30:00+05:30"),
        ("2030-01-31 09:30:00", "2030-01-31T09:30:00+05:30"),
        ("20300131T093000+0530", "2030-01-31T09:30:00+05:30"),
        ("2030-01-31T09:30:00Z", "2030-01-31T15:00:00+05:30"),
        ("2030-01-31t09:30:00z", "2030-01-31T15:00:00+05:30"),
        ("2030-01-31T09:30:00Z+05:30", "2030-01-31T09:30:00+05:30"),
        ("2030-01-31T09:30:00Z+0530", "2030-01-31T09:30:00+05:30"),
        ("2030-01-31T09:30:00.999999+05:30", "2030-01-31T09:30:00+05:30"),
        ("2030-01-31T09:30:00,5Z", "2030-01-31T15:00:00+05:30"),
        ("2030-01-31T20:00:00-05:00", "2030-02-01T06:30:00+05:30"),
        ("2030-01-31T20:00:00-05", "2030-02-01T06:30:00+05:30"),
        ("2030-01-31T18:30:00-00:00", "2030-02-01T00:00:00+05:30"),
        ("2032-02-29T00:00:00+14:00", "2032-02-28T15:30:00+05:30"),
    ],
)
def test_every_form_is_sent_at_the_indian_offset(text: str, sent: str) -> None:
    """A call would start hours early or late, or on the wrong day."""
    assert start_time(text, KOLKATA) == (sent, date.fromisoformat(sent[:10]).toordinal())


def test_a_time_without_offset_is_in_the_configured_zone() -> None:
    """`provider.time_zone` would change nothing."""
    assert start_time("2030-01-31T09:30:00", "Asia/Singapore")[0] == "2030-01-31T07:00:00+05:30"
    assert start_time("2030-07-01T12:00:00", "Europe/London")[0] == "2030-07-01T16:30:00+05:30"
    assert start_time("2030-01-01T12:00:00", "Europe/London")[0] == "2030-01-01T17:30:00+05:30"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2030-01-31",
        "09:30:00",
        "2030-02-30T09:30:00",
        "2030-13-01T09:30:00",
        "2030-01-31T24:00:00",
        "2030-01-31T09:60:00",
        "2030-01-31T09:30:60Z",
        "2030-01-31T09:30:00+24:00",
        "2030-01-31T09:30:00+05:60",
        "2030-01-31T09:30:00Z+02:00",
        "2030-01-31T09:30:00 +05:30",
        "2030-01-31T09:30:00+05:30\n",
        "2030-0131T09:30:00",
        "30-01-31T09:30:00",
        "31/01/2030 09:30",
        "1900000000",
        "0000-01-01T00:00:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "\u0662\u0660\u0663\u0660-01-31T09:30:00",
        "2030-01-31T09:30:00." + "9" * 100_000,
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """A misread time would be a call at an hour nobody chose."""
    with pytest.raises(ValueError, match=r".") as refused:
        start_time(text, KOLKATA)
    assert len(str(refused.value)) < 200
    with pytest.raises(ValueError, match=r"."):
        epoch_seconds(text, KOLKATA)


def test_an_expiry_keeps_its_fraction() -> None:
    """A call would be sent up to a second after upstream forbade it, or refused before."""
    assert epoch_seconds("1970-01-01T05:30:01.25", KOLKATA) == 1.25
    assert epoch_seconds("1970-01-01T00:00:00Z", KOLKATA) == 0.0


@given(st.integers(0, 200 * 10**9), st.integers(-14 * 60, 14 * 60))
def test_conversion_keeps_the_moment(second: int, offset_minutes: int) -> None:
    """Some offset or some date would be converted wrongly."""
    moment = datetime.fromtimestamp(second, timezone(timedelta(minutes=offset_minutes)))
    sent, day = start_time(moment.isoformat(), KOLKATA)
    assert datetime.fromisoformat(sent) == moment
    assert len(sent) == 25
    assert sent.endswith("+05:30")
    assert day == day_of(moment.timestamp())
    assert epoch_seconds(moment.isoformat(), KOLKATA) == moment.timestamp()
    assert start_time_at(moment.timestamp()) == sent


@given(st.floats(0, 4e9))
def test_the_day_turns_at_midnight_in_india(wall: float) -> None:
    """Calls would expire, or be sent, on the wrong side of midnight."""
    moment = datetime.fromtimestamp(wall, UTC) + timedelta(hours=5, minutes=30)
    assert abs(day_of(wall) - moment.toordinal()) <= (moment.microsecond in {0, 999999})
    assert date.fromisoformat(start_time_at(wall)[:10]).toordinal() == day_of(wall)


@given(st.text())
def test_any_text_is_a_time_or_refused(text: str) -> None:
    """One strange event would stop the lane."""
    with contextlib.suppress(ValueError):
        assert len(start_time(text, KOLKATA)[0]) == 25
