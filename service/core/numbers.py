"""Contact numbers: what is understood as one, and the one form in which each is sent.

Knows nothing of events or configuration files. Every rule is from provider-api.md, contact numbers;
above all a masked, cut or mistyped number must be refused, never mended into a stranger's.
"""

from __future__ import annotations

import re
from typing import Literal

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat

NumberFormat = Literal["digits", "e164"]
NumberCheck = Literal["valid", "possible"]
ForeignNumbers = Literal["send", "refuse"]

NATIONAL_DIGITS = 10
INDIA_PREFIXES: dict[NumberFormat, str] = {"digits": "91", "e164": "+91"}
CHARACTERS_MAX = 40
"""Of a number as it came, separators included; the longest real ones have half of that."""
INTEGER_MAX = 10**15
"""More digits than any number has; also keeps `str` from converting thousands of digits."""

indian_mobile = re.compile(r"(?:\+91|91|0|0091)?([6-9][0-9]{9})").fullmatch
"""The strict fast path: 60 times as quick as a parse, and takes ASCII digits only. Group 1 is the
national number."""
# No dot: "987654321.0" is a float that became a string on its way, and would read as ten digits.
_WRITTEN = re.compile(r"[+(0-9 ][-+() 0-9]*").fullmatch
_COMPACT = re.compile(r"\+?[0-9]{1,20}").fullmatch
_NATIONAL = re.compile(r"(?:\+91|91|0)?([1-9][0-9]{9})").fullmatch
_SEPARATORS = str.maketrans("", "", " -()")


def mobile_digits(text: str) -> str | None:
    """The ten digits of an Indian mobile, however its country is written; None of all else."""
    # Most come as these ten digits alone, and are seen so in half of the time.
    if len(text) == NATIONAL_DIGITS and text.isascii() and text.isdigit() and text[0] > "5":
        return text
    mobile = indian_mobile(text)
    return None if mobile is None else mobile[1]


def canonical(
    number: str | int,
    number_format: NumberFormat,
    check: NumberCheck | None,
    foreign: ForeignNumbers = "send",
) -> str:
    """The number as it is sent: `91XXXXXXXXXX` or `+91XXXXXXXXXX`, others `+…`.

    Args:
        number: as it stands in the event.
        number_format: of Indian numbers.
        check: how strictly what is no Indian mobile is checked; None: not at all, for an event
            that was accepted before.
        foreign: whether numbers of other countries are refused.

    Raises:
        ValueError: it is no number that may be called; the text does not quote it.
    """
    text = _text(number)
    digits = mobile_digits(text)
    if digits is not None:
        return INDIA_PREFIXES[number_format] + digits
    compact = _compact(text)
    if _is_foreign(compact):
        return _foreign(compact, check, foreign)
    return INDIA_PREFIXES[number_format] + _indian(compact, check)


def _text(number: str | int) -> str:
    if isinstance(number, str):
        return number
    if not 0 < number < INTEGER_MAX:
        raise ValueError("is an integer that no phone number can be; write it with its country")
    return str(number)


def _compact(text: str) -> str:
    """Without separators, and with `+` in the place of `00`."""
    if any(character.isalpha() for character in text[:CHARACTERS_MAX]):
        raise ValueError(
            "holds letters; send the whole number in digits, without mask, name or extension"
        )
    compact = text.translate(_SEPARATORS) if len(text) <= CHARACTERS_MAX else ""
    if _WRITTEN(text) is None or _COMPACT(compact) is None:
        raise ValueError(
            "is not one phone number; write an Indian one in ten digits, others with + and code"
        )
    return f"+{compact[2:]}" if compact.startswith("00") else compact


def _is_foreign(compact: str) -> bool:
    return compact[0] == "+" and not compact.startswith("+91")


def _indian(compact: str, check: NumberCheck | None) -> str:
    """The ten digits of an Indian number."""
    found = _NATIONAL(compact)
    if found is None:
        raise ValueError(
            "has not the ten digits of an Indian number; complete it, or write the number of "
            "another country with + and its code"
        )
    national = found[1]
    if check is not None and not indian_mobile(national):
        parsed = _parse(f"+91{national}")
        if parsed.national_number != int(national) or not _passes(parsed, check):
            raise ValueError("is no valid Indian number; correct it")
    return national


def _foreign(compact: str, check: NumberCheck | None, foreign: ForeignNumbers) -> str:
    if foreign == "refuse":
        raise ValueError(
            "is a number of another country, which the configuration refuses "
            "(provider.foreign_numbers)"
        )
    parsed = _parse(compact)
    if check is not None and not _passes(parsed, check):
        raise ValueError("is no valid number of its country; correct it")
    return str(phonenumbers.format_number(parsed, PhoneNumberFormat.E164))


def _parse(compact: str) -> PhoneNumber:
    try:
        return phonenumbers.parse(compact, None)
    except NumberParseException as error:
        raise ValueError("is no phone number; check its country code and digits") from error


def _passes(parsed: PhoneNumber, check: NumberCheck) -> bool:
    if check == "valid":
        return bool(phonenumbers.is_valid_number(parsed))
    return bool(phonenumbers.is_possible_number(parsed))
