"""Reads `DISPATCHER_<SECTION>__<FIELD>` variables into the same tree as the file's.

Knows nothing of the file. pydantic-settings' own source lower-cases names, flow ids too, and
passes over names that it does not know; this one does neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from service.settings.problems import (
    InvalidConfiguration,
    Path,
    Problem,
    section_at,
    unknown_key,
)
from service.settings.root import Settings
from service.settings.yaml_file import Tree

PREFIX = "DISPATCHER_"
RESERVED = frozenset({"DISPATCHER_CONFIG", "DISPATCHER_DEBUG"})
"""The file's path, and whether a traceback is shown."""


def read_environment(environ: Mapping[str, str]) -> Tree:
    """The values of all variables with the prefix.

    Raises:
        InvalidConfiguration: a variable names no field.
    """
    tree, problems = Tree(), []
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in RESERVED:
            continue
        path = _path(variable.removeprefix(PREFIX).split("__"))
        fault = _fault(variable, path)
        if fault:
            problems.append(Problem(path, variable, fault))
        else:
            _put(tree, path, _value(path, environ[variable]))
            tree.places[path] = variable
    if problems:
        raise InvalidConfiguration(problems)
    return tree


def _path(parts: list[str]) -> Path:
    """Names in lower case, but for a flow id."""
    return tuple(
        part if index == 1 and parts[0] == "FLOWS" else part.lower()
        for index, part in enumerate(parts)
    )


def _name(path: Path) -> str:
    """The one spelling of a path's variable."""
    parts = [str(part).upper() for part in path]
    if path[0] == "flows":
        parts[1] = str(path[1])
    return PREFIX + "__".join(parts)


def _fault(variable: str, path: Path) -> str:
    """What is wrong with a variable's name, or nothing."""
    if path == ("flows",) or section_at(path):
        return f"is a section: set {variable}__<FIELD>"
    above = section_at(path[:-1])
    if above and path[-1] in above.model_fields:
        name = _name(path)
        return "" if variable == name else f"unknown variable; the nearest known one is {name}"
    reserved = get_close_matches(variable, RESERVED, n=1, cutoff=0.85)
    if reserved:
        return f"unknown variable; the nearest known one is {reserved[0]}"
    if path[0] in Settings.model_fields:
        return unknown_key(path)
    # Kubernetes adds such variables to every container beside a Service called `dispatcher`.
    return f"{unknown_key(path[:1])} (if Kubernetes set it: enableServiceLinks: false)"


def _value(path: Path, text: str) -> str | None:
    """Empty or `null` is null where the field may be null."""
    section = section_at(path[:-1])
    nullable = section is not None and section.model_fields[str(path[-1])].default is None
    return None if nullable and text in {"", "null"} else text


def _put(tree: Tree, path: Path, value: str | None) -> None:
    values: dict[str, Any] = tree.values
    for part in path[:-1]:
        values = values.setdefault(str(part), {})
    values[str(path[-1])] = value
