"""What the log masks, and what it must leave whole."""

from __future__ import annotations

import pytest

from service.adapters.logs import Redactor
from tests.contracts.seen import SECURITY_ID

BATCH = "0123456789abcdef"


@pytest.mark.parametrize(
    "text",
    [
        "919876543210",
        "+919876543210",
        "9876543210",
        "0091 98765 43210",
        "+91-98765-43210",
        "(+91) 98765 43210",
        "tel:919876543210;ext",
        '["919876543210"]',
        "called919876543210",
        "+6581234567",
        "9876543210abc",
        "９１９８７６５４３２１０",  # noqa: RUF001 - full-width digits are a number all the same
        "९१९८७६५४३२१०",
    ],
)
def test_whatever_looks_like_a_phone_number_is_masked(text: str) -> None:
    """However it is written, it reaches somebody."""
    masked = Redactor().text(text)
    assert "[number]" in masked
    assert sum(character.isdecimal() for character in masked) < 6


@pytest.mark.parametrize(
    "text",
    [
        BATCH,
        "1234567890123456",
        "batch 0000001234567890 is open",
        "c0ffee00-1234-4234-8234-123456789012",
        "12345678-1234-1234-1234-123456789012",
        "1234567890" * 6 + "1234",
        "d41d8cd98f00b204e9800998ecf8427e",
        "2026-11-22T23:40:12.123456Z",
        "2026-11-22 23:40:12",
        "1795390812345",
        "192.168.100.200:9092",
        "calls.requests-0",
        "took 0.12345678901 s",
        "position 123456789 of 999999999",
        "AbCd1234",
    ],
)
def test_what_operators_search_by_is_left_whole(text: str) -> None:
    """A log without ids and times cannot be joined with the topics, nor with the provider."""
    assert Redactor([SECURITY_ID]).text(text) == text


def test_numbers_stay_numbers_and_the_rest_becomes_clean_text() -> None:
    """An offset above 10^10 is no phone number, and an object's text may hold a secret."""
    redactor = Redactor([SECURITY_ID, "tiny"])
    value = {
        "offset": 12_345_678_901,
        "none": None,
        "share": 0.5,
        "on": True,
        "bytes": b"919876543210",
        SECURITY_ID: ({"9876543210"},),
        "word": "tiny",
    }
    assert redactor.value(value) == {
        "offset": 12_345_678_901,
        "none": None,
        "share": 0.5,
        "on": True,
        "bytes": "b'[number]'",
        "********": [["[number]"]],
        "word": "tiny",
    }
