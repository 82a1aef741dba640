"""A provider that asks for a rest, and a flow whose answers are slow."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import pairwise

import pytest

from service.twin.faults import Rule
from tests.simulation.plan import NOON
from tests.simulation.scenarios.stage import Stage, play

FLOW, OTHER = "Flow0001", "Flow0002"


def test_rests_grow_while_429_comes_without_a_time() -> None:
    """A provider that is overrun would be asked again and again at once."""
    began = ended = 0.0

    async def course(stage: Stage) -> None:
        nonlocal began, ended
        stage.publish(FLOW, 20_000)
        stage.publish(OTHER, 20_000)
        await asyncio.sleep(20)
        began = stage.loop.now
        stage.trouble(Rule(fault="http-429-before"))
        await asyncio.sleep(600)
        ended = stage.loop.now
        stage.trouble()
        await stage.all_ended(list(stage.flow_of), 300)

    stage = play(course)
    assert stage.outcomes(stage.flow_of) == {"accepted": 40_000}
    asked = stage.seen(since=began, until=ended)
    # Full jitter below a bound that doubles up to a minute: 6 to double, then 30 s on average.
    assert len(asked) <= 40
    gaps = [later.second - earlier.second for earlier, later in pairwise(asked)]
    assert max(gaps[:4]) < 10 < max(gaps[8:])
    assert max(gaps) <= 62


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20", 20),
        (format_datetime(datetime.fromtimestamp(NOON + 60, UTC), usegmt=True), 40),
        # Absurd: an hour is the most.
        ("99999999999", 3_600),
    ],
)
def test_nothing_is_sent_before_retry_after_is_over(text: str, seconds: float) -> None:
    """A provider that says when to come back would shut an account that comes earlier."""
    paused = 20.0

    async def course(stage: Stage) -> None:
        stage.publish(FLOW, 20_000)
        stage.publish(OTHER, 20_000)
        await asyncio.sleep(paused)
        stage.trouble(Rule(fault="http-429-before", times=1))
        await stage.all_ended(list(stage.flow_of), seconds + 300)

    stage = play(course, switches={"retry-after": text})
    assert stage.outcomes(stage.flow_of) == {"accepted": 40_000}
    [refused] = [one.second for one in stage.seen() if one.status == 429]
    end = refused + seconds if text.isdigit() else paused + seconds
    after = stage.seen(since=refused + 0.2)
    assert end <= after[0].second <= end + 2
    soon = stage.seen(since=end + 2, until=end + 22)
    assert sum(one.calls for one in soon) >= 0.9 * 20 * 500


def test_a_flow_with_slow_answers_takes_half_of_the_slots_at_most() -> None:
    """One slow flow would sit on every connection, and the others could not send."""
    slow_seconds = 20.0

    async def course(stage: Stage) -> None:
        await stage.owned()
        stage.trouble(Rule(flow=FLOW, delay_seconds=slow_seconds))
        # With nobody else it may have all of them.
        stage.publish(FLOW, 1_000)
        await asyncio.sleep(40)
        stage.publish(OTHER, 25_000)
        await asyncio.sleep(40)
        assert stage.outcomes(stage.of(FLOW)).get("accepted", 0) < 1_000
        stage.trouble()
        await stage.all_ended(list(stage.flow_of), 300)

    stage = play(course, settings={"provider": {"concurrency": 4}, "batching": {"calls_max": 50}})
    assert stage.outcomes(stage.flow_of) == {"accepted": 26_000}

    def in_flight(since: float, until: float) -> int:
        """The most requests of the slow flow that were answered late at one time."""
        seen = [one.second for one in stage.seen(FLOW, since=since, until=until)]
        return max(sum(at - slow_seconds < one <= at for one in seen) for at in seen)

    [first] = stage.seen(OTHER)[:1]
    assert in_flight(0, first.second) == 4
    assert in_flight(first.second, first.second + 35) == 2
    assert first.second - stage.published_at[stage.of(OTHER)[0]] < slow_seconds
    others = stage.seen(OTHER, since=first.second + 5, until=first.second + 35)
    assert sum(one.calls for one in others) >= 0.9 * 30 * 500
