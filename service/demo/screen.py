"""Shows the demo's progress on standard error: live on a terminal, a line now and then elsewhere.

Knows nothing of where the figures come from.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from service.demo.play import Progress

LINE_SECONDS = 5.0
BAR_CHARACTERS = 40


class Screen:
    """Open it for as long as there is progress."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = Live(console=self._console, transient=True, refresh_per_second=8)
        self._last_line = 0.0
        self._last_state = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(line, markup=False)

    def show(self, progress: Progress) -> None:
        """Draw it, or print it if the last line is some seconds old or the state is new."""
        if self._console.is_terminal:
            self._live.update(_drawn(progress))
            return
        now = time.monotonic()
        if now - self._last_line >= LINE_SECONDS or progress.state != self._last_state:
            self._last_line, self._last_state = now, progress.state
            self.say(_line(progress))


def _line(progress: Progress) -> str:
    return (
        f"{progress.state}: {progress.published} of {progress.events} published, "
        f"{progress.accepted} accepted, {progress.dead_letters} dead letters, "
        f"{progress.requests} requests, "
        f"{progress.calls_in_window} of {progress.limit} calls in the last minute"
    )


def _drawn(progress: Progress) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    rows = (
        ("published", progress.published, progress.events),
        ("accepted by the provider", progress.accepted, progress.events),
        ("events with an outcome", progress.outcomes, progress.events),
        ("calls in the last minute", progress.calls_in_window, progress.limit),
    )
    for name, value, total in rows:
        bar = ProgressBar(total=total, completed=min(value, total), width=BAR_CHARACTERS)
        grid.add_row(name, bar, f"{value:,} of {total:,}")
    grid.add_row("dead letters", "", f"{progress.dead_letters:,}")
    grid.add_row("requests", "", f"{progress.requests:,}")
    style = "bold red" if progress.outage else "bold"
    return Group(Text(progress.state, style=style), grid)
