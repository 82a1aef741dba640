"""Child processes of the demo: started, awaited by what they print, and stopped without remains.

Knows nothing of what they do.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from service.demo.kafka import end_with_parent
from service.errors import DispatcherError

PACKAGE_HOME = Path(__file__).parents[2]
START_SECONDS_MAX = 60.0
"""To the line that says that a process is ready; two seconds are usual."""


class ProcessFailed(DispatcherError):
    """A process of the demo ended, or did not become ready; the text has its last words."""


class Process:
    """A program in a process group of its own, its output in `log_file`.

    A Ctrl-C on the terminal does not reach it; on Linux it ends with its parent in any case.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, log_file: Path) -> None:
        self.name = name
        self.log_file = log_file
        self._process = process

    @classmethod
    async def start(
        cls,
        name: str,
        arguments: Sequence[str],
        log_file: Path,
        environment: Mapping[str, str],
        python_options: Sequence[str] = (),
    ) -> Process:
        """Start `python <options> -m service <arguments>`, with `environment` over ours.

        Variables of ours that configure a dispatcher are not handed on.
        """
        command = (sys.executable, *python_options, "-m", "service", *arguments)
        return await cls.program(name, command, log_file, environment)

    @classmethod
    async def program(
        cls, name: str, command: Sequence[str], log_file: Path, environment: Mapping[str, str]
    ) -> Process:
        """Start any program; the rest is as with `start`."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DISPATCHER_")}
        with log_file.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=PACKAGE_HOME,
                env={**inherited, **environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=end_with_parent(),
            )
        return cls(name, process, log_file)

    @property
    def pid(self) -> int:
        """Also after its end."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._process.returncode

    @property
    def last_words(self) -> str:
        """What it printed last, and where the rest is."""
        lines = self.log_file.read_text(errors="replace").splitlines()
        return f"{lines[-1] if lines else 'it said nothing'} (all of it: {self.log_file})"

    async def said(self, pattern: str) -> str:
        """Wait for a line in which `pattern` is found; returns its first group.

        Raises:
            ProcessFailed: it ended, or did not say so in time.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS_MAX):
                while self.exit_code is None:
                    found = re.search(pattern, self.log_file.read_text(errors="replace"))
                    if found:
                        return found[1]
                    await asyncio.sleep(0.05)
        raise ProcessFailed(f"the {self.name} did not become ready: {self.last_words}")

    async def stop(self, seconds_max: float) -> None:
        """Ask it to end, and end it by force after `seconds_max`; nothing if it has ended."""
        if self.exit_code is not None:
            return
        try:
            self._process.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds_max):
                    await self._process.wait()
        finally:
            # Also if the wait was cut short by an impatient second Ctrl-C.
            await self._end_by_force()

    async def _end_by_force(self) -> None:
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            await self._process.wait()
