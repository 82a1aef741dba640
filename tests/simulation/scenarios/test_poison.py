"""Calls that a provider refuses, among thousands that it takes."""

from __future__ import annotations

import pytest

from tests.simulation.scenarios.stage import Stage, play

FLOW = "Flow0001"
CALLS = 10_000
EXTRA_REQUESTS_MAX = 80
TOGETHER, APART = (0, 1, 2), (10, 4_321, 9_999)
"""Places of the bad calls among the others."""


@pytest.mark.parametrize("places", [TOGETHER, APART])
@pytest.mark.parametrize("code", [205, 402, 400, 210])
def test_three_bad_calls_in_ten_thousand_end_alone(code: int, places: tuple[int, ...]) -> None:
    """A bad number would drag the other 499 calls of its request down with it."""

    async def course(stage: Stage) -> None:
        for number in range(CALLS):
            stage.publish(FLOW, name="bad" if number in places else "c")
        await stage.all_ended(stage.of(FLOW), 600)

    stage = play(course, switches={"refused": [f"{code}:identifier-pattern=bad"]})
    assert stage.outcomes(stage.of(FLOW)) == {"accepted": CALLS - 3, "rejected": 3}
    assert len(stage.requests_seen) <= CALLS // 500 + EXTRA_REQUESTS_MAX
