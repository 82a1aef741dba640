"""Bytes made new by moving a start-time, for a checksum that passes over white space."""

from __future__ import annotations

import json

import pytest
from msgspec import UNSET, Raw, UnsetType

from service.core.codec import SHIFT_BYTES, lay_out, shifted, start_time_in
from service.core.times import moved


@pytest.mark.parametrize("start", [UNSET, "2030-01-31T09:30:00+05:30"])
def test_only_the_start_time_of_the_element_changes(start: str | UnsetType) -> None:
    """A re-mint that changed anything else would call somebody else, or say something else."""
    identifier = b'{"a":",\\"start-time\\":"}'
    fragment = lay_out(Raw(identifier), start, ["919876543210"], [])
    assert start_time_in(fragment, identifier) == (None if start is UNSET else start)
    new = shifted(fragment, identifier, "2030-01-31T09:30:01+05:30")
    expected = json.loads(fragment) | {"start-time": "2030-01-31T09:30:01+05:30"}
    assert json.loads(new) == expected
    assert start_time_in(new, identifier) == "2030-01-31T09:30:01+05:30"
    assert len(new) - len(fragment) <= SHIFT_BYTES


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("2030-01-31T09:30:00+05:30", "2030-01-31T09:30:01+05:30"),
        ("2030-01-31T23:59:59+05:30", "2030-01-31T23:59:58+05:30"),
    ],
)
def test_a_moved_time_stays_on_its_day(before: str, after: str) -> None:
    """An earlier day is forbidden, a later one is not what upstream asked for."""
    assert moved(before) == after
