"""Reads what is asked for (pyproject.toml) and what that became (requirements/*.txt).

Knows nothing of licences, nor of what is installed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "requirements"
RUNTIME, DEV = FOLDER / "runtime.txt", FOLDER / "dev.txt"

_LOCKED = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>\S+) \\\n(?P<rest>(?:    .*\n)+)", re.MULTILINE
)
_SHA256 = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NAME = re.compile(r"[\w.-]+")
_WHY = re.compile(r'^    "(?P<asked>[^"]+)",\s+# (?P<why>.+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Locked:
    """One package of a lock file."""

    name: str
    version: str
    sha256s: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """One line of pyproject.toml: a dependency, and the comment that says what for."""

    name: str
    group: str
    why: str


def locked(path: Path) -> Mapping[str, Locked]:
    """The packages of a lock file, by their canonical names."""
    return {
        match["name"]: Locked(
            match["name"], match["version"], tuple(_SHA256.findall(match["rest"]))
        )
        for match in _LOCKED.finditer(path.read_text())
    }


def asked() -> tuple[Asked, ...]:
    """The direct dependencies in the order of pyproject.toml, `run` or the extra as their group.

    Raises:
        LookupError: one has no comment beside it.
    """
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    why = {line["asked"]: line["why"] for line in _WHY.finditer(text)}
    groups = {"run": project["dependencies"], **project["optional-dependencies"]}
    return tuple(
        Asked(canonical(_NAME.match(line)[0]), group, why[line])  # type: ignore[index]
        for group, lines in groups.items()
        for line in lines
    )


def canonical(name: str) -> str:
    """A package's name as lock files write it."""
    return re.sub(r"[-_.]+", "-", name).lower()
