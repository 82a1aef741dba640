"""Where chaos takes place: brokers and a twin of its own, and replicas that reach both by proxies.

Knows nothing of faults, nor of the load.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import yaml

from service.demo.evidence import Outcomes, TwinPages
from service.demo.processes import Process, ProcessFailed
from service.demo.stage import Names, new_security_id
from tests.chaos.brokers import Brokers
from tests.chaos.faults import PROVIDER_SECONDS, SESSION_SECONDS
from tests.chaos.replica import Replica, ended

CALLS_PER_MINUTE = 9_000
"""Low, so that a backlog of some seconds fills a window."""
CALLS_MAX = 60
"""Small batches, so that many are under way when something breaks."""
SETTINGS: dict[str, dict[str, Any]] = {
    "batching": {"calls_max": CALLS_MAX, "linger_seconds": 0.2},
    # Many quick attempts: every fault heals, so no call may end unconfirmed.
    "retry": {"attempts_max": 50, "backoff_seconds": 0.2, "backoff_max_seconds": 2.0},
    "shutdown": {"drain_seconds": PROVIDER_SECONDS + 1},
    "http": {"port": 0},
}
TWIN_OPTIONS = ("--latency-ms", "20-900", "--limit", str(CALLS_PER_MINUTE))
"""Slow to answer, so that requests are under way whenever something breaks."""
STOP_SECONDS_MAX = 10.0


class Arena:
    """Everything runs while the context lasts; a broker may be killed and started meanwhile."""

    def __init__(self, replicas: int, brokers: int = 1, release: Path | None = None) -> None:
        self.names = Names(f"chaos-{secrets.token_hex(4)}")
        self.directory = Path()
        self.keep = False
        """Set it to leave `directory`, the brokers' data too, for whoever looks for a fault."""
        self.kafka: Brokers
        self.twin: TwinPages
        self.outcomes: Outcomes
        self.replicas: list[Replica] = []
        self._count, self.brokers = replicas, brokers
        self._release = release
        self.security_ids = (new_security_id(), new_security_id())
        """The provider knows both; replicas begin with the first."""
        self._exits = AsyncExitStack()

    @property
    def owner(self) -> Replica:
        """Who took the lane over last."""
        return max(self.replicas, key=lambda each: max((o.at for o in each.owned), default=""))

    async def __aenter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.names.prefix}-"))
        self._exits.callback(self._clear)
        try:
            await self._start()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exits.aclose()

    async def _start(self) -> None:
        for number in range(1, self._count + 1):
            replica = Replica(number, self.directory, self.security_ids[0], self.brokers)
            replica.release = self._release
            for link in (*replica.kafka, replica.provider):
                await link.start()
                self._exits.push_async_callback(link.stop)
            self.replicas.append(replica)
        self.kafka = Brokers(self.brokers, self.directory, self.replicas)
        self._exits.push_async_callback(self.kafka.stop)
        await self.kafka.start()
        await self._start_twin()
        await self._create_topics()
        await self.kafka.in_sync()
        topics = self.names.topics
        self.outcomes = Outcomes(self.kafka.bootstrap, topics["results"], topics["dead_letters"])
        await self.outcomes.start()
        self._exits.push_async_callback(self.outcomes.stop)
        for replica in self.replicas:
            self._exits.push_async_callback(_cancelled, asyncio.create_task(replica.run()))
            self._exits.push_async_callback(replica.retire)
        if not all([await replica.ready() for replica in self.replicas]):
            raise ProcessFailed(f"a replica did not become ready; its log is in {self.directory}")

    async def _start_twin(self) -> None:
        twin = await Process.start(
            "twin",
            ("twin", "--port", "0", *TWIN_OPTIONS),
            self.directory / "twin.log",
            {"TWIN_SECURITY_ID": " ".join(self.security_ids)},
        )
        self._exits.push_async_callback(twin.stop, STOP_SECONDS_MAX)
        url = await twin.said(r"twin ready on (\S+)\n")
        self.twin = await self._exits.enter_async_context(TwinPages(url))
        parts = urlsplit(url)
        for replica in self.replicas:
            replica.provider.upstream_port = parts.port or 0
            behind = parts._replace(netloc=f"127.0.0.1:{replica.provider.port}").geturl()
            replica.config.write_text(yaml.safe_dump(self._settings(replica, behind)))

    def _settings(self, replica: Replica, url: str) -> dict[str, Any]:
        return SETTINGS | {
            "kafka": {
                "bootstrap_servers": ",".join(f"127.0.0.1:{link.port}" for link in replica.kafka),
                "group_id": self.names.prefix,
                "topics": self.names.topics,
                "session_timeout_seconds": SESSION_SECONDS,
            },
            "provider": {
                "url": url,
                "calls_per_minute": CALLS_PER_MINUTE,
                "timeout_seconds": PROVIDER_SECONDS,
            },
        }

    async def _create_topics(self) -> None:
        create = await Process.start(
            "topics create",
            ("topics", "create", "--config", str(self.replicas[0].config)),
            self.directory / "topics.log",
            {"DISPATCHER_PROVIDER__SECURITY_ID": self.security_ids[0]},
        )
        if await ended(create):
            raise ProcessFailed(f"topics create: {create.last_words}")

    def _clear(self) -> None:
        if not self.keep:
            shutil.rmtree(self.directory, ignore_errors=True)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
