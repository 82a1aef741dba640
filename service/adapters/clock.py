"""The machine's clocks behind the `Clock` port.

Knows nothing of who asks.
"""

from __future__ import annotations

import time


class SystemClock:
    """`Clock` on the real thing."""

    def boot(self) -> float:
        """See `Clock.boot`."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """See `Clock.wall`."""
        return time.time()
