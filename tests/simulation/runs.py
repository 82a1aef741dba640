"""Runs seeds, one or many over several processes. Knows nothing of what a world does."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterator, Sequence

from tests.simulation.plan import draw, share_limit
from tests.simulation.report import Report
from tests.simulation.world import SimWorld

SEEDS_PER_TASK = 10
GARBAGE_MIN = 50_000
"""Objects that may come before they are searched for garbage: a few dozen MB."""


def simulate(seed: int, *, verbose: bool = False, redis: bool = False) -> Report:
    """The world of one seed; with `redis` its lanes share one window."""
    plan = draw(seed)
    if redis:
        share_limit(plan)
    return SimWorld(plan, verbose=verbose).run()


def run_seeds(seeds: Sequence[int], jobs: int) -> Iterator[Report]:
    """A report of each seed, in their order, over `jobs` processes."""
    if jobs == 1:
        _settle_down()
        yield from map(simulate, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, _settle_down) as pool:
        yield from pool.imap(simulate, seeds, SEEDS_PER_TASK)


def _settle_down() -> None:
    """The garbage of worlds is plenty; the modules that live on need not be searched for it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_MIN)
