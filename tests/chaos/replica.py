"""One dispatcher replica: a process that is kept running, as an orchestrator would keep it.

Knows nothing of what the other replicas do, nor why it is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from service.demo.processes import Process
from tests.chaos.proxy import Link

POLL_SECONDS = 0.05
RESTART_SECONDS = 1.0
"""Before a process that ended by itself is started again."""
STOP_SECONDS_MAX = 25.0
"""From SIGTERM to SIGKILL, as an orchestrator's grace period."""
READY_SECONDS_MAX = 60.0
"""How long a rolling restart waits for one replica before it goes on with the next."""
PAGE_SECONDS_MAX = 2.0


@dataclass(frozen=True, slots=True)
class Owned:
    """One line of a replica's log: it has taken a lane over."""

    at: str
    """RFC 3339, as in the log."""
    recovered_batches: int


class Replica:
    """A replica behind links of its own; each of its lives logs to a file of its own."""

    def __init__(self, number: int, directory: Path, security_id: str, brokers: int) -> None:
        self.number = number
        self.kafka = [Link() for _ in range(brokers)]
        """One to each broker."""
        self.provider = Link()
        self.config = directory / f"replica-{number}.yaml"
        self.surprises: list[str] = []
        """Ends that nobody asked for."""
        self._directory = directory
        self.environment = {"DISPATCHER_PROVIDER__SECURITY_ID": security_id}
        """Of its next lives."""
        self.release: Path | None = None
        """The folder of another release's `service` for its next lives; None: this one."""
        self._lives: list[Process] = []
        self._asked: Process | None = None
        """The last life that was asked or made to end."""
        self._may_run = asyncio.Event()
        self._may_run.set()
        self._ending = asyncio.Lock()

    async def run(self) -> None:
        """Keep it running until cancelled."""
        while True:
            await self._may_run.wait()
            async with self._ending:
                if not self._may_run.is_set():
                    continue
                process = await self._start()
            await ended(process)
            if process is not self._asked:
                self._ended_by_itself(process)
                await asyncio.sleep(RESTART_SECONDS)

    async def _start(self) -> Process:
        name = f"replica-{self.number}"
        log_file = self._directory / f"{name}.{len(self._lives) + 1}.log"
        arguments = ("run", "--config", str(self.config))
        environment, options = self.environment, list[str]()
        if self.release is not None:
            # -P keeps the folder it is started in, this release's, off the path.
            environment, options = {**environment, "PYTHONPATH": str(self.release)}, ["-P"]
        process = await Process.start(name, arguments, log_file, environment, options)
        self._lives.append(process)
        return process

    def _ended_by_itself(self, process: Process) -> None:
        # Without a broker `run` does not even start; the orchestrator tries again.
        if _lines(process, "started"):
            self.surprises.append(
                f"replica {self.number} ended by itself with {process.exit_code}: "
                f"{process.last_words}"
            )

    async def kill(self, seconds: float) -> None:
        """End it at once; start it again after `seconds`."""
        async with self._ending:
            self._may_run.clear()
            self._asked = self._lives[-1] if self._lives else None
            self._signal(signal.SIGKILL)
            await asyncio.sleep(seconds)
            self._may_run.set()

    async def terminate(self, seconds: float) -> None:
        """Ask it to drain and end; start it again `seconds` after its end."""
        async with self._ending:
            await self._ask_to_end()
            await asyncio.sleep(seconds)
            self._may_run.set()

    async def retire(self) -> None:
        """Let it drain and end, for good."""
        async with self._ending:
            await self._ask_to_end()

    async def _ask_to_end(self) -> None:
        self._may_run.clear()
        if self._lives:
            self._asked = self._lives[-1]
            await self._asked.stop(STOP_SECONDS_MAX)

    async def freeze(self, seconds: float) -> None:
        """Stop it where it is, and let it go on after `seconds`."""
        stopped = self._lives[-1:]
        self._signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            if stopped and stopped[0].exit_code is None:
                os.kill(stopped[0].pid, signal.SIGCONT)

    async def ready(self) -> bool:
        """Whether its newest life says so within `READY_SECONDS_MAX`."""
        until = time.monotonic() + READY_SECONDS_MAX
        while await self._page("readyz") is None:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    async def status(self) -> str:
        """Its page for people who look for a fault; why there is none otherwise."""
        return await self._page("status") or "no answer"

    async def _page(self, name: str) -> str | None:
        """A page of its newest life; None if there is none, or it says no."""
        started = _lines(self._lives[-1], "started") if self._lives else []
        if not started:
            return None
        timeout = aiohttp.ClientTimeout(total=PAGE_SECONDS_MAX)
        with suppress(aiohttp.ClientError, TimeoutError):
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"{started[-1]['http']}/{name}") as answer,
            ):
                return await answer.text() if answer.ok else None
        return None

    @property
    def tracebacks(self) -> list[str]:
        """Logs of its lives that hold one: an error that nobody foresaw."""
        return [
            f"a traceback is in {life.log_file}"
            for life in self._lives
            if "Traceback" in life.log_file.read_text(errors="replace")
        ]

    @property
    def owned(self) -> list[Owned]:
        """Every takeover of its lives so far."""
        return [
            Owned(line["timestamp"], line["recovered_batches"])
            for life in self._lives
            for line in _lines(life, "lane_owned")
        ]

    @property
    def alive(self) -> bool:
        """Whether a process runs, be it frozen."""
        return bool(self._lives) and self._lives[-1].exit_code is None

    def _signal(self, number: signal.Signals) -> None:
        if self.alive:
            os.kill(self._lives[-1].pid, number)


async def ended(process: Process) -> int:
    """Wait for its end; returns its exit code, negative for a signal."""
    while True:
        if process.exit_code is not None:
            return process.exit_code
        await asyncio.sleep(POLL_SECONDS)


def _lines(process: Process, event: str) -> list[dict[str, Any]]:
    """The log's lines of one event name."""
    with process.log_file.open(encoding="utf-8", errors="replace") as log:
        return [json.loads(line) for line in log if f'"event": "{event}"' in line and "}" in line]
