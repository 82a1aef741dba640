"""What the commands that read whole topics share: progress, and times on the command line.

Knows no command.
"""

from __future__ import annotations

import re
import time
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from service.errors import ConfigurationError

LINE_SECONDS = 5.0
"""Between two lines where there is no terminal."""

_AGO = re.compile(r"(\d{1,6})\s?(s|m|h|d)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class ScanShown:
    """Shows how far a scan has come, on standard error: a bar on a terminal, else some lines."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} offsets"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=0)
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

    def __call__(self, what: str, done: int, total: int) -> None:
        """So many offsets of `what` are read."""
        self._bar.update(self._task, description=what, completed=done, total=total)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            click.echo(f"{what}: {done:,} of {total:,} offsets", err=True)


def moment_ms(option: str, text: str | None, time_zone: str, now_ms: int) -> int | None:
    """A time such as 2030-01-31T09:30:00+05:30, or how long ago, such as 90m or 2h.

    Raises:
        ConfigurationError: it is neither.
    """
    from service.core.times import epoch_seconds  # noqa: PLC0415 - quick --help

    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return max(0, now_ms - int(ago[1]) * _SECONDS[ago[2]] * 1000)
    try:
        return max(0, int(epoch_seconds(text, time_zone) * 1000))
    except ValueError as error:
        raise ConfigurationError(f"{option}: {error}, or how long ago, like 90m or 2h") from error
