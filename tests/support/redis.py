"""A real Redis of one test: started, killed, emptied, cut off.

Knows nothing of what is kept there. The server is Debian's `redis-server`, on a free port, without
persistence unless a test asks for it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.demo.ports import free_ports

START_SECONDS_MAX = 10.0


class RedisServer:
    """One server on one port, through all its lives."""

    def __init__(self, directory: Path, port: int) -> None:
        self.port = port
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """For `provider.redis_url`."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Start it, with the data that it saved last if it did; it answers."""
        self._process = await asyncio.create_subprocess_exec(
            *("redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
            *("--dir", str(self._directory), "--logfile", "redis.log"),
            cwd=self._directory,
            start_new_session=True,
        )
        async with asyncio.timeout(START_SECONDS_MAX), self.client() as client:
            while True:
                try:
                    await client.execute_command("PING")  # type: ignore[no-untyped-call]
                except RedisError:
                    await asyncio.sleep(0.02)
                else:
                    return

    def client(self) -> Redis:
        """A client of the test's own."""
        return Redis.from_url(self.url)

    async def flush(self) -> None:
        """FLUSHALL."""
        async with self.client() as client:
            await client.execute_command("FLUSHALL")  # type: ignore[no-untyped-call]

    async def save(self) -> None:
        """Write what it holds to disk: the next start has it."""
        async with self.client() as client:
            await client.execute_command("SAVE")  # type: ignore[no-untyped-call]

    def signal(self, number: int) -> None:
        """Send a signal, such as SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        """Kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()


@asynccontextmanager
async def redis_server() -> AsyncIterator[RedisServer]:
    """A server that answers; gone when the context ends."""
    with TemporaryDirectory(prefix="redis-for-tests-") as directory:
        server = RedisServer(Path(directory), *free_ports(1))
        await server.start()
        try:
            yield server
        finally:
            await server.kill()
