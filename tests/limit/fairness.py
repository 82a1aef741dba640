"""`python -m tests.limit.fairness`: how long a few calls wait behind very many of other flows.

The few lie behind the many in one partition, once in a window that holds all of them, once in a
small one, so that the many must go to the overflow topic first. The last line is JSON. Exits with 1
if one of the few waited too long. Knows nothing of why they need not wait.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.load import Loader
from service.adapters.kafka.admin import NewTopicPlan, admin_client, create_topics
from service.demo.evidence import TwinPages
from service.demo.stage import Stage

LIMIT = 300_000
"""Raised tenfold: one after the other, the many would still take 20 s."""
MANY = 100_000
FEW = 10
WAIT_SECONDS_MAX = 5.0
WINDOW = 160_000
WINDOW_SMALL = 40_000
"""An eighth of it, with which a flow is left, is a second of the limit."""
POLL_SECONDS = 0.5
WARM = "Warm0000"
WARM_SECONDS_MAX = 60.0
DONE_SECONDS_MAX = 300.0

Waits = Mapping[str, Sequence[float]]
"""By flow: seconds from when its calls could be read to when each was accepted, sorted."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Calls of one flow, and its weight."""

    name: str
    weight: int
    calls: int
    many: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """Flows in the order of their calls in the partition, those with many mixed."""

    title: str
    flows: tuple[Flow, ...]
    window: int = WINDOW
    limit: int = LIMIT

    def events(self) -> list[str]:
        """The flow of each event, in the order of the partition."""
        many = [flow for flow in self.flows if flow.many]
        mixed = [flow.name for _ in range(many[0].calls) for flow in many]
        return mixed + [f.name for f in self.flows if not f.many for _ in range(f.calls)]


def one(window: int, many: int = MANY, limit: int = LIMIT) -> Scene:
    """A few calls behind those of one flow."""
    return Scene(
        f"behind one flow, window {window:,}",
        (Flow("Many0001", 1, many, many=True), Flow("Few00001", 1, FEW)),
        window,
        limit,
    )


def mixed(window: int, many: int = MANY) -> Scene:
    """A few calls of each weight behind very many of each weight."""
    weights = (1, 3, 9)
    behind = tuple(Flow(f"Few0000{weight}", weight, FEW) for weight in weights)
    before = tuple(Flow(f"Many000{w}", w, many // len(weights), many=True) for w in weights)
    return Scene(f"behind three flows, window {window:,}", (*before, *behind), window)


async def play(scene: Scene, bootstrap: str) -> Waits:
    """Let a real dispatcher work it off."""
    async with Stage("fairness") as stage:
        stage.bootstrap = bootstrap
        requests = stage.names.topics["requests"]
        async with admin_client({"bootstrap_servers": bootstrap}) as admin:
            await create_topics(admin, [NewTopicPlan(requests, 1)])
        url = await stage.start_twin("--limit", str(scene.limit), "--latency-ms", "20-80")
        config: dict[str, dict[str, Any]] = {
            "provider": {"calls_per_minute": scene.limit},
            "events": {"window_events_max": scene.window},
            "flows": {flow.name: {"priority": flow.weight} for flow in scene.flows},
        }
        await stage.start_dispatcher(url, config)
        async with TwinPages(url) as twin, Loader(bootstrap, requests, 1) as loader:
            await loader.write(range(1), [WARM])
            await loader.commit()
            await _accepted(twin, 1, WARM_SECONDS_MAX)
            events = scene.events()
            await loader.write(range(1, len(events) + 1), [WARM, *events])
            await loader.commit()
            readable_at = time.time()
            await _accepted(twin, 1 + len(events), DONE_SECONDS_MAX)
            found = defaultdict(list)
            for call in await twin.calls():
                found[call.flow_id].append(call.first_at - readable_at)
    return {flow.name: sorted(found[flow.name]) for flow in scene.flows}


async def _accepted(twin: TwinPages, calls: int, seconds_max: float) -> None:
    async with asyncio.timeout(seconds_max):
        while (await twin.summary()).calls_accepted < calls:  # noqa: ASYNC110 - another process
            await asyncio.sleep(POLL_SECONDS)


async def measure(scenes: Sequence[Scene]) -> dict[Scene, Waits]:
    """The waits of each scene."""
    async with Stage("fairness") as home:
        await home.start_kafka()
        return {scene: await play(scene, home.bootstrap) for scene in scenes}


def small_flow_wait_seconds_max(found: Mapping[Scene, Waits]) -> float:
    """The longest wait of a call of a flow that had few."""
    waits = [
        waits[flow.name][-1]
        for scene, waits in found.items()
        for flow in scene.flows
        if not flow.many
    ]
    return round(max(waits), 2)


def _show(found: Mapping[Scene, Waits]) -> None:
    for scene, waits in found.items():
        table = Table(title=f"Seconds until accepted, {scene.title}", title_justify="left")
        for name in ("flow", "weight", "calls", "first", "median", "last"):
            table.add_column(name, justify="right")
        for flow in scene.flows:
            each = waits[flow.name]
            figures = (each[0], statistics.median(each), each[-1])
            seconds = [f"{figure:.2f}" for figure in figures]
            table.add_row(flow.name, str(flow.weight), f"{flow.calls:,}", *seconds)
        Console(highlight=False, soft_wrap=True).print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.limit.fairness", description=__doc__)
    parser.add_argument("--many", type=int, default=MANY, help="calls that the few lie behind")
    given = parser.parse_args(arguments)
    scenes = [make(size, given.many) for size in (WINDOW, WINDOW_SMALL) for make in (one, mixed)]
    found = asyncio.run(measure(scenes))
    _show(found)
    wait = small_flow_wait_seconds_max(found)
    figures = {
        "small_flow_wait_seconds_max": wait,
        "bound_seconds": WAIT_SECONDS_MAX,
        "calls_ahead": given.many,
        "limit_calls_per_minute": LIMIT,
    }
    sys.stdout.write(f"{json.dumps(figures)}\n")
    return 0 if wait <= WAIT_SECONDS_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
