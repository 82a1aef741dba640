"""What is sent again, as what, how fast, and when it is enough."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.calls import Call
from service.core.letters import Letter
from service.core.origin import Origin, named_in
from service.core.replay import (
    FENCE_KEY,
    ReplayState,
    Terms,
    Why,
    decode,
    digest_of,
    encode,
    headers_of,
    latest,
    left_out,
    names_replay,
    reworked,
    spare,
    too_many_failed,
)
from service.errors import EventRefused

NOW = 1_900_000_000.0
TERMS = Terms()
EVENT = b'{"flow-id": "AbCd1234", "client-identifier": 1e2, "contact-numbers": ["9876543210"]}'
FIRST = Origin("calls.requests", 1, 5, 7, "night-1", 2)


def letter_with(**more: Any) -> Letter:
    """A dead letter; `more` is put over it."""
    plain = {
        "place": ("calls.dead-letters", 0, 9),
        "written_ms": 0,
        "source": ("calls.requests", 0, 1),
        "reason": "rejected",
        "code": "205",
        "flow_id": "AbCd1234",
        **dict.fromkeys(("batch_id", "request_id", "message", "payload_sha256"), ""),
        "attempts": 1,
        **dict.fromkeys(("first_failed_at", "failed_at"), ""),
        "published_at": "2027-01-15T08:00:00.123Z",
        "omitted": (),
        "value_bytes": None,
        "origin": None,
    }
    return Letter(**{**plain, **more})


def accept(value: bytes) -> Call:
    """Events that say how they fare."""
    event: dict[str, Any] = json.loads(value)
    if "refused" in event:
        raise EventRefused(event["refused"], None, "")
    expires_at = NOW - 1 if "expires-at" in event else None
    return Call(None, "AbCd1234", b"1", "1", b"{}", -1, None, expires_at)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "value", "terms", "why"),
    [
        ({}, b"{}", TERMS, None),
        ({"reason": "exhausted"}, b"{}", TERMS, None),
        ({"reason": "cancelled"}, b"{}", TERMS, None),
        ({"reason": "duplicate"}, b"{}", TERMS, Why.IN_DOUBT),
        ({"reason": "unconfirmed"}, b"{}", TERMS, Why.IN_DOUBT),
        ({"reason": "unconfirmed"}, b"{}", Terms(force=True), None),
        ({"reason": "invalid"}, b'{"refused": "invalid"}', TERMS, Why.INVALID),
        ({"reason": "invalid"}, b"{}", TERMS, None),
        ({"reason": "invalid"}, None, TERMS, Why.INVALID),
        ({"reason": "oversize"}, b'{"refused": "oversize"}', Terms(force=True), Why.OVERSIZE),
        ({"omitted": ("value",)}, None, TERMS, Why.OMITTED),
        ({"reason": "expired"}, b'{"expires-at": ""}', TERMS, Why.EXPIRED),
        ({"reason": "expired"}, b'{"expires-at": ""}', Terms(drop_expires_at=True), None),
        ({"origin": FIRST}, b"{}", TERMS, None),
        ({"origin": FIRST}, b"{}", Terms(replays_max=2), Why.TOO_OFTEN),
        ({"origin": FIRST}, b"{}", Terms(force=True, replays_max=1), Why.TOO_OFTEN),
    ],
)
def test_what_is_left_out(
    more: dict[str, Any], value: bytes | None, terms: Terms, why: Why | None
) -> None:
    """The contract's table of reasons: a customer may have been phoned, or never can be."""
    letter = letter_with(**more)
    assert left_out(letter, value, terms, accept, NOW) is why


def test_only_what_was_asked_for_is_touched() -> None:
    """Another number format, or order of fields, would be another event."""
    both = Terms(set_start_time=True, drop_expires_at=True)
    assert reworked(EVENT, both, NOW) is EVENT
    assert reworked(b"no json", both, NOW) == b"no json"
    old = EVENT[:-1] + b', "start-time": "2020-01-01T09:00:00+05:30", "expires-at": "x"}'
    assert reworked(old, TERMS, NOW) is old
    new = reworked(old, both, NOW)
    assert b'"client-identifier":1e2,' in new
    assert json.loads(new)["start-time"] == "2030-03-17T23:16:40+05:30"
    assert "expires-at" not in json.loads(new)
    kept = json.loads(reworked(old, Terms(set_start_time=True), NOW))
    assert kept["expires-at"] == "x"


def test_an_event_keeps_its_first_life() -> None:
    """An audit chains all lives of an event by it."""
    upstream = [("who", b"Asha"), ("traceparent", b"00")]
    ours = [("__dlq.errors.topic", b"calls.requests"), ("dispatch.reason", b"rejected")]
    written = headers_of(letter_with(origin=None), [*upstream, *ours], "id-1")
    assert written[:2] == upstream
    first = named_in(written, {"id-1"})
    assert first == Origin("calls.requests", 0, 1, 1_800_000_000_123, "id-1", 1)
    old = [*upstream, *FIRST.headers(), *ours]
    again = headers_of(letter_with(origin=FIRST), old, "id-2")
    assert named_in(again, {"id-2"}) == msgspec.structs.replace(FIRST, replay_id="id-2", count=3)
    assert [name for name, _ in again].count("dispatch.replay-id") == 1


parts = st.none() | st.binary(max_size=3)
records = st.tuples(parts, parts, st.lists(st.tuples(st.text(max_size=2), parts), max_size=2))


@given(records, records)
def test_no_two_records_have_the_same_digest(one: Any, other: Any) -> None:
    """A plan would send what nobody has agreed to."""
    assert (digest_of(*one) == digest_of(*other)) == (one == other)


@given(st.integers(1, 60_000), st.integers(0, 5_000), st.sampled_from([0.5, 1.0]))
def test_live_traffic_comes_first(limit: int, backlog: int, seconds: float) -> None:
    """A replay that fills the limit would delay every live call."""
    room = spare(limit, backlog, seconds)
    assert 0 <= room <= max(1, round(limit / 60 * seconds))
    assert room > 0 or backlog > 0
    if backlog >= limit / 30 * seconds:
        assert room == 0


@pytest.mark.parametrize(
    ("planned", "accepted", "failed", "ratio", "stops"),
    [
        (10_000, 0, 49, 0.5, False),
        (10_000, 0, 50, 0.5, True),
        (10_000, 25, 25, 0.5, False),
        (10_000, 24, 26, 0.5, True),
        (60, 0, 5, 0.5, False),
        (60, 0, 6, 0.5, True),
        (3, 0, 3, 0.0, False),
        (10_000, 9_999, 1, 0.0, True),
        (10_000, 0, 10_000, 1.0, False),
    ],
)
def test_a_replay_that_fails_again_stops(
    planned: int, accepted: int, failed: int, ratio: float, *, stops: bool
) -> None:
    """The fix was none: forty thousand dead letters more help nobody."""
    state = state_of(planned=planned, accepted=accepted, failed=failed)
    assert too_many_failed(state, ratio) is stops


def state_of(**more: Any) -> ReplayState:
    """A replay's state."""
    return ReplayState(
        **{
            "id": "id-1",
            "who": "",
            "began_at": "",
            "filter": {},
            "terms": TERMS,
            "planned": 1,
            **more,
        }
    )


def test_a_state_is_read_back_and_the_last_one_counts() -> None:
    """A replay that went on from an older state would send twice."""
    one, two = state_of(positions={0: 7, 3: 9}), state_of(state="done", sent=1)
    assert decode(encode(one)) == one
    records = [(b"id-1", encode(one)), (FENCE_KEY, b"1"), (b"id-1", encode(two)), (b"x", b"{}")]
    assert latest(records) == {"id-1": two}


@pytest.mark.parametrize(
    ("key", "value", "names"),
    [
        (b"id-1", b"{}", True),
        (b"id-1", None, False),
        (FENCE_KEY, b"1", False),
        (b"", b"{}", False),
        (None, b"{}", False),
    ],
)
def test_what_names_a_replay(key: bytes | None, value: bytes | None, *, names: bool) -> None:
    """Upstream could forge an origin under any name that is believed."""
    assert names_replay(key, value) is names
