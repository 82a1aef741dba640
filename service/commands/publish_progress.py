"""How far `publish` has come, on standard error.

Knows nothing of events.
"""

from __future__ import annotations

import os
import stat

from rich.progress import TimeElapsedColumn

from service.commands.progress import ProgressShown


class PublishShown(ProgressShown):
    """Shows counts while it is open; `input_facts` tells whether the input has a known size."""

    def __init__(self, input_facts: os.stat_result) -> None:
        regular = stat.S_ISREG(input_facts.st_mode)
        super().__init__(TimeElapsedColumn(), total=input_facts.st_size if regular else None)
        self.advance(0, 0)

    def advance(self, published: int, bytes_read: int) -> None:
        """So many events are published, and so many bytes of the input read."""
        text = f"{published} events published"
        self.update(text, text, bytes_read)
