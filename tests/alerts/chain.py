"""Prometheus, Alertmanager and a webhook, as in production but in a hurry.

Knows nothing of dispatchers but the address that is scraped, nor of what its alerts mean.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from aiohttp import web

from service.demo.kafka import end_with_parent
from tests.alerts.rules import hastened

TIMES = 30
"""So many times shorter are all windows: a quarter of an hour takes half a minute."""
STATE_SECONDS_MAX = 180.0
STOP_SECONDS_MAX = 10.0
POLL_SECONDS = 0.2


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Chain:
    """From `target` (host and port of a metrics page) to `said`, which the webhook was told."""

    def __init__(self, folder: Path, target: str) -> None:
        self.said: list[tuple[str, str, str]] = []
        """Status, alert's name and summary, in the order of arrival."""
        self._folder = folder
        self._target = target
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        hook, manager, prometheus = (f"127.0.0.1:{free_port()}" for _ in range(3))
        await self._listen(hook)
        config = self._write("alertmanager.yml", _alertmanager(hook))
        await self._start(
            "prometheus-alertmanager",
            f"--config.file={config}",
            f"--storage.path={self._folder / 'alertmanager'}",
            f"--web.listen-address={manager}",
            "--cluster.listen-address=",
        )
        (self._folder / "rules.yaml").write_text(hastened(TIMES))
        config = self._write("prometheus.yml", _prometheus(self._target, manager))
        await self._start(
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={self._folder / 'prometheus'}",
            f"--web.listen-address={prometheus}",
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exits.aclose()

    async def told(self, status: str, *alerts: str) -> None:
        """Return once the last word on each of these alerts is `status`.

        Raises:
            TimeoutError: that did not come to pass.
        """
        async with asyncio.timeout(STATE_SECONDS_MAX):
            while not all(self._last(alert) == status for alert in alerts):  # noqa: ASYNC110 - Alertmanager tells in its own time
                await asyncio.sleep(POLL_SECONDS)

    def _last(self, alert: str) -> str | None:
        states = [status for status, name, _ in self.said if name == alert]
        return states[-1] if states else None

    async def _listen(self, address: str) -> None:
        host, port = address.split(":")
        app = web.Application()
        app.add_routes([web.post("/", self._told)])
        runner = web.AppRunner(app)
        await runner.setup()
        self._exits.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, host, int(port)).start()

    async def _told(self, request: web.Request) -> web.Response:
        for alert in (await request.json())["alerts"]:
            named = alert["labels"]["alertname"], alert["annotations"]["summary"]
            self.said.append((alert["status"], *named))
        return web.Response()

    def _write(self, name: str, content: dict[str, Any]) -> Path:
        file = self._folder / name
        file.write_text(yaml.safe_dump(content))
        return file

    async def _start(self, program: str, *options: str) -> None:
        with (self._folder / f"{program}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                program, *options, stdout=log, stderr=log, preexec_fn=end_with_parent()
            )
        self._exits.push_async_callback(_stop, process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS_MAX):
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()


def _alertmanager(hook: str) -> dict[str, Any]:
    return {
        "route": {
            "receiver": "hook",
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": "1s",
        },
        "receivers": [{"name": "hook", "webhook_configs": [{"url": f"http://{hook}/"}]}],
    }


def _prometheus(target: str, manager: str) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [manager]}]}]},
        "scrape_configs": [
            {"job_name": "call-dispatcher", "static_configs": [{"targets": [target]}]}
        ],
    }
