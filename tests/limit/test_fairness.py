"""Fairness in short, on real processes. `make fairness` is all, in seconds."""

from __future__ import annotations

import statistics

import pytest

from tests.limit.fairness import mixed, play, small_flow_wait_seconds_max

WINDOW, MANY, LIMIT = 4_000, 9_000, 60_000
"""The window holds half of what lies ahead, which takes nine seconds by the limit alone."""


@pytest.mark.timeout(300)
async def test_a_few_calls_do_not_wait_for_the_many_before_them(kafka: str) -> None:
    """Ten calls of a small customer would go out when the large one's campaign is over."""
    scene = mixed(WINDOW, MANY, LIMIT)
    waits = await play(scene, kafka)
    assert {flow.name: len(waits[flow.name]) for flow in scene.flows} == {
        flow.name: flow.calls for flow in scene.flows
    }
    many = [wait for flow in scene.flows if flow.many for wait in waits[flow.name]]
    assert small_flow_wait_seconds_max({scene: waits}) < statistics.median(many)
