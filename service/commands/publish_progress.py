"""How far `publish` has come, on standard error: a bar on a terminal, now and then a line else.

Knows nothing of events.
"""

from __future__ import annotations

import os
import stat
import time
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

LINE_SECONDS = 5.0
"""Between two lines where there is no terminal."""


class ProgressShown:
    """Shows counts while it is open; `input_facts` tells whether the input has a known size."""

    def __init__(self, input_facts: os.stat_result) -> None:
        regular = stat.S_ISREG(input_facts.st_mode)
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(
            "0 events published", total=input_facts.st_size if regular else None
        )
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

    def advance(self, published: int, bytes_read: int) -> None:
        """So many events are published, and so many bytes of the input read."""
        text = f"{published} events published"
        self._bar.update(self._task, description=text, completed=bytes_read)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            click.echo(text, err=True)
