"""Progress on standard error: a bar on a terminal, now and then a line where there is none.

Knows nothing of what makes progress.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn

LINE_SECONDS = 5.0
"""Between two lines where there is no terminal."""


class ProgressShown:
    """Shows how far something has come while it is open."""

    def __init__(self, *columns: ProgressColumn, total: float | None = None) -> None:
        """`columns` stand behind the bar; without `total` the bar says only that it goes on."""
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *columns,
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=total)
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """A line of its own."""
        if self._console.is_terminal:
            self._console.print(line)
        else:
            click.echo(line, err=True)

    def update(self, name: str, line: str, completed: float, total: float | None = None) -> None:
        """So far it is; `name` stands before the bar, `line` is printed where there is none."""
        self._bar.update(self._task, description=name, completed=completed, total=total)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            click.echo(line, err=True)
