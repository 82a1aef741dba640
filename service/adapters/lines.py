"""Lines of a file or pipe, in chunks: full ones from a file, whatever came by now from a slow pipe.

Knows nothing of what a line holds.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque

READ_BYTES = 1024 * 1024
CHUNK_BYTES_MAX = 8 * 1024 * 1024
"""A chunk ends with the line that reaches it, so that long lines do not fill the memory."""
LINE_BYTES_MAX = 1024 * 1024
"""Of a longer line only the beginning is kept: no event is as long (`events.value_bytes_max`)."""


class LineReader:
    """Reads a file descriptor to its end. The caller opens and closes it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._held_bytes = 0
        self._ended = False
        self.bytes_read = 0

    async def chunk(self, lines_max: int, linger_seconds: float) -> list[bytes]:
        """The next lines, without their ends; empty at the end of the input only.

        Fewer than `lines_max` come at the end, at `CHUNK_BYTES_MAX`, or where the input has no
        more for `linger_seconds`.

        Raises:
            OSError: the input cannot be read.
        """
        until = asyncio.get_running_loop().time() + linger_seconds
        while (
            not self._ended
            and len(self._lines) < lines_max
            and self._held_bytes < CHUNK_BYTES_MAX
            and await self._readable(until if self._lines else None)
        ):
            self._feed(os.read(self._fd, READ_BYTES))
        taken = [self._lines.popleft() for _ in range(min(lines_max, len(self._lines)))]
        self._held_bytes -= sum(map(len, taken))
        return taken

    def _feed(self, data: bytes) -> None:
        self.bytes_read += len(data)
        self._ended = not data
        *whole, rest = (self._rest + data).split(b"\n")
        if self._ended and rest:
            whole, rest = [rest], b""
        self._rest = rest[:LINE_BYTES_MAX]
        cut = [line[:LINE_BYTES_MAX] for line in whole]
        self._lines.extend(cut)
        self._held_bytes += sum(map(len, cut))

    async def _readable(self, until: float | None) -> bool:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        try:
            loop.add_reader(self._fd, ready.set)
        except PermissionError:
            # epoll refuses regular files, which can always be read.
            return True
        try:
            async with asyncio.timeout_at(until):
                await ready.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self._fd)
        return True
