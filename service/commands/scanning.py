"""What the commands that read whole topics share: progress, and times on the command line.

Knows no command.
"""

from __future__ import annotations

import re

from rich.progress import TextColumn, TimeRemainingColumn

from service.commands.progress import ProgressShown
from service.errors import ConfigurationError

_AGO = re.compile(r"(\d{1,6})\s?(s|m|h|d)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class ScanShown(ProgressShown):
    """Shows how far a scan has come."""

    def __init__(self) -> None:
        counts = TextColumn("{task.completed:,.0f} of {task.total:,.0f} offsets")
        super().__init__(counts, TimeRemainingColumn(), total=0)

    def __call__(self, what: str, done: int, total: int) -> None:
        """So many offsets of `what` are read."""
        self.update(what, f"{what}: {done:,} of {total:,} offsets", done, total)


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
