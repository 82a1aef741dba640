"""Masks secrets and phone numbers in whatever is about to be logged: the last line of defence.

Knows nothing of who logged it. It would rather mask a number too many; what operators need to
find things by (batch ids, UUIDs, hashes, times) is left whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "********"
NUMBER = "[number]"
SECRET_CHARACTERS_MIN = 6
"""A shorter secret is part of ordinary words; masking it would spoil every line."""

_NUMBER = re.compile(
    r"""
    (?P<kept>
        \b [0-9a-fA-F]{8} (?: - [0-9a-fA-F]{4} ){3} - [0-9a-fA-F]{12} \b  # a UUID
      | \b (?: [0-9a-f]{16} | [0-9a-f]{32} | [0-9a-f]{40} | [0-9a-f]{64} ) \b  # an id or a hash
      | \b [0-9]{4} - [0-9]{2} - [0-9]{2} (?: [T ] [0-9]{2} : [0-9]{2} )?  # a date or a time
      | \b 1[5-9] [0-9]{11} \b  # milliseconds since the epoch; no phone number is so
    )
  | (?<! \d ) (?<! \d\. ) \+? \d (?: [ ()-]{0,2} \d ){9,}
    """,
    re.VERBOSE,
)
"""Any script's digits count as such: full-width ones are a phone number just as well."""


class Redactor:
    """Masks the given secrets, and runs of ten digits or more, in text of any depth."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {secret for secret in secrets if len(secret) >= SECRET_CHARACTERS_MIN}
        # The longest first, so that a secret that holds another goes as a whole.
        longest_first = sorted(known, key=lambda secret: (-len(secret), secret))
        self._secrets = re.compile("|".join(map(re.escape, longest_first))) if known else None

    def text(self, text: str) -> str:
        """`text` with neither secret nor phone number."""
        if self._secrets is not None:
            text = self._secrets.sub(MASK, text)
        return _NUMBER.sub(lambda found: found["kept"] or NUMBER, text)

    def value(self, value: Any) -> Any:
        """The same for any value; numbers stay, and what is no JSON becomes text first."""
        match value:
            case None | bool() | int() | float():
                return value
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(name)): self.value(each) for name, each in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.value(each) for each in value]
            case _:
                return self.text(repr(value))
