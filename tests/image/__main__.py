"""`python -m tests.image ROOT CONFIG`: looks into an image's files, and runs them.

ROOT is where its files are mounted, CONFIG what it says of itself. It runs in a process tree of its
own, as its own user, on files that it cannot write. The last line is JSON. Knows nothing of how
the image was built.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from service.demo.evidence import TwinPages
from service.demo.ports import free_ports
from service.demo.stage import Stage
from tests.support.dispatcher import QUICK, Sections, call, merged, until
from tests.support.kafka import produce
from tests.support.settings import SECURITY_ID

CALLS = 100
STOP_SECONDS_MAX = 60.0
APP = "app"
CONFIG = "etc/dispatcher.yaml"
COMPILERS = ("cc", "gcc", "make", "ld", "as")
AS_A_CONTAINER = """
mount --bind "$1" "$1" && mount -t proc proc "$1/proc" && mount --bind /dev "$1/dev" &&
mount -o remount,ro,bind "$1" && shift && exec chroot "$@"
"""


def looked_at(root: Path, config: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with its files and with what it says of itself."""
    packages = next((root / APP / "lib").glob("python3*/site-packages"))
    for name in ("pip", "tests", "hatchling"):
        if (packages / name).exists():
            yield f"{name} is in it"
    for folder in ("usr/bin", "usr/local/bin", f"{APP}/bin"):
        yield from (f"{folder}/{c} is in it" for c in COMPILERS if (root / folder / c).exists())
    for secret in (".env", "etc/pip.conf", "root/.netrc", "wheels", "build", "tools"):
        found = root / secret
        if found.is_file() or (found.is_dir() and any(found.iterdir())):
            yield f"/{secret} is in it"
    if config["User"] != "10001:10001":
        yield f"it runs as {config['User']}"
    if config["Entrypoint"] != ["call-dispatcher"] or config["Cmd"] != ["run"]:
        yield "it does not start with the program itself"


async def run(root: Path, config: Mapping[str, Any]) -> str | None:
    """Dispatch calls from the image and stop it as a container's engine does; what is wrong."""
    async with Stage("image") as stage:
        await stage.start_kafka()
        url = await stage.start_twin("--security-id", SECURITY_ID)
        _configure(root, stage, url)
        log_file = stage.directory / "image.log"
        process = await _start(root, config, log_file)

        async def started() -> bool:
            assert process.returncode is None, log_file.read_text()
            return '"event": "started"' in log_file.read_text()

        try:
            await until(started)
            await _call(stage, url)
            assert _healthy(root, config, log_file), "its own health check fails"
            os.kill(_first_within(process.pid), signal.SIGTERM)
            async with asyncio.timeout(STOP_SECONDS_MAX):
                code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        drained = '"event": "stopped"' in log_file.read_text()
        return None if code == 0 and drained else f"SIGTERM: exit code {code}"


def _configure(root: Path, stage: Stage, url: str) -> None:
    mine: Sections = {
        "kafka": {
            "bootstrap_servers": stage.bootstrap,
            "group_id": stage.names.prefix,
            "create_topics": True,
            "topics": stage.names.topics,
        },
        "provider": {"url": url, "security_id": SECURITY_ID},
        "http": {"port": free_ports(1)[0]},
    }
    (root / CONFIG).write_text(yaml.safe_dump(merged(QUICK, mine)))


async def _start(
    root: Path, config: Mapping[str, Any], log_file: Path
) -> asyncio.subprocess.Process:
    with log_file.open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *("unshare", "--pid", "--fork", "--kill-child", "--mount"),
            *("sh", "-c", AS_A_CONTAINER, "sh", str(root)),
            *(f"--userspec={config['User']}", str(root), "env", "--ignore-environment"),
            *(*config["Env"], f"DISPATCHER_CONFIG=/{CONFIG}"),
            *(*config["Entrypoint"], *config["Cmd"]),
            stdout=log,
            stderr=log,
        )


async def _call(stage: Stage, url: str) -> None:
    values = [json.dumps(call(number)).encode() for number in range(CALLS)]
    await produce(stage.bootstrap, stage.names.topics["requests"], values)
    async with TwinPages(url) as twin:

        async def all_placed() -> bool:
            return (await twin.summary()).calls_accepted >= CALLS

        await until(all_placed)


def _healthy(root: Path, config: Mapping[str, Any], log_file: Path) -> bool:
    """What the engine asks now and then, at the port that the log names."""
    found = re.search(r'"http": "http://[^"]+:(\d+)"', log_file.read_text())
    assert found
    variables = [*config["Env"], f"DISPATCHER_HTTP__PORT={found[1]}"]
    asks = [word for word in config["Healthcheck"]["Test"] if word != "CMD"]
    command = ["chroot", str(root), "env", "-i", *variables, *asks]
    asked = subprocess.run(command, check=False)
    return asked.returncode == 0


def _first_within(pid: int) -> int:
    """The process that is number 1 to those inside."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _bytes(folder: Path) -> int:
    command = ["du", "--summarize", "--bytes", "--one-file-system", str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(said.split()[0])


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    root = Path(arguments[0])
    config = json.loads(Path(arguments[1]).read_text())["Docker"]["config"]
    sizes = {"megabytes": _bytes(root) // 10**6, "app_megabytes": _bytes(root / APP) // 10**6}
    wrong = list(looked_at(root, config))
    wrong += [said for said in [asyncio.run(run(root, config))] if said]
    for line in wrong:
        sys.stdout.write(f"{line}\n")
    figures = {"ok": not wrong, **sizes, "calls_as_pid_1": CALLS}
    sys.stdout.write(f"{json.dumps(figures)}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
