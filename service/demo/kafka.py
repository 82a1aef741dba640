"""A single-node Apache Kafka on this machine: the demo's broker, and that of the tests.

Knows nothing of topics or of clients: readiness is read from the broker's own log.
"""

from __future__ import annotations

import asyncio
import base64
import ctypes
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from service.demo.kafka_jars import FILES, ensure_jars, find_java
from service.demo.ports import free_ports
from service.errors import BrokerUnavailable

__all__ = ["LocalKafka", "ensure_jars"]

START_SECONDS_MAX = 90.0
"""From the first process to a ready broker; 6 s is usual, a busy machine takes a multiple."""
STOP_SECONDS_MAX = 15.0
"""From SIGTERM to SIGKILL; an orderly end takes 1 s or 2."""
CLUSTER_ID = base64.urlsafe_b64encode(b"call-dispatcher!").decode().rstrip("=")
READY_LINE = b"Kafka Server started"
JAVA_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC")
FORMAT_OPTIONS = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_PR_SET_PDEATHSIG = 1


class LocalKafka:
    """One broker with its data in `data_dir`, on free ports of 127.0.0.1 that it keeps for life.

    It is a process group of its own, so that Ctrl-C on a terminal does not reach it, and on Linux
    it ends with the process (its main thread) that started it unless `outlives_parent`.
    Clients connect to `bootstrap` with `client_protocol` (PLAINTEXT, SSL, SASL_PLAINTEXT,
    SASL_SSL); what that needs, and any other server property, comes in `properties`.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        client_protocol: str = "PLAINTEXT",
        properties: Mapping[str, str] | None = None,
        outlives_parent: bool = False,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.log_file = self.data_dir / "kafka.log"
        self._client_protocol = client_protocol
        self._properties = dict(properties or {})
        self._preexec = None if outlives_parent else end_with_parent()
        self._ports = free_ports(3)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """The address for clients; the same after a restart."""
        return f"127.0.0.1:{self._ports[0]}"

    @property
    def pid(self) -> int | None:
        """The broker's process while it runs, also while it is stopped by a signal."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    async def start(self) -> None:
        """Start, or start again with the same data and ports; return once clients are served.

        Raises:
            ConfigurationError: Java or Maven is missing; the text says what to install.
            BrokerUnavailable: the broker ended, or was not ready in time.
        """
        assert self.pid is None, "start() on a running broker"
        java = find_java()
        classpath = f"{ensure_jars()}/*"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        config = self.data_dir / "server.properties"
        config.write_text("".join(f"{name}={value}\n" for name, value in self._settings().items()))
        log_from = self.log_file.stat().st_size if self.log_file.exists() else 0
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                if not (self._logs_dir / "meta.properties").exists():
                    await self._format(java, classpath, config)
                log4j = f"-Dlog4j2.configurationFile={(FILES / 'log4j2.properties').as_uri()}"
                self._process = self._spawn(
                    [java, *JAVA_OPTIONS, log4j, "-cp", classpath, "kafka.Kafka", str(config)]
                )
                await self._ready(self._process, log_from)
        except BaseException:
            self.kill()
            raise

    async def stop(self) -> None:
        """End it in order, by force after `STOP_SECONDS_MAX`; nothing if it does not run."""
        if self._process is None or self.pid is None:
            return
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, as a power cut would; nothing if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def restart(self) -> None:
        """Stop in order and start with the same data and ports."""
        await self.stop()
        await self.start()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def _logs_dir(self) -> Path:
        return self.data_dir / "logs"

    def _settings(self) -> dict[str, str]:
        client, internal, controller = (f"127.0.0.1:{port}" for port in self._ports)
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"CLIENT://{client},INTERNAL://{internal},CONTROLLER://{controller}",
            "advertised.listeners": f"CLIENT://{client},INTERNAL://{internal}",
            "listener.security.protocol.map": (
                f"CLIENT:{self._client_protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"
            ),
            "inter.broker.listener.name": "INTERNAL",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self._logs_dir),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "3",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "3",
            "group.initial.rebalance.delay.ms": "0",
            # A killed broker's registration keeps it out for this long after it is back.
            "broker.session.timeout.ms": "4000",
            "broker.heartbeat.interval.ms": "500",
            "group.min.session.timeout.ms": "1000",
            **self._properties,
        }

    async def _format(self, java: str, classpath: str, config: Path) -> None:
        command = [java, *FORMAT_OPTIONS, "-cp", classpath, "kafka.tools.StorageTool"]
        format_process = self._spawn([*command, "format", "-t", CLUSTER_ID, "-c", str(config)])
        try:
            code = await asyncio.to_thread(format_process.wait)
        finally:
            format_process.kill()
            format_process.wait()
        if code != 0:
            raise BrokerUnavailable(
                f"the local Kafka could not format its data: {self._last_words}"
            )

    async def _ready(self, process: subprocess.Popen[bytes], log_from: int) -> None:
        with self.log_file.open("rb") as log:
            log.seek(log_from)
            said = b""
            while READY_LINE not in said:
                if process.poll() is not None:
                    raise BrokerUnavailable(f"the local Kafka ended: {self._last_words}")
                await asyncio.sleep(0.05)
                said += log.read()

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log_file.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 -- Java from PATH, arguments are ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=self._preexec,  # noqa: PLW1509 -- one system call, prepared before the fork
            )

    @property
    def _last_words(self) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines()
        return f"{lines[-1] if lines else 'it said nothing'} (all of it: {self.log_file})"


def end_with_parent() -> Callable[[], object] | None:
    """What a child calls before its program starts, so that it is killed when its parent ends.

    The parent is the thread that starts the child. None where the system has no such call.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
