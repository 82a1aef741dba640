"""Processes under measurement: how one is started, and what it has used so far, from /proc.

Knows nothing of what a process does. Linux only.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from service.demo.kafka import end_with_parent
from service.demo.processes import Process

UTIME_FIELD = 11
"""Of /proc/<pid>/stat, counted after the name in parentheses; stime follows."""
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
HOME = Path(__file__).parents[1]


async def start(
    name: str, command: Sequence[str], log_file: Path, environment: Mapping[str, str]
) -> Process:
    """Start a command that is not of this program, in a process group of its own."""
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=HOME,
            env={**os.environ, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
            preexec_fn=end_with_parent(),
        )
    return Process(name, process, log_file)


def cpu_seconds(pid: int) -> float:
    """User and system time of the process, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[UTIME_FIELD : UTIME_FIELD + 2])) / TICKS_PER_SECOND


def peak_rss_mb(pid: int) -> float:
    """The most memory that it ever had in RAM, in MB of 1,000,000 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1_000_000
    raise AssertionError("every process with memory has VmHWM")
