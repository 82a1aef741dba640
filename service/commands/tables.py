"""Tables for people: drawn on a terminal, plain columns on a pipe.

Knows nothing of what is in them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import click


@dataclass(frozen=True, slots=True)
class Section:
    """One table."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def show(sections: Sequence[Section]) -> None:
    """Tables on a terminal; on a pipe plain columns, never cut."""
    if sys.stdout.isatty():
        _show_tables(sections)
    else:
        click.echo("\n\n".join(_plain(section) for section in sections))


def _show_tables(sections: Sequence[Section]) -> None:
    from rich.console import Console  # noqa: PLC0415 - a pipe needs no tables
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()
    for section in sections:
        table = Table(title=section.title, title_justify="left")
        for name in section.header:
            # Only the last column is prose; an id or a time that is broken in two is of no use.
            table.add_column(name, no_wrap=name != section.header[-1], overflow="fold")
        for row in section.rows:
            # As text, since a reason's brackets are no markup.
            table.add_row(*(Text(_printable(cell)) for cell in row))
        console.print(table)


def _plain(section: Section) -> str:
    """Columns separated by two spaces or more, never cut, for pipes."""
    rows = [section.header, *(tuple(map(_printable, row)) for row in section.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([section.title, *lines])


def _printable(cell: str) -> str:
    """What came over the network must not steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in cell)
