"""What a process has used so far, from /proc.

Knows nothing of what it does. Linux only.
"""

from __future__ import annotations

import os
from pathlib import Path

UTIME_FIELD = 11
"""Of /proc/<pid>/stat, counted after the name in parentheses; stime follows."""
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
HOME = Path(__file__).parents[1]


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
