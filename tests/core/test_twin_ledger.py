"""The twin's ledger against a naive model: it is the oracle, so nothing else checks it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.twin.ledger import Ledger, SlidingWindow

ARRIVALS = st.lists(
    st.tuples(st.integers(0, 400).map(lambda tenths: tenths / 4), st.integers(0, 500)), max_size=60
).map(sorted)


@given(ARRIVALS, st.integers(1, 3000), st.integers(1, 20))
def test_windows_are_exact(
    arrivals: list[tuple[float, int]], calls_limit: int, requests_limit: int
) -> None:
    """A window counted too small would call a broken limit kept."""
    ledger = Ledger(calls_limit, requests_limit)
    calls_max = requests_max = above = 0
    for index, (now, calls) in enumerate(arrivals):
        ledger.arrived(now, calls, 10)
        inside = [amount for at, amount in arrivals[: index + 1] if now - 60 < at <= now]
        calls_max, requests_max = max(calls_max, sum(inside)), max(requests_max, len(inside))
        above += sum(inside) > calls_limit or len(inside) > requests_limit
    summary = ledger.summary()
    assert summary.calls_per_sliding_minute_max == calls_max
    assert summary.requests_per_sliding_minute_max == requests_max
    assert summary.windows_above_limit == above


@given(ARRIVALS, st.integers(1, 500), st.integers(500, 3000))
def test_retry_after_is_the_first_moment_that_fits(
    arrivals: list[tuple[float, int]], amount: int, limit: int
) -> None:
    """A Retry-After too short sends the dispatcher into a second refusal."""
    window, now = SlidingWindow(), 0.0
    for now, calls in arrivals:
        window.add(now, calls)
    wait = window.wait_seconds(now, amount, limit)
    later = [
        sum(c for at, c in arrivals if at > now + after - 60) for after in (wait, wait - 0.125)
    ]
    assert later[0] + amount <= limit
    assert wait == 0 or later[1] + amount > limit


def test_doubled_is_counted_by_execution() -> None:
    """Lost and doubled of the demo come from these figures."""
    ledger = Ledger(10, 10)
    ledger.accept("F", [(b"1", None), (b"2", None)], "r-1", 1.0)
    ledger.accept("F", [(b"2", None)], "r-2", 2.0)
    ledger.accept("F", [(b"2", None)], "r-3", 3.0)
    ledger.accept("G", [(b"1", None), (b"1.0", None)], "r-4", 4.0)
    summary = ledger.summary()
    assert (summary.calls_accepted, summary.calls_distinct, summary.doubled) == (6, 4, 1)
    assert ledger.times_accepted("F", b"2") == 3
    assert ledger.times_accepted("G", b"2") == 0
    found = {
        (seen.flow_id, bytes(seen.client_identifier)): seen for seen in ledger.accepted_calls()
    }
    twice = found["F", b"2"]
    assert twice.request_ids == ("r-1", "r-2", "r-3")
    assert (twice.first_at, twice.last_at, twice.times) == (1.0, 3.0, 3)


def test_attempts_of_the_same_bytes() -> None:
    """Rules by attempt and the audit of resends count with it."""
    ledger = Ledger(10, 10)
    assert [ledger.attempt(digest) for digest in (b"x", b"y", b"x", b"x")] == [1, 1, 2, 3]
