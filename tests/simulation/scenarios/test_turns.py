"""How many turns a backlog takes: each costs as much as its batches."""

from __future__ import annotations

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
