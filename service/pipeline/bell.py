"""A wake-up call that is not lost if nobody waits for it yet.

Knows nothing of why it rings.
"""

from __future__ import annotations

import asyncio
import contextlib


class Bell:
    """One waiter, any number of ringers."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake the waiter, or the next one to wait."""
        self._event.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Return when it rings, or after `seconds`."""
        if seconds is None:
            await self._event.wait()
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._event.wait()
        self._event.clear()

    async def wait_next(self, seconds: float) -> None:
        """The same, but what rang before is forgotten."""
        self._event.clear()
        await self.wait(seconds)
