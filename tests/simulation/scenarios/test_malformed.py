"""400 and 210, which name no call: a call's fault, or the flow's?"""

from __future__ import annotations

import asyncio

import pytest

from service.twin.faults import Rule
from tests.simulation.scenarios.stage import Stage, play

FLOW, OTHER = "Flow0001", "Flow0002"


@pytest.mark.parametrize("code", [400, 210])
def test_a_flow_that_refuses_everything_is_held_and_loses_nothing(code: int) -> None:
    """A field that a flow lacks would turn a whole campaign into dead letters."""

    async def course(stage: Stage) -> None:
        stage.trouble(Rule(fault=f"code-{code}-inside", flow=FLOW))
        stage.publish(FLOW, 3_000)
        stage.publish(OTHER, 1_000)
        await stage.until(lambda: stage.held(FLOW))
        await asyncio.sleep(900)
        assert stage.outcomes(stage.of(FLOW)) == {}
        assert stage.outcomes(stage.of(OTHER)) == {"accepted": 1_000}
        stage.trouble()
        await stage.all_ended(stage.of(FLOW), 1_200)

    stage = play(course)
    assert stage.outcomes(stage.of(FLOW)) == {"accepted": 3_000}


def test_a_lone_bad_call_is_rejected_once_another_of_its_flow_passes() -> None:
    """A bad call that is alone would hold its flow for ever, or die without a proof."""

    async def course(stage: Stage) -> None:
        [bad] = stage.publish(FLOW, name="bad")
        await stage.until(lambda: stage.held(FLOW))
        await asyncio.sleep(60)
        assert stage.outcomes([bad]) == {}
        good = stage.publish(FLOW)
        await stage.all_ended(good, 1_000)
        await stage.all_ended([bad], 10)
        assert stage.outcomes([bad]) == {"rejected": 1}
        assert not stage.held(FLOW)

    stage = play(course, switches={"refused": ["400:identifier-pattern=bad"]})
    assert stage.outcomes(stage.of(FLOW)) == {"accepted": 1, "rejected": 1}


@pytest.mark.parametrize("in_a_row", [1, 2, 4])
def test_a_flow_that_trickles_goes_on_soon_after_bad_calls(in_a_row: int) -> None:
    """A few bad calls one after the other would stop their flow, and exhaust all its good ones."""

    async def course(stage: Stage) -> None:
        for number in range(60):
            stage.publish(FLOW, name="bad" if number % 20 < in_a_row else "c")
            await asyncio.sleep(2)
        await stage.all_ended(stage.of(FLOW), 1_200)

    stage = play(course, switches={"refused": ["400:identifier-pattern=bad"]})
    bad = 3 * in_a_row
    assert stage.outcomes(stage.of(FLOW)) == {"accepted": 60 - bad, "rejected": bad}
