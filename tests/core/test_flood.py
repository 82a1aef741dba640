"""The flood breaker: when a flow is stopped because too many of its calls fail."""

from __future__ import annotations

from service.core.flood import FLOWS_OF_ACCOUNT, Flood, Tripped

FLOW, ACCOUNT = "AbCd1234", "default"


def test_it_trips_above_the_share_and_not_before_enough_is_known() -> None:
    """A wrong deployment must not burn a night's backlog; two bad calls must not stop a flow."""
    flood = Flood(0.5, 100, 60.0)
    assert flood.count(FLOW, ACCOUNT, 99, 99, 0.0) is None
    assert flood.count(FLOW, ACCOUNT, 1, 1, 0.0) == Tripped(
        FLOW, account_too=False, bad=100, total=100
    )


def test_exactly_the_share_is_still_allowed() -> None:
    """A flow of which half fails may be as it should be."""
    flood = Flood(0.5, 100, 60.0)
    assert flood.count(FLOW, ACCOUNT, 100, 50, 0.0) is None
    assert flood.count(FLOW, ACCOUNT, 1, 1, 0.0) is not None


def test_what_is_older_than_the_window_is_forgotten() -> None:
    """Yesterday's trouble must not stop today's calls."""
    flood = Flood(0.5, 100, 60.0)
    assert flood.count(FLOW, ACCOUNT, 90, 90, 0.0) is None
    assert flood.count(FLOW, ACCOUNT, 90, 90, 61.0) is None
    assert flood.count(FLOW, ACCOUNT, 10, 10, 62.0) is not None


def test_what_is_older_is_forgotten_of_a_flow_that_never_rests() -> None:
    """It would be stopped for what failed hours ago."""
    flood = Flood(0.5, 100, 60.0)
    assert flood.count(FLOW, ACCOUNT, 90, 90, 0.0) is None
    assert flood.count(FLOW, ACCOUNT, 1, 0, 30.0) is None
    assert flood.count(FLOW, ACCOUNT, 90, 90, 61.0) is None


def test_what_failed_within_one_window_is_counted_together() -> None:
    """A slow flow would burn its backlog drop by drop."""
    flood = Flood(0.5, 100, 60.0)
    for second in (0.0, 20.0, 40.0):
        assert flood.count(FLOW, ACCOUNT, 30, 30, second) is None
    assert flood.count(FLOW, ACCOUNT, 10, 10, 59.0) is not None


def test_good_calls_of_another_flow_do_not_hide_it() -> None:
    """One broken flow among twenty is still burnt."""
    flood = Flood(0.5, 100, 60.0)
    flood.count("Other123", ACCOUNT, 10_000, 0, 0.0)
    assert flood.count(FLOW, ACCOUNT, 100, 100, 0.0) is not None


def test_an_acceptance_never_trips() -> None:
    """The answer that ends a bad stretch must not be the one that stops the flow."""
    flood = Flood(0.5, 100, 60.0)
    flood.count(FLOW, ACCOUNT, 99, 99, 0.0)
    assert flood.count(FLOW, ACCOUNT, 1, 0, 0.0) is None


def test_several_flows_in_one_window_stop_the_account() -> None:
    """When all flows fail it is the account, and twenty holds would hide it."""
    flood = Flood(0.5, 10, 60.0)
    tripped = [
        flood.count(f"Flow{number:04}", ACCOUNT, 10, 10, float(number))
        for number in range(FLOWS_OF_ACCOUNT)
    ]
    assert [each.account_too for each in tripped if each] == [False] * (FLOWS_OF_ACCOUNT - 1) + [
        True
    ]
    late = flood.count("Late0000", ACCOUNT, 10, 10, 1000.0)
    assert late is not None
    assert not late.account_too
