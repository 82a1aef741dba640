"""One point of a curve: a dispatcher with some configuration, and how long its turns take.

Knows nothing of the curve.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp

from bench.contenders import UNLIMITED
from bench.measure import Plan, measure
from service.demo.processes import Process, ProcessFailed
from service.demo.stage import Stage

Row = dict[str, float]
MORE = Mapping[str, Mapping[str, Any]]
"""Configuration by section."""
_TURNS = re.compile(r"^\w*turn_duration_seconds_(count|sum)(?:{.*})? (\S+)$", re.MULTILINE)


async def point(bootstrap: str, plan: Plan, more: MORE) -> Row:
    """The figures of one run.

    Raises:
        ProcessFailed: the dispatcher ended, stands still, or left events without a result.
    """
    addresses: list[str] = []
    turns = {"count": 0.0, "sum": 0.0}

    async def begin(stage: Stage, url: str) -> Process:
        started = await stage.start_dispatcher(url, configured(more))
        addresses.append(started.address)
        return started.process

    @asynccontextmanager
    async def during(_: int) -> AsyncIterator[None]:
        before = await _turns(addresses[0])
        yield
        after = await _turns(addresses[0])
        turns.update({name: after[name] - before[name] for name in turns})

    async with Stage("bench") as stage:
        stage.bootstrap = bootstrap
        await stage.start_kafka()
        measured = await measure(stage, begin, replace(plan, during=during))
    if not measured.complete:
        raise ProcessFailed(f"{measured.missing} events are without a result")
    return {
        "cpu_us_per_call": round(measured.cpu_us_per_call, 1),
        "peak_rss_mb": round(measured.peak_rss_mb),
        "calls_per_second": round(measured.calls_per_second),
        "calls_per_request": round(measured.calls_per_request, 1),
        "turn_ms": round(1000 * turns["sum"] / max(1.0, turns["count"]), 1),
    }


def configured(more: MORE) -> dict[str, dict[str, Any]]:
    """`more` over a configuration without a limit."""
    return {
        section: {**UNLIMITED.get(section, {}), **more.get(section, {})}
        for section in UNLIMITED.keys() | more.keys()
    }


async def _turns(address: str) -> Row:
    async with aiohttp.ClientSession() as session, session.get(f"{address}/metrics") as answer:
        return {name: float(value) for name, value in _TURNS.findall(await answer.text())}
