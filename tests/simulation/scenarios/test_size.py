"""A provider that takes fewer calls in a request than we were told."""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation.scenarios.stage import Stage, play

FLOW = "Flow0001"
TAKEN_MAX = 200


def refusals(stage: Stage, since: float = 0.0) -> int:
    """Requests that were too large."""
    return sum(one.code == 303 or one.status == 413 for one in stage.seen(since=since))


def test_a_smaller_bound_is_learned_and_kept_and_grows_back() -> None:
    """Each batch would be refused once for ever; or stay small for ever after a slip."""

    async def course(stage: Stage) -> None:
        stage.publish(FLOW, 10_000)
        await stage.all_ended(stage.of(FLOW))
        assert 1 <= refusals(stage) <= 6
        # A successor knows what was learned.
        taken_over = stage.loop.now
        stage.crash()
        await asyncio.sleep(2)
        stage.publish(FLOW, 5_000)
        await stage.all_ended(stage.of(FLOW))
        assert refusals(stage, taken_over) == 0
        # It grows back slowly: a refusal more in some hours.
        for _ in range(9):
            await asyncio.sleep(3_600)
            stage.publish(FLOW, 1_000)
        await stage.all_ended(stage.of(FLOW))
        assert 1 <= refusals(stage, taken_over) <= 6
        assert max(one.calls for one in stage.seen() if one.accepted) > 180

    async def small(stage: Stage) -> None:
        stage.trouble(calls_max=TAKEN_MAX)
        await course(stage)

    stage = play(small)
    assert stage.outcomes(stage.of(FLOW)) == {"accepted": len(stage.of(FLOW))}
    assert len(stage.requests_seen) < 200


@pytest.mark.parametrize("oversize", ["413", "303"])
def test_a_smaller_limit_of_bytes_is_lived_with(oversize: str) -> None:
    """Bodies that the provider finds too large would go round for ever."""

    async def course(stage: Stage) -> None:
        stage.publish(FLOW, 5_000)
        await stage.all_ended(stage.of(FLOW))

    stage = play(course, switches={"body-bytes-max": 25_000, "oversize": oversize})
    assert stage.outcomes(stage.of(FLOW)) == {"accepted": 5_000}
    assert 1 <= refusals(stage) <= 6


def test_one_call_that_is_too_large_ends_alone() -> None:
    """One huge call would have the requests of everybody cut to pieces."""

    async def course(stage: Stage) -> None:
        keys = [{"name": "$flow.key.Text", "value": "x" * 30_000}]
        stage.publish(FLOW, 100)
        large = stage.publish(FLOW, keys=keys)
        stage.publish(FLOW, 100)
        await stage.all_ended(stage.of(FLOW))
        assert stage.outcomes(large) == {"oversize": 1}

    stage = play(course, switches={"body-bytes-max": 29_000})
    assert stage.outcomes(stage.of(FLOW)) == {"accepted": 200, "oversize": 1}
