"""The drill in short. `make replay-drill` is the whole of it, and takes its time."""

from __future__ import annotations

import pytest

from service.demo.stage import Stage
from tests.replay_drill.drill import PLANNED_OF_HUNDRED, Course, Drill

EVENTS = 1_000


@pytest.mark.timeout(300)
async def test_a_night_of_dead_letters_is_sent_again_once(kafka: str) -> None:
    """Killed twice in the middle, beside live traffic: nobody is phoned twice or forgotten."""
    async with Stage("replay-drill") as stage:
        stage.bootstrap = kafka
        course = Course(EVENTS, rate=100, warm_seconds=1, baseline_seconds=3)
        figures = await Drill(stage, course, lambda _: None).run()
    assert figures.safe, figures
    assert figures.planned == EVENTS * PLANNED_OF_HUNDRED // 100
