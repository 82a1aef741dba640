"""Ports of 127.0.0.1 that nobody listens on.

Knows nothing of who will.
"""

from __future__ import annotations

import secrets
import socket

PORTS = range(12_000, 32_000)
"""Below the ports that systems give to outgoing connections, so that none of those takes the port
of a server while it restarts."""


def free_ports(count: int) -> list[int]:
    """So many different ones."""
    ports: list[int] = []
    while len(ports) < count:
        port = secrets.choice(PORTS)
        if port not in ports and _is_free(port):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
