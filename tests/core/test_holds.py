"""Holds: who is stopped, and when a canary may go."""

from __future__ import annotations

import msgspec
import pytest

from service.core.holds import (
    EVERY_ACCOUNT,
    PROBE_SECONDS,
    PROBE_SECONDS_MAX,
    Holds,
    HoldState,
)

ACCOUNT = HoldState("account", "default", "401: ask for the address to be added", 1000, 401)
FLOW = HoldState("flow", "AbCd1234", "301: check the flow", 2000, 301)


def test_a_flows_hold_leaves_its_neighbours_alone() -> None:
    """One broken flow must not stop another."""
    holds = Holds((), 0.0)
    assert holds.set(FLOW, 0.0)
    assert holds.holds("AbCd1234", "default")
    assert not holds.holds("Other123", "default")


def test_an_accounts_hold_stops_all_its_flows_and_no_others() -> None:
    """A dead account must not burn its backlog, nor another account's."""
    holds = Holds((), 0.0)
    holds.set(ACCOUNT, 0.0)
    assert holds.holds("AbCd1234", "default")
    assert not holds.holds("AbCd1234", "0badc0de")


def test_canaries_go_at_growing_intervals() -> None:
    """A dead account must cost a few requests an hour, not thousands."""
    holds, now, waits = Holds((), 0.0), 0.0, []
    for _ in range(10):
        holds.set(ACCOUNT, now, canary=True)
        waits.append(holds.probe_at("AbCd1234", "default") - now)
        now = holds.probe_at("AbCd1234", "default")
    assert waits[:3] == [PROBE_SECONDS, 2 * PROBE_SECONDS, 4 * PROBE_SECONDS]
    assert waits[-1] == PROBE_SECONDS_MAX
    assert holds.states()[0].since_ms == 1000
    assert holds.states()[0].probes == 9


def test_a_canary_without_a_clear_answer_is_followed_by_a_longer_wait() -> None:
    """A provider that only times out must not be probed at the pace of its time limit."""
    holds = Holds([FLOW], 0.0)
    holds.canary_failed("AbCd1234", "default", 10.0)
    assert holds.probe_at("AbCd1234", "default") == 10.0 + 2 * PROBE_SECONDS
    holds.canary_failed("Other123", "default", 10.0)
    assert holds.states()[0].probes == 1


def test_what_was_under_way_when_a_hold_began_is_no_canary() -> None:
    """Each of thirty requests under way would double the wait for the first canary."""
    holds = Holds((), 0.0)
    holds.set(ACCOUNT, 0.0)
    assert not holds.set(msgspec.structs.replace(ACCOUNT, reason="403"), 1.0)
    assert holds.probe_at("AbCd1234", "default") == PROBE_SECONDS
    assert [(state.reason, state.probes) for state in holds.states()] == [("403", 0)]


def test_doubtful_and_fresh_canaries_take_turns() -> None:
    """A doubtful batch that never settles must not be the only canary of a flow that is well."""
    holds = Holds([FLOW], 0.0)
    turns = []
    for _ in range(4):
        turns.append(holds.fresh_turn("AbCd1234", "default"))
        holds.canary_failed("AbCd1234", "default", 0.0)
    assert turns == [False, True, False, True]
    assert not holds.fresh_turn("Other123", "default")


def test_one_canary_at_a_time() -> None:
    """Two canaries would double the doubt that a hold is there to bound."""
    holds = Holds((), 0.0)
    holds.set(ACCOUNT, 0.0)
    assert holds.probing("AbCd1234", "default", 99.0)
    assert not holds.probing("AbCd1234", "0badc0de", 99.0)
    assert holds.probe_at("Other123", "default") == 99.0
    assert holds.probe_at_of(ACCOUNT) == 99.0


@pytest.mark.parametrize("flow_id", ["AbCd1234", "Other123"])
def test_an_acceptance_ends_the_accounts_hold_and_its_own_flows(flow_id: str) -> None:
    """A hold that outlived its cause would stop a campaign for nothing."""
    holds = Holds([ACCOUNT, FLOW], 0.0)
    ended = holds.end("default", flow_id)
    assert ACCOUNT in ended
    assert holds.holds("AbCd1234", "default") == (flow_id != "AbCd1234")
    assert holds.end("default", flow_id) == []


def test_an_account_can_be_shown_right_by_a_flow_that_is_not() -> None:
    """An answer about a flow proves the account, not the flow."""
    holds = Holds([ACCOUNT, FLOW], 0.0)
    assert holds.end("default", None) == [ACCOUNT]
    assert holds.states() == [FLOW]


def test_the_next_canary_of_all_holds_is_known() -> None:
    """A lane that slept past it would leave the hold in place for nothing."""
    holds = Holds((), 0.0)
    assert holds.next_probe_at() is None
    holds.set(ACCOUNT, 5.0)
    holds.set(FLOW, 1.0)
    assert holds.next_probe_at() == 1.0 + PROBE_SECONDS


def test_a_successor_probes_at_once() -> None:
    """A takeover during a hold must not begin the wait anew."""
    assert Holds([FLOW], 50.0).probe_at("AbCd1234", "default") == 50.0


OPERATORS = HoldState("flow", "AbCd1234", "wrong campaign", 3000, by="sre@host")


def test_what_an_operator_holds_only_an_operator_releases() -> None:
    """A campaign that was stopped at 3 a.m. must not start again by itself."""
    holds = Holds((), 0.0)
    assert holds.set(OPERATORS, 0.0)
    assert holds.next_probe_at() is None
    assert holds.probe_at_of(OPERATORS) is None
    assert holds.probe_at("AbCd1234", "default") == float("inf")
    assert not holds.set(FLOW, 1.0)
    assert holds.end("default", "AbCd1234") == []
    holds.canary_failed("AbCd1234", "default", 1.0)
    assert holds.states() == [OPERATORS]
    assert holds.release("flow", "AbCd1234") == [OPERATORS]
    assert not holds


def test_an_operators_hold_takes_the_place_of_an_automatic_one() -> None:
    """Its canary must not end what the operator wants stopped."""
    holds = Holds([FLOW], 0.0)
    assert not holds.set(OPERATORS, 0.0)
    assert holds.end("default", "AbCd1234") == []
    assert holds.probe_at("AbCd1234", "default") == float("inf")


def test_one_hold_can_stop_every_account() -> None:
    """Nobody knows an account's name at night."""
    holds = Holds((), 0.0)
    holds.set(HoldState("account", EVERY_ACCOUNT, "stop", 0, by="sre"), 0.0)
    assert holds.holds("AbCd1234", "0badc0de")
    assert holds.account_held("default")
    holds.set(ACCOUNT, 0.0)
    assert len(holds.release("account", EVERY_ACCOUNT)) == 2
    assert not holds.holds("AbCd1234", "default")


def test_holds_that_are_taken_over_keep_who_set_them() -> None:
    """A takeover must not turn an operator's hold into one that probes."""
    heir = Holds([OPERATORS, ACCOUNT], 5.0)
    assert heir.next_probe_at() == 5.0
    assert heir.probe_at_of(OPERATORS) is None
    assert heir.flows == 1
