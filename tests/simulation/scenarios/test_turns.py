"""How many turns a backlog takes: each costs as much as its batches."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from service.pipeline.outbox import Outbox
from service.pipeline.turns import GATHER_SECONDS, TurnHooks, Turns
from tests.simulation.loop import VirtualLoop
from tests.simulation.scenarios.stage import Stage, play

FLOWS = 600
QUICK = {"latency-ms-min": 5, "latency-ms-max": 5}
UNLIMITED = {"provider": {"calls_per_minute": 10_000_000}}


def test_a_turn_seals_what_will_have_a_slot_when_it_is_committed() -> None:
    """With small batches every second turn would carry one, and turns would be half of the cost."""
    turns = requests = 0

    async def course(stage: Stage) -> None:
        nonlocal turns, requests
        await stage.all_ended(stage.publish("Flow0000"))
        assert stage.state is not None
        turns, requests = -stage.state.turn, -len(stage.requests_seen)
        for number in range(FLOWS):
            stage.publish(f"Flow{number:04d}", 2)
        await stage.all_ended(list(stage.flow_of))
        turns, requests = turns + stage.state.turn, requests + len(stage.requests_seen)

    play(course, switches=QUICK, settings=UNLIMITED)
    assert requests == FLOWS
    assert turns < FLOWS / 6


class _Noted(Turns):
    """Notes when it would commit, and commits nothing."""

    def begin(self, state: Any) -> None:
        self.lane, self.began = state, list[float]()

    async def commit(self, *_: Any, **__: Any) -> int:
        self.began.append(asyncio.get_running_loop().time())
        self.lane.outbox = Outbox()
        return 0


@pytest.mark.parametrize(
    ("supplied", "needed_after", "waited"),
    [
        (False, None, 0.0),
        (True, None, GATHER_SECONDS),
        (True, 0.01, 0.01),
    ],
)
def test_a_turn_waits_for_more_while_the_flights_need_none(
    *, supplied: bool, needed_after: float | None, waited: float
) -> None:
    """Else each answer has a turn of its own, which costs more than the answer."""
    kafka = SimpleNamespace(session_timeout_seconds=10.0)
    state: Any = SimpleNamespace(settings=SimpleNamespace(kafka=kafka), outbox=Outbox())
    unused: Any = None

    async def main() -> list[float]:
        hooks = TurnHooks(list, lambda: None, unused, unused, lambda: supplied)
        turns = _Noted(state, unused, unused, "owner", unused, None, hooks)
        turns.begin(state)
        # What was rung before the wait says nothing of it.
        turns.needed.ring()
        state.outbox.wanted = True
        loop = asyncio.get_running_loop()
        started = loop.time()
        if needed_after is not None:
            loop.call_later(needed_after, turns.needed.ring)
        running = asyncio.ensure_future(turns.run())
        await asyncio.sleep(10 * GATHER_SECONDS)
        turns.stop()
        await running
        return [at - started for at in turns.began]

    loop = VirtualLoop()  # type: ignore[abstract]
    assert loop.run(main()) == [pytest.approx(waited, abs=1e-4)]
