"""The arena's brokers: one, or a cluster in which each record has three copies; any may be killed.

Knows nothing of faults, nor of who connects: each replica has a listener of its own, behind a
proxy, and one more is direct.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from service.adapters.kafka.admin import admin_client
from service.adapters.kafka.connection import answered
from service.demo.kafka import LocalKafka
from service.demo.ports import free_ports
from service.demo.processes import ProcessFailed
from service.errors import BrokerUnavailable
from tests.chaos.replica import Replica

IN_SYNC_SECONDS_MAX = 90.0
"""For a broker that comes back to catch up with the others."""
POLL_SECONDS = 0.2
COPIES_MIN = 2
"""Of a record, before it is acknowledged."""


class Brokers:
    """Brokers 1 to `count`, each of them a controller too."""

    def __init__(self, count: int, directory: Path, replicas: Sequence[Replica]) -> None:
        ports = free_ports(count * (3 + len(replicas)))
        self._direct, self._internal, self._controllers = (
            ports[at * count : (at + 1) * count] for at in range(3)
        )
        for at, replica in enumerate(replicas, 3):
            for link, port in zip(replica.kafka, ports[at * count :], strict=False):
                link.upstream_port = port
        self._nodes = [
            LocalKafka(directory / f"kafka-{index + 1}", properties=self._settings(index, replicas))
            for index in range(count)
        ]

    @property
    def bootstrap(self) -> str:
        """The addresses without a proxy."""
        return ",".join(f"127.0.0.1:{port}" for port in self._direct)

    async def start(self) -> None:
        """Start all of them: one alone would wait for the others' votes."""
        await asyncio.gather(*(node.start() for node in self._nodes))

    async def stop(self) -> None:
        """End all of them in order."""
        await asyncio.gather(*(node.stop() for node in self._nodes))

    async def kill(self, number: int, seconds: float) -> None:
        """End one at once; it comes back after `seconds`, and has caught up when this returns."""
        node = self._nodes[number - 1]
        node.kill()
        await asyncio.sleep(seconds)
        await node.start()
        await self.in_sync()

    async def in_sync(self) -> None:
        """Wait until each partition has all its copies, as many as there are brokers.

        Raises:
            ProcessFailed: some copy does not catch up.
        """
        behind: list[str] = []
        try:
            async with asyncio.timeout(IN_SYNC_SECONDS_MAX):
                while True:
                    try:
                        behind = await self._behind()
                    except BrokerUnavailable as error:
                        behind = [str(error)]
                    if not behind:
                        return
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise ProcessFailed(f"copies do not catch up: {', '.join(behind)}") from None

    async def _behind(self) -> list[str]:
        async with (
            admin_client({"bootstrap_servers": self.bootstrap}) as admin,
            answered("asking for the copies"),
        ):
            topics = await admin.describe_topics()
        return [
            f"{topic['topic']}-{partition['partition']}"
            for topic in topics
            for partition in topic["partitions"]
            if len(partition["isr"]) < len(self._nodes)
        ]

    def _settings(self, index: int, replicas: Sequence[Replica]) -> dict[str, str]:
        listens = {
            "DIRECT": self._direct[index],
            "INTERNAL": self._internal[index],
            **{f"REPLICA{each.number}": each.kafka[index].upstream_port for each in replicas},
        }
        advertised = listens | {
            f"REPLICA{each.number}": each.kafka[index].port for each in replicas
        }
        controller = self._controllers[index]
        count = len(self._controllers)
        return {
            "node.id": str(index + 1),
            "controller.quorum.voters": ",".join(
                f"{number}@127.0.0.1:{port}" for number, port in enumerate(self._controllers, 1)
            ),
            "listeners": _addresses({**listens, "CONTROLLER": controller}),
            "advertised.listeners": _addresses(advertised),
            "listener.security.protocol.map": ",".join(
                f"{name}:PLAINTEXT" for name in (*listens, "CONTROLLER")
            ),
            "default.replication.factor": str(count),
            "min.insync.replicas": str(min(COPIES_MIN, count)),
            "offsets.topic.replication.factor": str(count),
            "transaction.state.log.replication.factor": str(count),
            "transaction.state.log.min.isr": str(min(COPIES_MIN, count)),
        }


def _addresses(ports: dict[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
