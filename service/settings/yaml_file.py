"""Reads a YAML file as a tree of text, and where each value stands in it.

Knows nothing of what the configuration may hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml

from service.settings.problems import InvalidConfiguration, Path, Problem

FILE_BYTES_MAX = 4 * 2**20
"""Room for some ten thousand flows; more is the wrong file."""
DEPTH_MAX = 6
"""The deepest field, an entry of a flow's list, is at 4. Ends aliases that hold themselves."""


@dataclass(slots=True)
class Tree:
    """Nested values as they were written, and `file:line` or a variable's name for each path."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Path, str] = field(default_factory=dict)


def read_yaml(file: FilePath) -> Tree:
    """The file's values; every scalar is text, but for a plain null.

    Raises:
        InvalidConfiguration: it cannot be read, is no YAML, or names a key twice.
    """
    reading = _Reading(file)
    root = _compose(file)
    tree = Tree(places={(): str(file)})
    if root is None or _is_null(root):
        return tree
    if not isinstance(root, yaml.MappingNode):
        raise InvalidConfiguration([Problem((), str(file), "must be a mapping of sections")])
    tree.values = reading.value(root, ())
    tree.places.update(reading.places)
    if reading.problems:
        raise InvalidConfiguration(reading.problems)
    return tree


def _compose(file: FilePath) -> yaml.Node | None:
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise _unreadable(file, f"has more than {FILE_BYTES_MAX} bytes: is it the right file?")
        node: yaml.Node | None = yaml.compose(content.decode("utf-8"), yaml.SafeLoader)
    except OSError as error:
        raise _unreadable(file, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _unreadable(file, f"is not UTF-8 at byte {error.start}") from error
    except yaml.MarkedYAMLError as error:
        # The mark's snippet is left out: it may show a secret.
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise _unreadable(file, f"is not YAML: {error.problem}", line) from error
    except yaml.YAMLError as error:
        raise _unreadable(file, "is not YAML: it holds a character that YAML forbids") from error
    except RecursionError as error:
        raise _unreadable(file, "is nested too deep") from error
    return node


def _unreadable(file: FilePath, message: str, line: str = "") -> InvalidConfiguration:
    return InvalidConfiguration([Problem((), f"{file}{line}", message)])


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


class _Reading:
    """One pass over the nodes, which keeps places and problems."""

    def __init__(self, file: FilePath) -> None:
        self.places: dict[Path, str] = {}
        self.problems: list[Problem] = []
        self._file = file

    def value(self, node: yaml.Node, path: Path) -> Any:
        """The node as dict, list, text or None."""
        self.places[path] = f"{self._file}:{node.start_mark.line + 1}"
        if len(path) > DEPTH_MAX:
            self._refuse(path, "is nested too deep")
            return None
        if not str(node.tag).startswith("tag:yaml.org,2002:"):
            self._refuse(path, f"the tag {node.tag} is not supported: write the value itself")
            return None
        if isinstance(node, yaml.MappingNode):
            return dict(self._items(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(each, (*path, index)) for index, each in enumerate(node.value)]
        return None if _is_null(node) else node.value

    def _items(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.places[path] = f"{self._file}:{line}"
                self._refuse(path, "a key must be a plain word")
                continue
            below = (*path, key.value)
            held = self.value(value, below)
            self.places[below] = f"{self._file}:{line}"
            if key.value in seen:
                self._refuse(below, f"is given twice, first in line {seen[key.value]}: keep one")
            seen.setdefault(key.value, line)
            yield key.value, held

    def _refuse(self, path: Path, message: str) -> None:
        self.problems.append(Problem(path, self.places[path], message))
