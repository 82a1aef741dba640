"""Runs this program's own commands as processes, so that a long scan never slows the lanes down.

Knows nothing of what a command does. Each ends with this process, whatever ends it.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from service.adapters.web.access import Refused

_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""


async def start(arguments: Sequence[str], who: str) -> asyncio.subprocess.Process:
    """Start a command; `who` asked for it, which the command notes as its user."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "LOGNAME": who},
        preexec_fn=_end_with_parent(),
    )


def _end_with_parent() -> Callable[[], object] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def answer_of(arguments: Sequence[str], who: str, seconds_max: float) -> bytes:
    """What a command prints.

    Raises:
        Refused: it failed, the text is its own last line; or it took too long.
    """
    process = await start(arguments, who)
    try:
        async with asyncio.timeout(seconds_max):
            said, errors = await process.communicate()
    except TimeoutError:
        raise Refused(
            504, f"it took more than {seconds_max:g} s: ask for less time, or use the command"
        ) from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode:
        raise Refused(400, last_line(errors))
    return said


def last_line(said: bytes) -> str:
    """What a command said in the end: why it failed, if it did."""
    lines = said.decode(errors="replace").strip().splitlines() or [""]
    return lines[-1].removeprefix("error: ")
