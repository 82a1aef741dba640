"""Samples the stacks of a running Python process with py-spy.

Knows nothing of what is measured meanwhile, nor of what a stack means (stages.py).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.contenders import BUILT

SAMPLES_PER_SECOND = 250
"""Each one stops the process for a moment; at this rate that shows in its speed by a few percent,
and not in its CPU."""


@asynccontextmanager
async def sampled(pid: int, file: Path) -> AsyncIterator[None]:
    """Sample the process while the context is open; `file` then has a line for each kind of stack.

    Only threads that use a processor are sampled. Needs `scripts/bench.sh tools`.
    """
    sampler = await asyncio.create_subprocess_exec(
        str(BUILT / "tools/bin/py-spy"),
        *("record", "--pid", str(pid), "--rate", str(SAMPLES_PER_SECOND)),
        *("--format", "raw", "--full-filenames", "--function", "--output", str(file)),
        env={**os.environ, "PYTHONPATH": str(BUILT / "tools")},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=sys.stderr,
    )
    try:
        yield
    finally:
        sampler.send_signal(signal.SIGINT)
        await sampler.wait()
