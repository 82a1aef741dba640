"""The draw of the chaos runs: a seed says what happens, and nothing useless is drawn."""

from __future__ import annotations

from tests.chaos.faults import KINDS, PROVIDER_SECONDS, SESSION_SECONDS, draw

PLANS = [draw(seed, number, 3) for seed in range(20) for number in range(1, 21)]
FAULTS = [fault for plan in PLANS for fault in plan.faults]


def test_a_seed_draws_the_same_faults_again() -> None:
    """Else a failure that was printed could not be played again."""
    assert [draw(seed, number, 3) for seed in range(20) for number in range(1, 21)] == PLANS


def test_every_kind_of_fault_is_drawn() -> None:
    """Else a fault would be promised to be tried that never is."""
    assert {fault.kind for fault in FAULTS} == set(KINDS)


def test_of_three_brokers_each_round_kills_one_in_turns() -> None:
    """Else a cluster would be promised to bear the end of a broker that never ends."""
    for seed in range(20):
        plans = [draw(seed, number, 2, brokers=3) for number in range(1, 7)]
        ends = [[f.broker for f in plan.faults if f.kind == "broker"] for plan in plans]
        assert ends == [[1], [2], [3], [1], [2], [3]]


def test_a_frozen_replica_is_always_replaced() -> None:
    """Else no zombie would ever wake up to a successor."""
    frozen = [fault.seconds for fault in FAULTS if fault.kind == "freeze"]
    assert min(frozen) > SESSION_SECONDS


def test_what_arrives_late_arrives_within_the_senders_time() -> None:
    """Else a run would blame the dispatcher for a case that no program can prevent."""
    late = [f.seconds for f in FAULTS if f.kind == "stall-provider" and f.late]
    assert max(late) < PROVIDER_SECONDS
