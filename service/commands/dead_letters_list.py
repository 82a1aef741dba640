"""How `dead-letters list` prints: tables with the newest rows, or all rows as they come.

Knows nothing of where dead letters are read. What is printed as it comes needs no memory.
"""

from __future__ import annotations

import csv
import heapq
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import click
import msgspec

from service.commands.tables import Section, show
from service.core.letter_filter import Counts
from service.core.letters import Letter
from service.letters.listing import Row

RowOf = Callable[[Letter, Any], Row]

KINDS_SHOWN = 40
"""Lines of counts in a table; JSON has all."""
HEADER = tuple(name.replace("_", "-") for name in Row.__struct_fields__)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would take a cell that begins so for a formula."""


class Printer(ABC):
    """Takes dead letters one by one, and at last their counts."""

    def __init__(self, rows_max: int | None, row_of: RowOf) -> None:
        self._rows_max = rows_max
        self._row_of = row_of
        self._newest: list[tuple[int, int, Letter, Any]] = []
        self._number = 0

    def add(self, letter: Letter, record: Any) -> None:
        """One more."""
        if self._rows_max is None:
            self.print_row(self._row_of(letter, record))
            return
        self._number += 1
        entry = (letter.written_ms, self._number, letter, record)
        if len(self._newest) < self._rows_max:
            heapq.heappush(self._newest, entry)
        elif self._rows_max:
            heapq.heappushpop(self._newest, entry)

    def end(self, counts: Counts, unreadable: int) -> None:
        """That was all."""
        for _, _, letter, record in sorted(self._newest, reverse=True):
            self.print_row(self._row_of(letter, record))
        self.print_counts(counts)
        if unreadable:
            click.echo(
                f"caution: {unreadable} records are no dead letters of a dispatcher", err=True
            )

    @abstractmethod
    def print_row(self, row: Row) -> None:
        """One row."""

    @abstractmethod
    def print_counts(self, counts: Counts) -> None:
        """The counts, after all rows."""


class Tables(Printer):
    """For people; the rows stand below the counts."""

    def __init__(self, rows_max: int | None, row_of: RowOf) -> None:
        super().__init__(rows_max, row_of)
        self._rows: list[tuple[str, ...]] = []

    def print_row(self, row: Row) -> None:
        """Kept: there are few."""
        self._rows.append(_cells(row))

    def print_counts(self, counts: Counts) -> None:
        """All tables."""
        if not counts.total:
            click.echo("no dead letters")
            return
        kinds = list(counts.kinds())
        rows = [(f"{k.count:,}", k.reason, k.code, k.flow_id, k.hour) for k in kinds[:KINDS_SHOWN]]
        if len(kinds) > KINDS_SHOWN:
            rest = sum(kind.count for kind in kinds[KINDS_SHOWN:])
            rows.append((f"{rest:,}", f"{len(kinds) - KINDS_SHOWN} kinds more", "", "", ""))
        totals = [(reason, f"{count:,}") for reason, count in counts.by_reason.most_common()]
        sections = [
            Section(f"{counts.total:,} dead letters", ("reason", "count"), totals),
            Section("by kind", ("count", "reason", "code", "flow", "hour (UTC)"), rows),
        ]
        if self._rows:
            sections.append(Section("the newest", HEADER, self._rows))
        show(sections)


class Json(Printer):
    """One document: rows first, for their counts are known only at the end."""

    def __init__(self, rows_max: int | None, row_of: RowOf) -> None:
        super().__init__(rows_max, row_of)
        self._before = '{"rows": [\n'

    def print_row(self, row: Row) -> None:
        """As it comes."""
        sys.stdout.write(self._before + msgspec.json.encode(row).decode())
        self._before = ",\n"

    def print_counts(self, counts: Counts) -> None:
        """Closes the document."""
        if self._before != ",\n":
            sys.stdout.write(self._before)
        whole = {"total": counts.total, "counts": list(counts.kinds())}
        click.echo("\n], " + msgspec.json.encode(whole).decode()[1:])


class Csv(Printer):
    """Rows alone."""

    def __init__(self, rows_max: int | None, row_of: RowOf) -> None:
        super().__init__(rows_max, row_of)
        self._writer = csv.writer(sys.stdout)
        self._writer.writerow(HEADER)

    def print_row(self, row: Row) -> None:
        """As it comes."""
        self._writer.writerow(
            f"'{cell}" if cell.startswith(FORMULA) else cell for cell in _cells(row)
        )

    def print_counts(self, counts: Counts) -> None:
        """Left out: a table of rows is what is asked for."""


def _cells(row: Row) -> tuple[str, ...]:
    identifier = row.client_identifier
    if not isinstance(identifier, str):
        identifier = "" if identifier is None else msgspec.json.encode(identifier).decode()
    return tuple(
        identifier if name == "client_identifier" else str(getattr(row, name))
        for name in Row.__struct_fields__
    )


def printer(output: str, rows_max: int | None, row_of: RowOf) -> Printer:
    """The one for `--output`."""
    kinds: dict[str, type[Printer]] = {"table": Tables, "json": Json, "csv": Csv}
    return kinds[output](rows_max, row_of)
