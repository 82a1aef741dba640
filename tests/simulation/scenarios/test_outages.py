"""A wrong URL, or an account that is shut, amid a full backlog."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from service.core.holds import PROBE_SECONDS
from service.twin.faults import Rule
from tests.simulation.scenarios.stage import Stage, play

FLOWS = [f"Flow{number:04d}" for number in range(8)]
TROUBLE_SECONDS = 600.0
LIMIT_PER_SECOND = 500.0


async def scene(stage: Stage, fault: str, backlog: int) -> tuple[float, float, float]:
    """Ten minutes of trouble amid a backlog; when they began, ended, and the hold was over."""
    for flow_id in FLOWS:
        stage.publish(flow_id, backlog)
    await asyncio.sleep(15)
    began = stage.loop.now
    stage.trouble(Rule(fault=fault))
    await asyncio.sleep(TROUBLE_SECONDS)
    stage.trouble()
    ended = stage.loop.now
    await stage.until(lambda: not stage.held("default"), 1_000)
    over = stage.loop.now
    await stage.all_ended(list(stage.flow_of), 600)
    return began, ended, over


@pytest.mark.parametrize("fault", ["http-404-before", "http-404-after", "redirect-before"])
def test_a_wrong_url_costs_nothing_but_time(fault: str) -> None:
    """A mistyped URL would burn a campaign into dead letters within seconds."""
    times = (0.0, 0.0, 0.0)

    async def course(stage: Stage) -> None:
        nonlocal times
        times = await scene(stage, fault, 4_000)

    # A whole batch without a clear end trips the flood breaker, which waits for an operator.
    stage = play(course, settings={"dead_letters": {"flood_share": 1.0}})
    began, ended, _ = times
    found = stage.outcomes(stage.flow_of)
    in_doubt = {one.sha256: one.calls for one in stage.seen(since=began, until=ended)}
    if fault.endswith("before"):
        assert found == {"accepted": len(stage.flow_of)}
    else:
        # They were placed, but a 201 after a 404 may mean anything.
        assert found["accepted"] + found["unconfirmed"] == len(stage.flow_of)
        assert found["unconfirmed"] <= sum(in_doubt.values())
    assert sum(in_doubt.values()) <= 2 * 500 + len(in_doubt)


@pytest.mark.parametrize("fault", ["code-401-inside", "http-403-before", "code-212-inside"])
def test_an_account_that_is_shut_keeps_its_backlog(fault: str) -> None:
    """An address that fell off the allow-list would cost a campaign, or hammer the provider."""
    times = (0.0, 0.0, 0.0)

    async def course(stage: Stage) -> None:
        nonlocal times
        times = await scene(stage, fault, 8_000)

    stage = play(course)
    began, ended, over = times
    assert stage.outcomes(stage.flow_of) == {"accepted": len(stage.flow_of)}
    canaries = stage.seen(since=began + 2, until=ended)
    assert {one.calls for one in canaries} == {1}
    assert len({one.flow_id for one in canaries}) == min(len(canaries), len(FLOWS))
    gaps = [later.second - earlier.second for earlier, later in pairwise(canaries)]
    assert min(gaps) >= 2 * PROBE_SECONDS - 0.2
    assert all(later >= 1.9 * earlier for earlier, later in pairwise(gaps))
    taken = [one for one in stage.seen(since=over + 5, until=over + 25) if one.accepted]
    assert sum(one.calls for one in taken) >= 0.9 * 20 * LIMIT_PER_SECOND


def test_a_short_outage_costs_no_more_than_the_first_probes_wait() -> None:
    """Requests under way when a hold begins are no canaries that failed.

    Each would double the wait for the first: an outage of four seconds would cost a minute.
    """
    waited = 0.0

    async def course(stage: Stage) -> None:
        nonlocal waited
        stage.publish(FLOWS[0])
        await stage.all_ended(list(stage.flow_of))
        stage.trouble(Rule(fault="http-503-before"), latency_ms_min=500, latency_ms_max=1500)
        for flow_id in FLOWS:
            stage.publish(flow_id)
        await stage.until(lambda: stage.held("default"))
        began, before = stage.loop.now, len(stage.requests_seen)
        await asyncio.sleep(PROBE_SECONDS / 2)
        assert len(stage.requests_seen) == before, "the rest was under way"
        stage.trouble()
        await stage.until(lambda: not stage.held("default"))
        waited = stage.loop.now - began
        await stage.all_ended(list(stage.flow_of))

    stage = play(course)
    assert stage.outcomes(stage.flow_of) == {"accepted": len(stage.flow_of)}
    assert waited < PROBE_SECONDS + 1
