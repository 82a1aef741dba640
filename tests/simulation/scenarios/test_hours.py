"""Calling hours: nobody is phoned outside them, and nothing is lost by waiting."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from service.twin.faults import Rule
from tests.simulation.plan import NOON
from tests.simulation.scenarios.stage import Stage, play
from tests.simulation.upstream import INDIA

FLOW, OTHER = "Flow0001", "Flow0002"
HOUR = 3_600.0


def at(seconds: float) -> datetime:
    """A moment of the world, at the provider's place; it begins at 12:30."""
    return datetime.fromtimestamp(NOON + seconds, INDIA)


def settings(hours: str | list[str], **provider: object) -> dict[str, dict[str, object]]:
    """A flow that may be called only then."""
    return {"flows": {FLOW: {"calling_hours": hours}}, "provider": provider}


def test_calls_outside_their_hours_wait_until_the_window_opens() -> None:
    """People would be phoned at night; or a campaign of yesterday evening would be gone."""

    async def course(stage: Stage) -> None:
        await stage.owned()
        early = stage.publish(FLOW, 700)
        neighbours = stage.publish(OTHER, 100)
        await stage.all_ended(neighbours, 5)
        await asyncio.sleep(HOUR)
        stage.crash()
        await asyncio.sleep(0.4 * HOUR)
        assert stage.seen(FLOW) == []
        await stage.all_ended(early, 0.2 * HOUR)
        assert stage.ended_at[early[-1]] < 1.5 * HOUR + 30
        # The window closes on a backlog: what is left goes tomorrow.
        await asyncio.sleep(2 * HOUR - 20 - stage.loop.now)
        stage.publish(FLOW, 20_000)
        await asyncio.sleep(HOUR)
        assert 0 < stage.outcomes(stage.of(FLOW))["accepted"] < 20_000
        await stage.all_ended(stage.of(FLOW), 24 * HOUR)

    stage = play(course, settings=settings("14:00-14:30"))
    assert stage.outcomes(stage.flow_of) == {"accepted": len(stage.flow_of)}
    first_day = [one.second for one in stage.seen(FLOW, until=12 * HOUR)]
    assert 1.5 * HOUR <= min(first_day) < max(first_day) <= 2 * HOUR
    next_day = [one.second for one in stage.seen(FLOW, since=12 * HOUR)]
    assert 25.5 * HOUR <= min(next_day) < max(next_day) <= 26 * HOUR


def test_a_window_over_midnight_is_open_on_both_sides_of_it() -> None:
    """A flow for another part of the world would be silent for half of its hours."""

    async def course(stage: Stage) -> None:
        await stage.owned()
        for _ in range(20):
            stage.publish(FLOW, 10)
            await asyncio.sleep(HOUR)
        await stage.all_ended(stage.of(FLOW), 24 * HOUR)

    stage = play(course, settings=settings("22:00-02:00"))
    assert stage.outcomes(stage.of(FLOW)) == {"accepted": 200}
    hours = {at(one.second).hour for one in stage.seen(FLOW)}
    assert hours == {22, 23, 0, 1}


def test_a_later_start_time_is_held_to_the_hours_too() -> None:
    """The provider would phone somebody at three in the night, because an event said so."""

    async def course(stage: Stage) -> None:
        await stage.owned()
        good = stage.publish(FLOW, start_time=f"{at(2 * HOUR):%Y-%m-%dT%H:%M:%S+05:30}")
        bad = stage.publish(FLOW, start_time=f"{at(10 * HOUR):%Y-%m-%dT%H:%M:%S+05:30}")
        await stage.all_ended(good, 5)
        await asyncio.sleep(HOUR)
        assert stage.outcomes(bad) == {}
        await asyncio.sleep(20 * HOUR)
        # Its day is over when the window opens: it must not run at once, on another day.
        assert stage.outcomes(bad) == {"expired": 1}

    play(course, settings=settings("09:00-21:00"))


def test_a_call_that_expires_while_it_waits_for_its_hours_is_not_made() -> None:
    """An offer that has ended would be read out the next morning."""

    async def course(stage: Stage) -> None:
        await stage.owned()
        expiring = stage.publish(FLOW, 5, expires_at=f"{at(HOUR):%Y-%m-%dT%H:%M:%S+05:30}")
        lasting = stage.publish(FLOW, 5, expires_at=f"{at(3 * HOUR):%Y-%m-%dT%H:%M:%S+05:30}")
        await stage.all_ended([*expiring, *lasting], 2 * HOUR)
        assert stage.outcomes(expiring) == {"expired": 5}
        assert stage.outcomes(lasting) == {"accepted": 5}

    play(course, settings=settings("14:00-20:00"))


def test_a_batch_in_doubt_waits_for_its_hours_too() -> None:
    """A second try after closing time would phone people at night."""
    closes = 0.5 * HOUR

    async def course(stage: Stage) -> None:
        await stage.owned()
        stage.publish(OTHER, 10)
        await asyncio.sleep(closes - 10 - stage.loop.now)
        stage.trouble(Rule(fault="cut-before", flow=FLOW))
        doubtful = stage.publish(FLOW, 10)
        await asyncio.sleep(HOUR)
        stage.trouble()
        stage.crash()
        await asyncio.sleep(HOUR)
        assert stage.outcomes(doubtful) == {}
        await stage.all_ended(doubtful, 24 * HOUR)
        assert stage.outcomes(doubtful) == {"accepted": 10}

    hours = f"10:00-{at(closes):%H:%M}"
    stage = play(
        course, settings=settings(hours, timeout_seconds=2, checksum_memory_seconds=90_000)
    )
    night = timedelta(hours=21).total_seconds()
    assert stage.seen(FLOW, until=closes)
    assert not stage.seen(FLOW, since=closes + 0.2, until=night)
