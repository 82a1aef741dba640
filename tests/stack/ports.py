"""Where the stack listens on 127.0.0.1.

Knows nothing of what listens.
"""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import astuple, dataclass

from service.demo.ports import free_ports
from service.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Ports:
    """The usual ones, so that a written-down session can be followed word for word."""

    twin: int = 8090
    dispatchers: tuple[int, int] = (8081, 8082)
    redis: int = 6390
    prometheus: int = 9090
    alertmanager: int = 9093

    @property
    def all(self) -> tuple[int, ...]:
        """Each of them."""
        twin, dispatchers, *rest = astuple(self)
        return (twin, *dispatchers, *rest)

    def check(self) -> None:
        """Raise ConfigurationError if somebody listens on one."""
        for port in self.all:
            with closing(socket.socket()) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as error:
                    raise ConfigurationError(
                        f"port {port} is in use; stop what listens there, or give --free-ports"
                    ) from error


def other_ports() -> Ports:
    """Ports that nobody listens on, for a second stack beside another."""
    twin, first, second, *rest = free_ports(6)
    return Ports(twin, (first, second), *rest)
