"""docs/dependencies.md: what its table and its list must say, from pyproject.toml and the lock.

Knows nothing of what was rejected: the table's last column is people's. As a program it writes the
other cells anew, after `make lock` and `make setup`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tests.supply.licences import licence
from tests.supply.lock import DEV, ROOT, RUNTIME, asked, locked

PAGE = ROOT / "docs/dependencies.md"
COLUMNS = ("dependency", "for", "version", "licence", "why", "instead of")
_BLOCK = "(<!-- {} -->\n).*?(<!-- end -->)"


def rows() -> Sequence[tuple[str, ...]]:
    """The table's cells but the last column, as they must be."""
    versions = locked(DEV)
    return [
        (one.name, one.group, versions[one.name].version, licence(one.name), one.why)
        for one in asked()
    ]


def instead_of() -> Mapping[str, str]:
    """The page's last column, by dependency."""
    lines = (line.strip("| ").split(" | ") for line in _block("direct").splitlines()[2:])
    return {cells[0]: cells[-1] for cells in lines if len(cells) == len(COLUMNS)}


def expected() -> str:
    """The whole page, with the words of people that it has now."""
    kept = instead_of()
    table = [COLUMNS, ("---",) * len(COLUMNS), *((*row, kept.get(row[0], "")) for row in rows())]
    text = _put(PAGE.read_text(), "direct", "".join(f"| {' | '.join(row)} |\n" for row in table))
    return _put(text, "transitive", "".join(f"- {line}\n" for line in _transitive()))


def _transitive() -> Sequence[str]:
    """What the direct dependencies of the program bring along, by licence."""
    direct = {one.name for one in asked()}
    brought: dict[str, list[str]] = {}
    for one in locked(RUNTIME).values():
        if one.name not in direct:
            brought.setdefault(licence(one.name), []).append(f"{one.name} {one.version}")
    return [f"{name}: {', '.join(packages)}" for name, packages in sorted(brought.items())]


def _block(name: str) -> str:
    match = re.search(_BLOCK.format(name), PAGE.read_text(), re.DOTALL)
    assert match is not None
    return match[0]


def _put(text: str, name: str, block: str) -> str:
    return re.sub(
        _BLOCK.format(name), lambda match: match[1] + block + match[2], text, flags=re.DOTALL
    )


if __name__ == "__main__":
    PAGE.write_text(expected())
