"""Fairness in short, on real processes. `make fairness` is all, in seconds."""

from __future__ import annotations

import pytest

from tests.limit.fairness import one, play

WINDOW, MANY, LIMIT = 4_000, 9_000, 30_000
"""The window holds half of what lies ahead, which takes eighteen seconds by the limit alone."""


@pytest.mark.timeout(480)
async def test_a_few_calls_do_not_wait_for_the_many_before_them(kafka: str) -> None:
    """Ten calls of a small customer would go out when the large one's campaign is over."""
    scene = one(WINDOW, MANY, LIMIT)
    waits = await play(scene, kafka)
    assert {name: len(each) for name, each in waits.items()} == {
        flow.name: flow.calls for flow in scene.flows
    }
    many, few = (waits[flow.name] for flow in scene.flows)
    assert few[-1] < 0.75 * many[-1]
