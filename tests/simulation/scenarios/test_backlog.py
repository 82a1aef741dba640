"""What is said of a backlog, wherever it lies and whatever keeps it from going out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.core.drafts import Draft
from service.twin.faults import Rule
from tests.simulation.scenarios.stage import Stage, play

pytestmark = pytest.mark.timeout(400)

FLOW = "Flow0000"
EVENTS, FEWER = 24_000, 5_000
PER_MINUTE = 6_000
WINDOW = 4_000
SMALL = {"events": {"window_events_max": WINDOW}, "provider": {"calls_per_minute": PER_MINUTE}}


def backlog(stage: Stage) -> int:
    """Of all partitions of the lane, as /status shows it, and what was moved out of them."""
    status = stage.status
    assert status is not None
    return sum(each.lag or 0 for each in status.partitions) + status.overflow_calls


def test_minutes_until_drained_are_those_that_it_takes() -> None:
    """An operator who reads one minute, and waits for two hours, does not look again."""
    said: list[tuple[float, float]] = []
    drained: float | None = None

    async def course(stage: Stage) -> None:
        nonlocal drained
        await stage.owned()
        # Of the three partitions two hold nothing.
        await stage.all_ended(stage.publish(FLOW))
        await asyncio.sleep(5)
        assert stage.status is not None
        assert stage.status.minutes_until_drained == 0
        events = stage.publish(FLOW, EVENTS)
        while len(stage.latencies(events)) < EVENTS:
            await asyncio.sleep(10)
            minutes = stage.status.minutes_until_drained
            if stage.status.overflow_calls > EVENTS / 4 and minutes is not None:
                said.append((stage.loop.now, minutes))
        drained = stage.loop.now
        await asyncio.sleep(5)
        assert stage.status.minutes_until_drained == 0

    play(course, settings=SMALL, switches={"calls-per-minute": PER_MINUTE})
    assert drained is not None
    # The last of them looked back at a whole minute at the limit.
    at, minutes = said[-1]
    assert minutes == pytest.approx((drained - at) / 60, rel=0.35)


def test_what_comes_while_nothing_is_read_is_seen() -> None:
    """A backlog behind a held account would seem to stand still while it grows."""

    async def course(stage: Stage) -> None:
        await stage.owned()
        await stage.all_ended(stage.publish(FLOW))
        stage.trouble(Rule(fault="code-401-inside"))
        stage.publish(FLOW, FEWER)
        await stage.until(lambda: stage.state is not None and stage.state.holds)
        stage.publish(FLOW, FEWER)
        await asyncio.sleep(60)
        assert stage.state is not None
        assert stage.state.memory.events >= WINDOW
        assert backlog(stage) == 2 * FEWER
        stage.publish(FLOW, FEWER)
        await asyncio.sleep(15)
        assert backlog(stage) == 3 * FEWER
        stage.trouble()
        await stage.all_ended(stage.of(FLOW), 3_000)

    settings = {**SMALL, "provider": {"calls_per_minute": 30_000}}
    play(course, settings=settings)


def test_flows_are_not_asked_while_none_of_them_may_go() -> None:
    """Over 100,000 flows a successor would ask them all for each event that it reads."""
    asked = 0

    async def course(stage: Stage) -> None:
        sources = stage.publish("Flow0000")
        while not stage.requests_seen:  # noqa: ASYNC110 - the world is looked at, it does not tell
            await asyncio.sleep(0.05)
        assert stage.state is not None
        take = stage.state.batcher.take

        def counted(*args: Any) -> Draft | None:
            nonlocal asked
            asked += 1
            return take(*args)

        setattr(stage.state.batcher, "take", counted)  # noqa: B010 - to count, not to change
        for number in range(1, 50):
            sources += stage.publish(f"Flow{number:04d}")
            await asyncio.sleep(0.05)
        # The first answer is still out, so the account may have no other batch.
        assert (asked, len(stage.requests_seen)) == (0, 1)
        await stage.all_ended(sources)

    play(course, switches={"latency-ms-min": 5000, "latency-ms-max": 5000})
    assert asked
