"""What is wrong with a configuration, in lines for the person who wrote it.

Knows nothing of how a source is read, and never shows a secret or the value of an unknown key.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import PurePath
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from service.errors import ConfigurationError
from service.settings.root import Settings
from service.settings.section import Section

Path = tuple[str | int, ...]
"""Where a value stands: section, field, then keys and indexes."""

SHOWN_CHARACTERS_MAX = 60
_SECRET_LIKE = re.compile(r"[A-Za-z0-9+/_=-]{32,}")
_TEXTS = {
    "model_type": "is a section: write its fields below it",
    "dict_type": "is a section: write its fields below it",
    "tuple_type": "must be a list",
    "path_type": "must be the path of a file",
    "path_not_file": "names no file",
}
"""Where pydantic speaks of Python."""
_UNSHOWN_FIELDS = frozenset({"url", "username", "dummy_number"})
"""May hold a password in the wrong place, or a phone number."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right."""

    path: Path
    place: str
    message: str

    def __str__(self) -> str:
        """The line that is printed."""
        name = dotted(self.path)
        where = f" ({self.place})" if self.place else ""
        return f"{name}{where}: {self.message}" if name else f"{self.place}: {self.message}"


class InvalidConfiguration(ConfigurationError):
    """The configuration has these problems; the text is one line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def dotted(path: Path) -> str:
    """`kafka.topics.requests`, `flows.AbCd1234.calling_hours[1]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def section_at(path: Path) -> type[Section] | None:
    """The section at this path, where there is one; each flow is one too."""
    current: Any = Settings
    for part in path:
        if isinstance(current, type) and issubclass(current, Section):
            field = current.model_fields.get(str(part))
            current = field.annotation if field else None
        elif typing.get_origin(current) is dict:
            current = typing.get_args(current)[1]
        else:
            return None
    return current if isinstance(current, type) and issubclass(current, Section) else None


def unknown_key(path: Path) -> str:
    """What to say of a key that no field has: the nearest that exists."""
    section = section_at(path[:-1])
    if section is None:
        return f"unknown key: {dotted(path[:-1])} holds a value, not a section"
    known = list(section.model_fields)
    nearest = get_close_matches(str(path[-1]).lower(), known, n=1, cutoff=0.0)
    return f"unknown key; the nearest known one is {dotted((*path[:-1], nearest[0]))}"


def problems_of(error: ValidationError, places: Mapping[Path, str]) -> Iterator[Problem]:
    """Each of pydantic's errors as a line, with the place its value came from."""
    for details in error.errors(include_url=False):
        path = tuple(details["loc"])
        if details["type"] == "rules":
            for field, message in details.get("ctx", {})["faults"]:
                below = (*path, *field.split("."))
                yield Problem(below, _place(below, places), message)
        else:
            path = tuple(part for part in path if part != "[key]")
            yield Problem(path, _place(path, places), _message(path, details))


def _message(path: Path, details: ErrorDetails) -> str:
    kind, text, value = details["type"], details["msg"], details["input"]
    if kind == "extra_forbidden":
        return unknown_key(path)
    if kind == "missing":
        variable = "DISPATCHER_" + "__".join(str(part).upper() for part in path)
        return f"is required: write it in the file, or set {variable}"
    if kind == "string_pattern_mismatch" and section_at(path):
        return "a flow id is 8 ASCII letters or digits"
    if kind == "value_error":
        text, value = str(details["ctx"]["error"]), value or ""
    if kind == "too_short":
        text = f"is too short: {details['ctx']['min_length']} or more are needed"
    return _TEXTS.get(kind, text) + _instead_of(path, value)


def _instead_of(path: Path, value: object) -> str:
    if value is None:
        return " (not null)"
    text = str(value) if isinstance(value, str | int | float | PurePath) else ""
    if not text or is_secret(path):
        return ""
    if _SECRET_LIKE.search(text) or not text.isprintable():
        return ""
    cut = text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "…"
    return f" (not {cut!r})"


def is_secret(path: Path) -> bool:
    """Whether the value at `path` must never be shown; unknown fields count as secret."""
    names = [part for part in path if isinstance(part, str)]
    if not names or names[-1] in _UNSHOWN_FIELDS:
        return True
    section = section_at(tuple(names[:-1]))
    field = section.model_fields.get(names[-1]) if section else None
    return field is None or _holds_secret(field.annotation)


def _holds_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_holds_secret, typing.get_args(annotation)))


def _place(path: Path, places: Mapping[Path, str]) -> str:
    """Where the value stands, else the nearest thing above it."""
    for length in range(len(path), -1, -1):
        if path[:length] in places:
            return places[path[:length]]
    return ""
