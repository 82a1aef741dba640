"""Prometheus, Alertmanager and a webhook where a pager would be, on 127.0.0.1.

Knows nothing of what is watched, nor of what an alert means.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from service.demo.processes import Process

STOP_SECONDS_MAX = 20.0

Told = Callable[[str, str, str, str], None]
"""Is given an alert's status, name, summary and runbook."""


@asynccontextmanager
async def watching(
    folder: Path,
    told: Told,
    *,
    prometheus: Mapping[str, Any],
    alertmanager: Mapping[str, Any],
    ports: tuple[int, int],
) -> AsyncIterator[None]:
    """Both run while the context is open; their files are in `folder`.

    Args:
        folder: where `rule_files` are, too.
        told: the pager.
        prometheus: its configuration, without the address of Alertmanager.
        alertmanager: its configuration, with one receiver; that becomes the webhook.
        ports: Prometheus's and Alertmanager's.
    """
    async with AsyncExitStack() as exits:
        receiver = {**alertmanager["receivers"][0]}
        receiver["webhook_configs"] = [{"url": await _listen(exits, told)}]
        address, manager = (f"127.0.0.1:{port}" for port in ports)
        found = {"alertmanagers": [{"static_configs": [{"targets": [manager]}]}]}
        await _start(
            exits,
            folder,
            "prometheus-alertmanager",
            {**alertmanager, "receivers": [receiver]},
            "--storage.path",
            f"--web.listen-address={manager}",
            "--cluster.listen-address=",
        )
        await _start(
            exits,
            folder,
            "prometheus",
            {**prometheus, "alerting": found},
            "--storage.tsdb.path",
            f"--web.listen-address={address}",
        )
        yield


async def _start(
    exits: AsyncExitStack,
    folder: Path,
    program: str,
    config: Mapping[str, Any],
    storage: str,
    *options: str,
) -> None:
    file = folder / f"{program}.yaml"
    file.write_text(yaml.safe_dump(dict(config)))
    data = f"{storage}={folder / program}"
    command = (program, f"--config.file={file}", data, *options)
    process = await Process.program(program, command, folder / f"{program}.log", {})
    exits.push_async_callback(process.stop, STOP_SECONDS_MAX)


async def _listen(exits: AsyncExitStack, told: Told) -> str:
    async def page(request: web.Request) -> web.Response:
        for alert in (await request.json())["alerts"]:
            notes = alert["annotations"]
            words = alert["labels"]["alertname"], notes["summary"], notes["runbook_url"]
            told(alert["status"], *words)
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/", page)])
    runner = web.AppRunner(app)
    await runner.setup()
    exits.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}/"
