"""Who can be measured: the dispatcher, the floor worker, FastStream and Apache Camel.

Knows nothing of events or figures: each is started on a stage whose Kafka and topics are there.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bench.process import HOME
from service.demo.kafka_jars import find_java
from service.demo.processes import Process
from service.demo.stage import Stage

LIMIT_PER_MINUTE = 1_000_000_000
"""No limit that one process could reach."""
BUILT = HOME / "build/bench"
STOP_SECONDS_MAX = 20.0
UNLIMITED: Mapping[str, Mapping[str, Any]] = {"provider": {"calls_per_minute": LIMIT_PER_MINUTE}}

Start = Callable[[Stage, str], Awaitable[Process]]
"""Starts one on the stage, sending to the URL; whoever starts it stops it."""


async def dispatcher(stage: Stage, url: str) -> Process:
    """The real `run`, with no limit and the defaults of all else."""
    return (await stage.start_dispatcher(url, UNLIMITED)).process


def _worker(*command: str, **more: str) -> Start:
    async def begin(stage: Stage, url: str) -> Process:
        topics = stage.names.topics
        environment = {
            "BENCH_BOOTSTRAP": stage.bootstrap,
            "BENCH_REQUESTS": topics["requests"],
            "BENCH_RESULTS": topics["results"],
            "BENCH_URL": url,
            **more,
        }
        return await Process.program("worker", command, stage.directory / "worker.log", environment)

    return begin


def _faststream(module: str) -> Start:
    return _worker(str(BUILT / "faststream/bin/python"), "-m", f"bench.workers.{module}")


def _camel(pattern: str) -> Start:
    async def begin(stage: Stage, url: str) -> Process:
        classpath = f"{BUILT / 'camel'}:{BUILT / 'camel'}/*"
        run = _worker(find_java(), "-cp", classpath, "Worker", BENCH_PATTERN=pattern)
        return await run(stage, url)

    return begin


FLOOR = "floor worker"
DISPATCHER = "dispatcher"
CONTENDERS: Mapping[str, Start] = {
    DISPATCHER: dispatcher,
    FLOOR: _worker(sys.executable, "-m", "bench.workers.floor"),
    "Camel, batching consumer": _camel("batching"),
    "Camel, aggregate": _camel("aggregate"),
    "FastStream, msgspec": _faststream("faststream_msgspec"),
    "FastStream, pydantic": _faststream("faststream_pydantic"),
}
