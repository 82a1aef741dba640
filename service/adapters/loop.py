"""The event loop of `run`: asyncio's own, but for how much it asks a socket for at once.

Knows nothing of who reads. asyncio takes a buffer of 256 kB from the system for each read, and
gives it back: for an answer of 200 bytes that costs twice as much as the read itself. A large fetch
from Kafka comes in more pieces now, which costs little (docs/decisions/022).
"""

from __future__ import annotations

import asyncio
from typing import Any

RECEIVE_BYTES = 64 * 1024
"""Of one read: below what the allocator takes from the system, and returns, each time."""


class Loop(asyncio.SelectorEventLoop):
    """asyncio's loop on Linux, with smaller reads."""

    def _make_socket_transport(self, *args: Any, **more: Any) -> Any:
        # asyncio has no option for it. TLS is not made here: it reads into a buffer that it keeps.
        transport = super()._make_socket_transport(*args, **more)  # type: ignore[misc]  # not in its types
        transport.max_size = RECEIVE_BYTES
        return transport
