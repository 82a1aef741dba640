"""`python -m tests.stack`: the stack under a small load, until Ctrl-C or for `--seconds`.

Prints where everything is, how to break the provider, and what a pager would get. The last line
is JSON; exits with 1 if a process of the stack ended by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from service.errors import DispatcherError
from tests.stack.load import Load
from tests.stack.ports import Ports, other_ports
from tests.stack.stack import Stack

FOLDER = Path("build/stack")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _told(status: str, name: str, summary: str, runbook: str) -> None:
    said = f"{time.strftime('%H:%M:%S')}  {status:8}  {name}"
    _say(said if status == "resolved" else f"{said}: {summary} {runbook}")


def _where(stack: Stack, rate: float) -> str:
    ports = stack.ports
    faults = f"curl -s -X POST {stack.twin}/twin/faults -d"
    first, second = (f"http://127.0.0.1:{port}/" for port in ports.dispatchers)
    return f"""
Kafka           {stack.bootstrap}
dispatchers     {first}  {second}
Prometheus      {stack.prometheus}/
Alertmanager    http://127.0.0.1:{ports.alertmanager}/
provider's twin {stack.twin}/twin/ledger
configuration   {stack.config}

{rate:g} events a second are published. Calls start after 77 s: a fresh Redis counts as full until
then (docs/decisions/014). To break the provider, and to repair it:
  {faults} '{{"rules": [{{"fault": "code-401"}}]}}'
  {faults} '{{"rules": [{{"fault": "code-301", "flow": "Survey07"}}]}}'
  {faults} '{{"rules": [{{"fault": "cut-after", "share": 0.1}}]}}'
  curl -s -X DELETE {stack.twin}/twin/faults
What a pager would get stands below. Ctrl-C stops everything.
"""


async def _run(folder: Path, rate: float, seconds: float | None, ports: Ports) -> bool:
    """Returns whether all went well."""
    ended = asyncio.Event()
    async with Stack(folder, ports, _told) as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        load = Load(stack.bootstrap, "calls.requests", rate)
        publishing = asyncio.create_task(load.run())
        _say(_where(stack, rate))
        publishing.add_done_callback(lambda _: ended.set())
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await ended.wait()
        alive = not publishing.done() and all(
            process.exit_code is None for process in stack.dispatchers.values()
        )
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
    _say(json.dumps({"ok": alive, "published": load.published}))
    return alive


def main(arguments: Sequence[str]) -> int:
    """The command. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="make stack", description=__doc__)
    parser.add_argument("--rate", type=float, default=20.0, help="events a second")
    parser.add_argument("--seconds", type=float, help="end after so many")
    parser.add_argument("--free-ports", action="store_true", help="any ports, files elsewhere")
    given = parser.parse_args(arguments)
    try:
        if not given.free_ports:
            return 1 - asyncio.run(_run(FOLDER, given.rate, given.seconds, Ports()))
        with TemporaryDirectory(prefix="stack-") as folder:
            return 1 - asyncio.run(_run(Path(folder), given.rate, given.seconds, other_ports()))
    except DispatcherError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
