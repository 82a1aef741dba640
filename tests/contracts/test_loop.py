"""The loop of `run` on real sockets: what it leans on inside asyncio is still there."""

from __future__ import annotations

import asyncio
import socket

from service.adapters.loop import RECEIVE_BYTES, Loop


class Sizes(asyncio.Protocol):
    """Notes how much each read brought."""

    def __init__(self) -> None:
        self.all: list[int] = []
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.all.append(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.ended.set_result(exc)


async def read_all(sock: socket.socket) -> list[int]:
    """The sizes of reads until the other side closes."""
    transport, sizes = await asyncio.get_running_loop().create_connection(Sizes, sock=sock)
    await sizes.ended
    transport.close()
    return sizes.all


def test_a_read_takes_no_more_than_its_bound() -> None:
    """With asyncio's own buffer each small answer costs twice as much: nobody would notice."""
    ours, others = socket.socketpair()
    ours.settimeout(0)
    others.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * RECEIVE_BYTES)
    sent = 3 * RECEIVE_BYTES
    others.sendall(b"x" * sent)
    others.close()
    with asyncio.Runner(loop_factory=Loop) as runner:
        sizes = runner.run(read_all(ours))
    assert (sum(sizes), max(sizes)) == (sent, RECEIVE_BYTES)
