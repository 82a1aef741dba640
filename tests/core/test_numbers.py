"""Contact numbers, by table: each row of provider-api.md and each trap of phone parsing."""

from __future__ import annotations

import contextlib
import re

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.numbers import NumberCheck, NumberFormat, canonical

INDIAN = "919876543210"
FULL_WIDTH = "".join(chr(0xFF10 + int(digit)) for digit in "9876543210")
DEVANAGARI = "".join(chr(0x0966 + int(digit)) for digit in "9876543210")
NATIONAL = st.from_regex(r"[6-9][0-9]{9}", fullmatch=True)


@pytest.mark.parametrize(
    "number",
    [
        "9876543210",
        "09876543210",
        "919876543210",
        "+919876543210",
        "00919876543210",
        "+91 98765-43210",
        "+91 (98765) 43210",
        "00 91 98765 43210",
        " 9876543210 ",
        9876543210,
        919876543210,
    ],
)
def test_spellings_of_one_indian_number(number: str | int) -> None:
    """A customer would be called under two numbers, or not at all."""
    assert canonical(number, "digits", "valid") == INDIAN
    assert canonical(number, "e164", "valid") == f"+{INDIAN}"


@pytest.mark.parametrize(
    ("number", "sent"),
    [
        ("2223456789", "912223456789"),
        ("(022) 2345 6789", "912223456789"),
        ("+912223456789", "912223456789"),
        ("9123456789", "919123456789"),
        ("6581234567", "916581234567"),
        (6581234567, "916581234567"),
    ],
)
def test_ten_digits_are_indian(number: str | int, sent: str) -> None:
    """A landline, or a number that looks like another country's, would be misread."""
    assert canonical(number, "digits", "valid") == sent


@pytest.mark.parametrize("number_format", ["digits", "e164"])
@pytest.mark.parametrize(
    ("number", "sent"),
    [
        ("+6581234567", "+6581234567"),
        ("006581234567", "+6581234567"),
        ("+1 415-555-2671", "+14155552671"),
        ("+44 (0)20 7946 0958", "+442079460958"),
        ("+39 02 3661 8300", "+390236618300"),
    ],
)
def test_another_country_keeps_its_plus(
    number: str, sent: str, number_format: NumberFormat
) -> None:
    """Without its + the provider would call an Indian stranger."""
    assert canonical(number, number_format, "valid") == sent


@pytest.mark.parametrize("check", ["valid", "possible"])
@pytest.mark.parametrize(
    "number",
    [
        pytest.param("918000XXXXXX", id="masked: parses as a valid vanity number"),
        pytest.param("98765XXXXX", id="masked"),
        pytest.param("98765*****", id="masked with stars"),
        pytest.param("14155552671", id="no plus: turns into a possible Indian one"),
        pytest.param(14155552671, id="integer without plus"),
        pytest.param("9876543210;ext=12", id="extension, dropped silently by the parser"),
        pytest.param("9876543210x12", id="extension in letters"),
        pytest.param("9876543210#12", id="extension after a hash"),
        pytest.param("tel:+919876543210", id="a URI"),
        pytest.param(FULL_WIDTH, id="full-width"),
        pytest.param(DEVANAGARI, id="Devanagari"),
        pytest.param("\uff0b919876543210", id="full-width plus"),
        pytest.param("987654321.0", id="a float that became a string would have ten digits"),
        pytest.param("9.87654321e9", id="a float in exponents"),
        pytest.param("987654321", id="nine digits"),
        pytest.param("98765432101", id="eleven digits"),
        pytest.param("91987654321", id="91 and nine digits"),
        pytest.param("+91987654321", id="+91 and nine digits"),
        pytest.param("+9109876543210", id="code and trunk zero"),
        pytest.param("0123456789", id="zero and nine digits"),
        pytest.param("0091987654321", id="00 is +"),
        pytest.param("000919876543210", id="three zeros"),
        pytest.param("9876543210,9876543211", id="two numbers"),
        pytest.param("9876543210/9876543211", id="two numbers by slash"),
        pytest.param("9876543210 9876543211", id="two numbers by blank"),
        pytest.param("9876543210\n", id="line break"),
        pytest.param("9876\t543210", id="tab"),
        pytest.param("++919876543210", id="two plusses"),
        pytest.param("9+876543210", id="plus inside"),
        pytest.param("-9876543210", id="negative in a string"),
        pytest.param(-9876543210, id="negative"),
        pytest.param(0, id="zero"),
        pytest.param(10**5000, id="more digits than str() converts"),
        pytest.param("9" * 100_000, id="endless"),
        pytest.param("", id="empty"),
        pytest.param("+", id="plus alone"),
        pytest.param("00", id="00 alone"),
        pytest.param(" ", id="blank"),
        pytest.param("+999123456789", id="no such country"),
    ],
)
def test_what_is_no_number_is_refused(number: str | int, check: NumberCheck) -> None:
    """A masked, cut or mistyped number would ring at a stranger's."""
    with pytest.raises(ValueError, match=r"^(is|has|holds) ") as refused:
        canonical(number, "digits", check)
    assert len(str(refused.value)) < 200
    assert not re.search(r"\d{4}", str(refused.value)), "none of its digits are quoted"


@pytest.mark.parametrize(
    ("number", "sent"),
    [("+914001234567", "914001234567"), ("+870123456789", "+870123456789")],
)
def test_possible_is_looser_than_valid(number: str, sent: str) -> None:
    """The configured `number_check` would change nothing."""
    with pytest.raises(ValueError, match="no valid"):
        canonical(number, "digits", "valid")
    assert canonical(number, "digits", "possible") == sent
    assert canonical(number, "digits", None) == sent


def test_other_countries_may_be_refused() -> None:
    """An account that pays per country would call abroad all the same."""
    with pytest.raises(ValueError, match="foreign_numbers"):
        canonical("+6581234567", "digits", "valid", "refuse")
    assert canonical("+919876543210", "digits", "valid", "refuse") == INDIAN


@given(NATIONAL, st.sampled_from(["", "0", "91", "+91", "0091"]))
def test_the_fast_path_agrees_with_the_library(national: str, prefix: str) -> None:
    """The short cut would send another number than a parse of the same digits."""
    parsed = phonenumbers.parse(f"+91{national}", None)
    slow = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    assert canonical(prefix + national, "e164", "valid") == slow


@given(st.text(st.sampled_from("0123456789+-() .;xX,/\u0967\uff11"), max_size=24))
def test_whatever_is_sent_came_from_its_digits(text: str) -> None:
    """A number would be mended: digits added, dropped or moved."""
    try:
        sent = canonical(text, "e164", "possible")
    except ValueError:
        return
    digits = "".join(filter(str.isdigit, text)).lstrip("0")
    assert sent.isascii()
    assert sent[0] == "+"
    if sent.startswith("+91"):
        assert digits in {sent[1:], sent[3:]}
    assert canonical(sent, "e164", "possible") == sent


@given(st.one_of(st.text(), st.integers()))
def test_any_text_or_integer_is_sent_or_refused(number: str | int) -> None:
    """One strange event would stop the lane."""
    with contextlib.suppress(ValueError):
        assert canonical(number, "digits", "valid").lstrip("+").isdigit()
