"""Calls that wait apart: for how long, at what cost, and what becomes of them."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from service.pipeline.outbox import OUTBOX_BYTES_MAX
from service.pipeline.reading import FETCH_RECORDS_MAX
from service.twin.faults import Rule
from tests.simulation.plan import NOON
from tests.simulation.scenarios.stage import Stage, play
from tests.simulation.upstream import INDIA

pytestmark = pytest.mark.timeout(400)

FLOW, OTHER = "Flow0001", "Flow0002"
PARK_MAX_SECONDS = 3_600
LATE_SECONDS = 65.0
"""A look, and the turn after it."""


def test_a_call_ends_exhausted_after_park_max_seconds_and_not_before() -> None:
    """Calls of a flow that nobody repairs would wait for ever, or be given up too soon."""

    async def course(stage: Stage) -> None:
        await stage.owned()
        stage.trouble(Rule(fault="code-301-inside", flow=FLOW))
        for _ in range(20):
            stage.publish(FLOW, 100)
            stage.publish(OTHER, 5)
            await asyncio.sleep(60)
        # The successor goes on counting where its predecessor stopped.
        stage.crash(down_seconds=120)
        await asyncio.sleep(1_200)
        stage.crash()
        await stage.all_ended(stage.of(FLOW), 3 * PARK_MAX_SECONDS)
        assert stage.held(FLOW)

    stage = play(
        course,
        settings={
            "retry": {"park_max_seconds": PARK_MAX_SECONDS},
            "provider": {"checksum_memory_seconds": PARK_MAX_SECONDS},
        },
    )
    found = stage.outcomes(stage.of(FLOW))
    # A canary that was in an open batch when its owner died is in doubt: nobody knows its answer.
    assert found.pop("unconfirmed", 0) <= 2
    assert found.keys() == {"exhausted"}
    assert stage.outcomes(stage.of(OTHER)) == {"accepted": 100}
    waited = stage.latencies(s for s in stage.of(FLOW) if stage.oracle.outcomes[s] == "exhausted")
    assert waited[0] >= PARK_MAX_SECONDS - 1
    assert waited[-1] <= PARK_MAX_SECONDS + 120 + LATE_SECONDS


def test_waiting_for_calling_hours_is_not_waiting_for_a_hold() -> None:
    """A campaign held in the evening would be dead in the morning, when it could go."""
    closes = datetime.fromtimestamp(NOON, INDIA) + timedelta(minutes=30)
    opens = closes + timedelta(hours=18)
    hours = f"{opens:%H:%M}-{closes:%H:%M}"

    async def course(stage: Stage) -> None:
        await stage.owned()
        stage.trouble(Rule(fault="code-301-inside", flow=FLOW))
        stage.publish(FLOW, 500)
        await asyncio.sleep(3_600)
        assert stage.outcomes(stage.of(FLOW)) == {}
        stage.crash()
        await asyncio.sleep(16 * 3_600)
        assert stage.outcomes(stage.of(FLOW)) == {}
        stage.trouble()
        await stage.all_ended(stage.of(FLOW), 3 * 3_600)

    stage = play(
        course,
        settings={
            "retry": {"park_max_seconds": PARK_MAX_SECONDS},
            "flows": {FLOW: {"calling_hours": hours}},
        },
    )
    assert stage.outcomes(stage.of(FLOW)) == {"accepted": 500}


def test_the_age_of_what_is_parked_is_known_to_a_successor_too() -> None:
    """The operator would hear of a customer who waits for a day only when he ends exhausted."""

    def age_seconds(stage: Stage) -> float:
        state = stage.state
        assert state is not None
        return (state.now_ms() - state.parked.oldest_ms) / 1000

    async def course(stage: Stage) -> None:
        await stage.owned()
        stage.trouble(Rule(fault="code-301-inside", flow=FLOW))
        stage.publish(FLOW, 100)
        await asyncio.sleep(600)
        # Younger ones do not hide it.
        stage.publish(FLOW, 100)
        await asyncio.sleep(600)
        assert age_seconds(stage) == pytest.approx(1_200, abs=5)
        stage.crash(down_seconds=60)
        await asyncio.sleep(600)
        assert age_seconds(stage) == pytest.approx(1_800, abs=5)
        stage.trouble()
        await stage.all_ended(stage.of(FLOW), 1_200)
        stage.trouble(Rule(fault="code-301-inside", flow=FLOW))
        stage.publish(FLOW, 100)
        await asyncio.sleep(300)
        assert age_seconds(stage) == pytest.approx(300, abs=5)

    play(course)


def test_a_great_backlog_of_a_held_flow_is_parked_in_little_memory() -> None:
    """A million calls of one broken flow would fill the process, or the checkpoint."""
    window = 10_000
    events = 100_000
    most: dict[str, int] = {"events": 0, "parked": 0, "outbox": 0, "checkpoint": 0}

    async def watch(stage: Stage) -> None:
        while True:
            state = stage.state
            if state is not None:
                found = {
                    "events": state.memory.events,
                    "parked": len(state.parked.held),
                    "outbox": state.outbox.bytes,
                    "checkpoint": state.checkpoint_bytes,
                }
                most.update({name: max(most[name], number) for name, number in found.items()})
            await asyncio.sleep(0.05)

    async def course(stage: Stage) -> None:
        watching = asyncio.create_task(watch(stage))
        await stage.owned()
        stage.trouble(Rule(fault="code-301-inside", flow=FLOW))
        stage.publish(FLOW, events)
        await stage.until(lambda: stage.held(FLOW))
        other = stage.publish(OTHER, 1_000)
        await stage.all_ended(other, 120)
        await asyncio.sleep(150)
        state = stage.state
        assert state is not None
        assert state.parked.waiting > events - 10
        stage.trouble()
        await stage.all_ended(stage.of(FLOW), 1_200)
        assert not watching.done()
        watching.cancel()
        # What is done is deleted: the topic keeps everything else for ever.
        await asyncio.sleep(70)
        [log] = [log for (topic, _), log in stage.kafka.logs.items() if topic == "calls.parked"]
        assert log.first > events
        assert len(log.records) <= 1_000

    stage = play(course, settings={"events": {"window_events_max": window}})
    assert stage.outcomes(stage.of(FLOW)) == {"accepted": events}
    assert most["events"] <= window
    assert most["parked"] <= window // 4
    assert most["outbox"] <= OUTBOX_BYTES_MAX + 500 * FETCH_RECORDS_MAX
    assert most["checkpoint"] <= 50_000
