"""A sample of seeds with every test run; `make simulate` runs as many as one likes."""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation.__main__ import describe
from tests.simulation.loop import VirtualLoop
from tests.simulation.runs import simulate

SEEDS = 240
SEEDS_PER_TEST = 30


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_PER_TEST))
def test_every_promise_is_kept_in_every_world(first: int) -> None:
    """A failing seed is a call lost, placed twice or told wrong; the text says how to replay it."""
    failures = [
        line
        for seed in range(first, first + SEEDS_PER_TEST)
        if (report := simulate(seed)).violations
        for line in describe(report)
    ]
    assert not failures, "\n".join(failures)


def test_a_takeover_of_a_takeover_knows_what_was_sent() -> None:
    """An owner fenced before its second turn had left a checkpoint that told of no sends."""
    assert not simulate(8000119).violations


@pytest.mark.parametrize("seed", [8, 9, 18, 37])
def test_a_seed_is_the_same_world_twice(seed: int) -> None:
    """A failure that cannot be replayed cannot be understood."""
    first, second = simulate(seed, verbose=True), simulate(seed, verbose=True)
    assert first.trace == second.trace
    assert first.digest == second.digest
    assert first.trace


def test_virtual_time_passes_only_as_it_is_waited_for() -> None:
    """A loop that is late or early would test other timings than those that are drawn."""
    loop = VirtualLoop()  # type: ignore[abstract]  # the rest is IO

    async def nap() -> tuple[float, float]:
        before = loop.time()
        await asyncio.gather(asyncio.sleep(30), asyncio.sleep(3600))
        return before, loop.time()

    before, after = loop.run(nap())
    assert after - before == pytest.approx(3600, abs=0.001)
