"""The limit of lanes that share one window, over minutes of virtual time."""

from __future__ import annotations

import pytest

from tests.simulation.limit import Course, LimitWorld
from tests.simulation.runs import simulate

SEEDS = 120
SEEDS_PER_TEST = 30
WORLDS = 20


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_PER_TEST))
def test_no_minute_is_above_the_limit_whatever_befalls_redis(first: int) -> None:
    """Lanes that do not know of each other would together exceed what the account pays for."""
    for seed in range(first, first + SEEDS_PER_TEST):
        world = LimitWorld(seed)
        world.run()
        assert not world.violations, (seed, world.course, world.violations[:3])


def test_a_busy_lane_uses_what_idle_lanes_leave() -> None:
    """Even shares would leave half of a paid limit unused while one lane has a backlog."""
    world = plain(busy=frozenset({0}))
    assert used_ratio(world) >= 0.98


def test_busy_lanes_share_evenly() -> None:
    """A lane that comes late, or has larger batches, would wait behind the others for ever."""
    world = plain(busy=frozenset({0, 1, 2}))
    assert used_ratio(world) >= 0.98
    for lane in range(3):
        mine = sum(calls for at, who, calls in world.arrivals if who == lane and at > 300)
        assert mine >= 0.28 * sum(calls for at, _, calls in world.arrivals if at > 300)


def test_a_changed_limit_holds_for_all_lanes_together() -> None:
    """A provider that asks to slow down would go on being called at the old pace."""
    world = LimitWorld(1, course(frozenset({0, 1})))
    world.loop.after(300.0, world.set_limit, 15_000)
    world.run()
    assert not world.violations
    later = sum(calls for at, _, calls in world.arrivals if at > 420)
    assert 0.97 * 15_000 * 3 <= later <= 15_000 * 3


@pytest.mark.parametrize("first", range(0, WORLDS, 10))
def test_every_promise_is_kept_when_lanes_share_one_window(first: int) -> None:
    """Waiting for Redis must neither lose a call nor end one twice."""
    failures = {seed: simulate(seed, redis=True).violations for seed in range(first, first + 10)}
    assert not {seed: found for seed, found in failures.items() if found}


def plain(busy: frozenset[int]) -> LimitWorld:
    """The bulk limit with full batches, quick answers, and no faults."""
    world = LimitWorld(1, course(busy))
    world.run()
    assert not world.violations
    return world


def course(busy: frozenset[int]) -> Course:
    """Of three lanes these are busy."""
    return Course(
        3, 500, 30_000, 5.0, faults=False, answer_seconds_max=0.1, busy=busy, seconds=600.0
    )


def used_ratio(world: LimitWorld) -> float:
    """Of the limit, after everything has settled."""
    return sum(calls for at, _, calls in world.arrivals if at > 300) / (world.course.limit * 5)
