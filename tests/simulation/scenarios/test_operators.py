"""Operators' commands to a running lane: obeyed within seconds, across takeovers, and once."""

from __future__ import annotations

import asyncio

import pytest

from service.core.control import EVERY_ACCOUNT, CallsCancelled, HoldReleased, HoldSet, LimitSet
from service.twin.faults import Rule
from tests.simulation.scenarios.stage import Stage, play

FLOW, OTHER = "Flow0001", "Flow0002"
OBEYED_SECONDS = 1.0
"""From the record to the last POST that it forbids; a POST under way is not recalled."""


def said(number: int) -> dict[str, str]:
    """What every command has."""
    return {
        "id": f"command-{number}",
        "at": "2030-03-17T12:30:00+05:30",
        "who": "operator",
        "reason": "wrong text",
    }


def ends(stage: Stage) -> dict[int, int]:
    """All that is published by now."""
    logs = stage.kafka.logs
    return {tp: log.end for (topic, tp), log in logs.items() if topic == stage.requests}


@pytest.mark.parametrize("takeover", [False, True])
def test_a_flow_that_an_operator_holds_is_silent_until_it_is_released(takeover: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A wrong campaign at 3 a.m. would go on for minutes, or half of it be lost by stopping it."""
    held = released = 0.0

    async def course(stage: Stage) -> None:
        nonlocal held, released
        stage.publish(FLOW, 10_000)
        stage.publish(OTHER, 30_000)
        await asyncio.sleep(10)
        held = stage.loop.now
        stage.command(HoldSet(**said(1), scope="flow", name=FLOW))
        await asyncio.sleep(20)
        if takeover:
            stage.crash()
        stage.publish(FLOW, 100)
        await asyncio.sleep(100)
        assert stage.held(FLOW)
        released = stage.loop.now
        stage.command(HoldReleased(**said(2), scope="flow", name=FLOW))
        await stage.all_ended(stage.of(FLOW), 120)

    stage = play(course)
    assert stage.outcomes(stage.flow_of) == {"accepted": len(stage.flow_of)}
    assert stage.seen(FLOW, until=held)
    assert not stage.seen(FLOW, since=held + OBEYED_SECONDS, until=released)
    # Its neighbours have the whole limit meanwhile.
    others = stage.seen(OTHER, since=held + 5, until=held + 20)
    assert sum(one.calls for one in others) >= 0.9 * 15 * 500


def test_every_account_is_held_and_released_at_once() -> None:
    """The big red button would leave somebody's calls running, or not come out again."""
    held = released = 0.0

    async def course(stage: Stage) -> None:
        nonlocal held, released
        stage.publish(FLOW, 20_000)
        stage.publish(OTHER, 20_000)
        await asyncio.sleep(10)
        held = stage.loop.now
        stage.command(HoldSet(**said(1), scope="account", name=EVERY_ACCOUNT))
        await asyncio.sleep(300)
        released = stage.loop.now
        stage.command(HoldReleased(**said(2), scope="account", name=EVERY_ACCOUNT))
        await stage.all_ended(list(stage.flow_of), 180)

    stage = play(course)
    assert stage.outcomes(stage.flow_of) == {"accepted": 40_000}
    assert not stage.seen(since=held + OBEYED_SECONDS, until=released)
    soon = stage.seen(since=released + 5, until=released + 15)
    assert sum(one.calls for one in soon) >= 0.9 * 10 * 500


@pytest.mark.parametrize("takeover", [False, True])
def test_what_was_not_sent_is_cancelled_wherever_it_waits(takeover: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Cancelled calls would be placed when a hold ends, or new ones of the flow with them."""
    cancelled = 0.0

    async def course(stage: Stage) -> None:
        nonlocal cancelled
        await stage.owned()
        # In doubt: a request that may have been worked on.
        stage.trouble(
            Rule(fault="cut-after", flow=FLOW, times=1), Rule(fault="cut-before", flow=FLOW)
        )
        doubtful = stage.publish(FLOW, 3)
        await asyncio.sleep(10)
        # Parked, and one at hand.
        stage.command(HoldSet(**said(1), scope="flow", name=FLOW))
        await asyncio.sleep(1)
        parked = stage.publish(FLOW, 1_000)
        await asyncio.sleep(10)
        stage.command(HoldReleased(**said(2), scope="flow", name=FLOW))
        # Sealed, or in the batcher: the limit is busy with others.
        stage.publish(OTHER, 3_000)
        fresh = stage.publish(FLOW, 1_000)
        cancelled = stage.loop.now
        stage.command(CallsCancelled(**said(3), flow_id=FLOW, ends=ends(stage)))
        later = stage.publish(FLOW, 10)
        if takeover:
            await asyncio.sleep(0.05)
            stage.crash()
        await stage.until(lambda: stage.state is not None and stage.state.control_at == 3)
        stage.trouble()
        await stage.all_ended(list(stage.flow_of), 400)
        assert stage.outcomes(doubtful) == {"unconfirmed": 3}
        assert stage.outcomes([*parked, *fresh]) == {"cancelled": 2_000}
        assert stage.outcomes(later) == {"accepted": 10}
        await asyncio.sleep(30)
        # It is over when everything has passed it.
        assert stage.state is not None
        assert not stage.state.cancels

    stage = play(course)
    after = [one for one in stage.seen(FLOW, since=cancelled + OBEYED_SECONDS) if one.accepted]
    assert sum(one.calls for one in after) == 10


def test_a_cancel_is_kept_for_calls_that_are_parked_for_hours() -> None:
    """A cancel that is forgotten too soon would let parked calls go after all."""

    async def course(stage: Stage) -> None:
        await stage.owned()
        stage.trouble(Rule(fault="code-301-inside", flow=FLOW))
        stage.publish(FLOW, 2_000)
        await asyncio.sleep(600)
        stage.command(CallsCancelled(**said(1), flow_id=FLOW, ends=ends(stage)))
        await asyncio.sleep(0.2)
        stage.crash()
        await asyncio.sleep(5)
        stage.crash()
        await asyncio.sleep(5)
        stage.trouble()
        later = stage.publish(FLOW, 10)
        await stage.all_ended(later, 1_200)
        await stage.all_ended(stage.of(FLOW), 300)
        assert stage.outcomes(later) == {"accepted": 10}

    stage = play(course)
    found = stage.outcomes(stage.of(FLOW))
    assert found.pop("unconfirmed", 0) <= 2
    assert found == {"accepted": 10, "cancelled": found["cancelled"]}
    assert found["cancelled"] >= 1_998


@pytest.mark.parametrize("takeover", [False, True])
def test_another_limit_is_obeyed_and_taken_back(takeover: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A provider that asks for less would be overrun until the next deployment."""
    marks: list[float] = []

    async def course(stage: Stage) -> None:
        stage.publish(FLOW, 60_000)
        await asyncio.sleep(30)
        stage.command(LimitSet(**said(1), calls_per_minute=6_000))
        if takeover:
            await asyncio.sleep(0.5)
            stage.crash()
        await asyncio.sleep(120)
        marks.append(stage.loop.now)
        await asyncio.sleep(60)
        marks.append(stage.loop.now)
        stage.command(LimitSet(**said(2), calls_per_minute=None))
        await asyncio.sleep(30)
        marks.append(stage.loop.now)
        await stage.all_ended(stage.of(FLOW), 180)

    stage = play(course)
    lowered, reset, soon = marks
    low = sum(one.calls for one in stage.seen(since=lowered, until=reset))
    assert 0.9 * 6_000 <= low <= 6_000
    assert sum(one.calls for one in stage.seen(since=reset, until=soon)) >= 0.8 * 30 * 500
    assert stage.outcomes(stage.of(FLOW)) == {"accepted": 60_000}
