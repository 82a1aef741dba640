"""Everything on 127.0.0.1: Kafka, the twin, Redis, two dispatchers, Prometheus, Alertmanager.

Knows nothing of the load, nor of what is broken on purpose.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml

from service.demo.kafka import LocalKafka
from service.demo.processes import Process, ProcessFailed
from service.demo.stage import new_security_id
from tests.stack.load import REFUSED_ENDING
from tests.stack.ports import Ports
from tests.support.redis import RedisServer
from tests.support.watching import Told, watching

DEPLOY = Path(__file__).parents[2] / "deploy"
LANES = 2
READY_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 20.0
POLL_SECONDS = 0.2
DRAIN_SECONDS = 5.0


class Stack:
    """Running while the context is open; its files stay in `folder` until the next one starts."""

    def __init__(self, folder: Path, ports: Ports, told: Told, scrape: str = "5s") -> None:
        self.folder = folder
        self.ports = ports
        self.dispatchers: dict[str, Process] = {}
        self.config = folder / "dispatcher.yaml"
        self._told = told
        self._scrape = scrape
        self._kafka = LocalKafka(folder / "kafka")
        self._exits = AsyncExitStack()

    @property
    def bootstrap(self) -> str:
        """Kafka's address."""
        return self._kafka.bootstrap

    @property
    def twin(self) -> str:
        """The provider's address."""
        return f"http://127.0.0.1:{self.ports.twin}"

    @property
    def prometheus(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.ports.prometheus}"

    async def __aenter__(self) -> Self:
        self.ports.check()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
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
        self._exits.push_async_callback(self._kafka.stop)
        await self._kafka.start()
        redis = RedisServer(self.folder.absolute(), self.ports.redis)
        self._exits.push_async_callback(redis.kill)
        try:
            await redis.start()
        except TimeoutError as error:
            raise ProcessFailed(f"Redis does not answer (see {self.folder}/redis.log)") from error
        secret = new_security_id()
        self._configure(secret, await self._start_twin(secret), redis.url)
        await self._make_topics()
        for number in range(1, len(self.ports.dispatchers) + 1):
            await self.start_dispatcher(f"dispatcher-{number}")
        await self._watch()

    async def _start_twin(self, secret: str) -> str:
        refused = f"number-ending={REFUSED_ENDING}"
        arguments = ("twin", "--port", str(self.ports.twin), "--refuse", refused)
        twin = await self._process("twin", arguments, {"TWIN_SECURITY_ID": secret})
        return await twin.said(r"twin ready on (\S+)\n")

    def _configure(self, secret: str, url: str, redis_url: str) -> None:
        secret_file = self.folder / "security-id"
        secret_file.write_text(secret)
        secret_file.chmod(0o600)
        config = yaml.safe_load((DEPLOY / "dispatcher.yaml").read_text())
        config["kafka"] |= {"bootstrap_servers": self.bootstrap}
        config["provider"] |= {
            "url": url,
            "security_id_file": str(secret_file),
            "redis_url": redis_url,
        }
        config["http"] = {"port": self.ports.dispatchers[0]}
        config["shutdown"] = {"drain_seconds": DRAIN_SECONDS}
        self.config.write_text(yaml.safe_dump(config))

    async def _make_topics(self) -> None:
        given = ("topics", "create", "--lanes", str(LANES), "--config", str(self.config))
        process = await Process.start("topics", given, self.folder / "topics.log", {})
        await process.said(r"(calls\.replays): created")
        await process.stop(STOP_SECONDS_MAX)

    async def start_dispatcher(self, name: str) -> None:
        """Start one of the two, named as in deploy/compose.yaml; returns once it is ready."""
        port = self.ports.dispatchers[int(name[-1]) - 1]
        given = ("run", "--config", str(self.config))
        process = await self._process(name, given, {"DISPATCHER_HTTP__PORT": str(port)})
        self.dispatchers[name] = process
        await process.said(r'"event": ?"(started)"')
        await _answers(f"http://127.0.0.1:{port}/readyz")

    async def _watch(self) -> None:
        manager = _yaml("alertmanager/alertmanager.yaml")
        # A pager in a hurry: nobody who tries this waits half a minute for the good news.
        manager["route"] |= {"group_wait": "1s", "group_interval": "2s"}
        prometheus = _yaml("prometheus/prometheus.yaml")
        prometheus["global"] = dict.fromkeys(prometheus["global"], self._scrape)
        targets = [f"127.0.0.1:{port}" for port in self.ports.dispatchers]
        prometheus["scrape_configs"][0] |= {"static_configs": [{"targets": targets}]}
        shutil.copy(DEPLOY / "prometheus/rules.yaml", self.folder)
        ports = (self.ports.prometheus, self.ports.alertmanager)
        watched = watching(
            self.folder, self._told, prometheus=prometheus, alertmanager=manager, ports=ports
        )
        await self._exits.enter_async_context(watched)
        for port in ports:
            await _answers(f"http://127.0.0.1:{port}/-/ready")

    async def _process(
        self, name: str, arguments: tuple[str, ...], environment: dict[str, str]
    ) -> Process:
        log_file = self.folder / f"{name}.log"
        process = await Process.start(name, arguments, log_file, environment)
        self._exits.push_async_callback(process.stop, STOP_SECONDS_MAX)
        return process


def _yaml(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return content


async def _answers(url: str) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(READY_SECONDS_MAX), aiohttp.ClientSession() as session:
            while True:
                with suppress(aiohttp.ClientError):
                    async with session.get(url) as answer:
                        if answer.ok:
                            return
                await asyncio.sleep(POLL_SECONDS)
    raise ProcessFailed(f"nobody answers well at {url}")
