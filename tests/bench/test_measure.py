"""What the bench compares: contenders that do the same work."""

from __future__ import annotations

import pytest

from bench.contenders import CONTENDERS, DISPATCHER, FLOOR
from bench.measure import Plan, measure
from service.demo.stage import Stage


@pytest.mark.parametrize("name", [DISPATCHER, FLOOR])
async def test_each_event_has_one_result(kafka: str, name: str) -> None:
    """A contender that leaves work out would look cheaper than it is."""
    async with Stage("bench") as stage:
        stage.bootstrap = kafka
        await stage.start_kafka()
        measured = await measure(stage, CONTENDERS[name], Plan(4, (1_000, 4_000)))
    assert measured.complete
    assert measured.peak_rss_mb > 0
