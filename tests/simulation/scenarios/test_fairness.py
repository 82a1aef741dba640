"""A few calls behind very many of another flow, in the same partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from service.pipeline.outbox import OUTBOX_BYTES_MAX, OUTBOX_RECORDS_MAX
from service.pipeline.reading import FETCH_RECORDS_MAX
from tests.simulation.log import Transaction
from tests.simulation.scenarios.stage import Stage, play

pytestmark = pytest.mark.timeout(400)

MANY, FEW = "Flow0000", "Flow0001"
CALLS_PER_BATCH = 500
EVENTS_LARGE = 8_000
FAST = {"calls_per_minute": 3_000_000}
LONG = "x" * 2_000
"""An identifier that makes an event of two kilobytes: with such the window is full by bytes."""


def watched(stage: Stage, see: Callable[[Transaction], None]) -> None:
    """Have every committed transaction looked at."""
    judge = stage.kafka.committed

    def committed(transaction: Transaction) -> None:
        see(transaction)
        judge(transaction)

    stage.kafka.committed = committed


async def proven(stage: Stage) -> None:
    """Wait until the account is known to be good."""
    await stage.owned()
    await stage.all_ended(stage.publish(FEW))


def test_a_flow_moves_out_of_the_window_in_small_turns() -> None:
    """A turn of a whole window takes seconds, and meanwhile nothing of anybody would be sent."""
    largest = 0

    def see(transaction: Transaction) -> None:
        nonlocal largest
        moved = [one for one in transaction.records if one.topic == "calls.overflow"]
        largest = max(largest, len(moved))

    async def course(stage: Stage) -> None:
        watched(stage, see)
        await proven(stage)
        stage.publish(MANY, 40_000)
        few = stage.publish(FEW, 10)
        await stage.all_ended(few, 20)
        await stage.all_ended(stage.of(MANY), 200)

    settings = {"events": {"window_events_max": 20_000}, "provider": FAST}
    stage = play(course, settings=settings, switches={"calls-per-minute": 3_000_000})
    assert stage.outcomes(stage.of(MANY)) == {"accepted": 40_000}
    assert 0 < largest <= OUTBOX_RECORDS_MAX + FETCH_RECORDS_MAX + CALLS_PER_BATCH


def test_large_events_of_a_flow_do_not_keep_small_ones_from_being_read() -> None:
    """A window that is full by bytes holds far fewer events than the setting counts."""
    held = moved = 0
    window_bytes = 4 * 1024 * 1024

    def see(transaction: Transaction) -> None:
        nonlocal moved
        moved += sum(one.topic == "calls.overflow" for one in transaction.records)

    async def watch(stage: Stage) -> None:
        nonlocal held
        while True:
            held = max(held, stage.state.memory.bytes if stage.state else 0)
            await asyncio.sleep(0.01)

    async def course(stage: Stage) -> None:
        watching = asyncio.create_task(watch(stage))
        watched(stage, see)
        await proven(stage)
        many = stage.publish(MANY, EVENTS_LARGE, name=LONG)
        few = stage.publish(FEW, 10)
        await stage.all_ended(few, 10)
        assert stage.outcomes(many).get("accepted", 0) < len(many) / 2
        await stage.all_ended(many, 300)
        assert not watching.done()
        watching.cancel()

    settings = {
        "events": {"window_bytes_max": window_bytes, "window_events_max": 10_000},
        "provider": {"calls_per_minute": 12_000},
    }
    stage = play(course, settings=settings)
    assert stage.outcomes(stage.of(MANY)) == {"accepted": EVENTS_LARGE}
    assert held <= 1.25 * window_bytes + FETCH_RECORDS_MAX * 1.1 * len(LONG) + OUTBOX_BYTES_MAX / 8
    # What came back must not be moved again and again.
    assert 0 < moved <= 2 * EVENTS_LARGE
