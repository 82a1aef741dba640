"""Sets the stage: Kafka, the provider's twin and the dispatcher, as an operator would start them.

Knows nothing of events or of what is measured; the demo and the bench both play on it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import string
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml

from service.adapters.kafka.admin import admin_client
from service.adapters.kafka.connection import answered
from service.demo.kafka import LocalKafka
from service.demo.processes import Process, ProcessFailed
from service.errors import BrokerUnavailable

DRAIN_SECONDS = 5.0
"""The twin answers at once, so nobody who presses Ctrl-C needs to wait for longer."""
STOP_SECONDS_MAX = DRAIN_SECONDS + 15.0
TWIN_STOP_SECONDS_MAX = 5.0
READY_SECONDS_MAX = 60.0
SECURITY_ID_CHARACTERS = 64
TOPICS = (
    *("requests", "results", "dead_letters", "checkpoints"),
    *("parked", "overflow", "control", "replays"),
)
"""The fields of `kafka.topics`."""


def new_security_id() -> str:
    """A secret of the form that the provider gives out."""
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(SECURITY_ID_CHARACTERS))


@dataclass(frozen=True, slots=True)
class Names:
    """The group and topics of one run; no other run on the same broker has them."""

    prefix: str

    @property
    def topics(self) -> dict[str, str]:
        """Field of `kafka.topics` to name."""
        return {field: f"{self.prefix}.{field.replace('_', '-')}" for field in TOPICS}


class Stage:
    """A directory, a broker, and processes; all of it is gone when the context ends.

    The broker is `KAFKA_BOOTSTRAP` where that is set, and a local one otherwise.
    """

    def __init__(self, name: str) -> None:
        self.names = Names(f"{name}-{secrets.token_hex(4)}")
        self.bootstrap = os.environ.get("KAFKA_BOOTSTRAP", "")
        self.directory = Path()
        self.keep_logs = False
        """Set it to leave the processes' logs in `directory` for whoever looks for a fault."""
        self._security_id = new_security_id()
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.names.prefix}-"))
        self._exits.callback(self._clear)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exits.aclose()

    async def start_kafka(self) -> None:
        """Connect to the broker that is given, or start one.

        Raises:
            ConfigurationError: Java or Maven is missing.
            BrokerUnavailable: there is no broker, or it did not start.
        """
        if self.bootstrap:
            async with admin_client({"bootstrap_servers": self.bootstrap}):
                pass
            self._exits.push_async_callback(self._delete_topics)
        else:
            kafka = LocalKafka(self.directory / "kafka")
            self._exits.push_async_callback(kafka.stop)
            await kafka.start()
            self.bootstrap = kafka.bootstrap

    async def start_twin(self, *options: str) -> str:
        """Start the provider's twin; returns the URL that takes calls."""
        arguments = ("twin", "--port", "0", *options)
        environment = {"TWIN_SECURITY_ID": self._security_id}
        twin = await self._start("twin", arguments, environment, TWIN_STOP_SECONDS_MAX)
        return await twin.said(r"twin ready on (\S+)\n")

    async def start_dispatcher(
        self,
        twin_url: str,
        more: Mapping[str, Mapping[str, Any]] | None = None,
        python_options: Sequence[str] = (),
        name: str = "dispatcher",
    ) -> Dispatcher:
        """Start `run` and wait until it is ready; `more` is configuration by section."""
        sections: dict[str, dict[str, Any]] = {
            "kafka": {
                "bootstrap_servers": self.bootstrap,
                "group_id": self.names.prefix,
                "create_topics": True,
                "topics": self.names.topics,
            },
            "provider": {"url": twin_url},
            "http": {"port": 0},
            "shutdown": {"drain_seconds": DRAIN_SECONDS},
        }
        for section, fields in (more or {}).items():
            sections[section] = {**sections.get(section, {}), **fields}
        config = self.directory / f"{name}.yaml"
        config.write_text(yaml.safe_dump(sections))
        process = await self._start(
            name,
            ("run", "--config", str(config)),
            {"DISPATCHER_PROVIDER__SECURITY_ID": self._security_id},
            STOP_SECONDS_MAX,
            python_options,
        )
        address = await process.said(r'"event": ?"started".*"http": ?"([^"]+)"')
        await _ready(process, address)
        return Dispatcher(process, address)

    async def _start(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        stop_seconds_max: float,
        python_options: Sequence[str] = (),
    ) -> Process:
        log_file = self.directory / f"{name}.log"
        process = await Process.start(name, arguments, log_file, environment, python_options)
        self._exits.push_async_callback(process.stop, stop_seconds_max)
        return process

    async def _delete_topics(self) -> None:
        with suppress(BrokerUnavailable):
            async with (
                admin_client({"bootstrap_servers": self.bootstrap}) as admin,
                answered("deleting the topics of this run"),
            ):
                await admin.delete_topics(list(self.names.topics.values()))

    def _clear(self) -> None:
        shutil.rmtree(
            self.directory / "kafka" if self.keep_logs else self.directory, ignore_errors=True
        )


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """A dispatcher that is ready."""

    process: Process
    address: str
    """The URL of its own pages."""

    async def stop(self) -> None:
        """Ask it to drain and end.

        Raises:
            ProcessFailed: it did not end well.
        """
        await self.process.stop(STOP_SECONDS_MAX)
        if self.process.exit_code != 0:
            code = self.process.exit_code
            raise ProcessFailed(f"the dispatcher ended with {code}: {self.process.last_words}")


async def _ready(process: Process, address: str) -> None:
    """Wait for /readyz."""
    with suppress(TimeoutError):
        async with asyncio.timeout(READY_SECONDS_MAX), aiohttp.ClientSession() as session:
            while process.exit_code is None:
                with suppress(aiohttp.ClientError):
                    async with session.get(f"{address}/readyz") as answer:
                        if answer.ok:
                            return
                await asyncio.sleep(0.1)
    raise ProcessFailed(f"the dispatcher did not become ready: {process.last_words}")
