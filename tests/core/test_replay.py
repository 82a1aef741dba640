"""What may be sent again, as what bytes, how fast, and when that stops."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.calls import Header
from service.core.letters import Letter, letter_of
from service.core.origin import Origin, origin_of
from service.core.outcomes import Failure, dead_letter
from service.core.replay_choice import Chooser, LeftOut, Rules, digest_of, event_of
from service.core.replay_pace import (
    BACKLOG_SECONDS_MAX,
    CHUNK_EVENTS_MAX,
    OUTCOMES_MIN,
    Load,
    chunk_events,
    spare_rate,
    too_many_fail,
)
from service.core.replay_words import PlanHead, Row
from service.errors import ConfigurationError
from service.pipeline.flows import Flows, make_intake
from service.replay import plan_file
from tests.support.kafka import Names
from tests.support.settings import settings_for

SETTINGS = settings_for("127.0.0.1:9092", Names())
WALL = datetime(2026, 11, 23, 6, 0, tzinfo=UTC).timestamp()
EVENT: dict[str, Any] = {
    "flow-id": "AbCd1234",
    "client-identifier": 1.10,
    "contact-numbers": ["9876543210"],
}
PLAIN = Rules(force=False, replays_max=3, start_time_now=False, drop_expires_at=False)
ALL = Rules(force=True, replays_max=3, start_time_now=True, drop_expires_at=True)


@dataclass(frozen=True)
class Stored:
    """A record as Kafka would hand it out."""

    topic: str = "calls.requests"
    partition: int = 3
    offset: int = 42
    timestamp: int = 1_795_391_456_080
    key: bytes | None = b"k"
    value: bytes | None = b""
    headers: tuple[Header, ...] = (("who", b"upstream"),)


def buried(
    reason: str = "rejected", origin: Origin | None = None, bytes_max: int = 100_000, **more: Any
) -> tuple[Letter, Stored]:
    """A dead letter, and the record that it is; `more` is put over the event."""
    fields = {name.replace("_", "-"): what for name, what in more.items()}
    event = Stored(value=json.dumps(EVENT | fields).encode())
    if origin is not None:
        event = Stored(value=event.value, headers=(*event.headers, *origin.headers()))
    known = {origin.replay_id} if origin else set[str]()
    source = (event.topic, event.partition, event.offset)
    failure = Failure(reason, "no", 1)
    key, value, headers = dead_letter(source, event, failure, "g", bytes_max, known)
    record = Stored("calls.dead-letters", 1, 7, 1, key, value, tuple(headers))
    letter = letter_of(record)
    assert letter is not None
    return letter, record


def chosen(rules: Rules, reason: str = "rejected", **more: Any) -> tuple[str, ...] | LeftOut:
    """What becomes of such a dead letter."""
    chooser = Chooser(make_intake(SETTINGS, Flows(SETTINGS)), rules)
    return chooser.drops(*buried(reason, **more), WALL)


ONCE = Origin("calls.requests", 0, 1, 5, "night-1", 1)
OFTEN = Origin("calls.requests", 0, 1, 5, "night-1", 3)
YESTERDAY = "2026-11-22T10:00:00+05:30"
TODAY = "2026-11-23T00:10:00+05:30"
TOMORROW = "2026-11-24T10:00:00+05:30"


@pytest.mark.parametrize(
    ("rules", "reason", "more", "expected"),
    [
        (PLAIN, "rejected", {}, ()),
        (PLAIN, "exhausted", {}, ()),
        (PLAIN, "cancelled", {}, ()),
        (PLAIN, "invalid", {}, ()),
        (PLAIN, "invalid", {"strat_time": TODAY}, LeftOut.INVALID),
        (PLAIN, "rejected", {"contact_numbers": ["12"]}, LeftOut.INVALID),
        (PLAIN, "duplicate", {}, LeftOut.DUPLICATE),
        (PLAIN, "unconfirmed", {}, LeftOut.UNCONFIRMED),
        (ALL, "duplicate", {}, ()),
        (ALL, "unconfirmed", {}, ()),
        (ALL, "oversize", {}, LeftOut.OVERSIZE),
        (PLAIN, "rejected", {"origin": ONCE}, ()),
        (ALL, "rejected", {"origin": OFTEN}, LeftOut.TOO_OFTEN),
        (ALL, "rejected", {"bytes_max": 700}, LeftOut.GONE),
        (PLAIN, "expired", {"start_time": YESTERDAY}, LeftOut.EXPIRED_DATE),
        (PLAIN, "exhausted", {"expires_at": TODAY}, LeftOut.EXPIRED),
        (PLAIN, "rejected", {"start_time": TODAY, "expires_at": TOMORROW}, ()),
        (ALL, "expired", {"start_time": YESTERDAY}, ("start-time",)),
        (ALL, "expired", {"expires_at": TODAY}, ("expires-at",)),
        (
            ALL,
            "expired",
            {"start_time": YESTERDAY, "expires_at": YESTERDAY},
            ("start-time", "expires-at"),
        ),
        (ALL, "rejected", {"start_time": TOMORROW, "expires_at": TOMORROW}, ()),
    ],
)
def test_who_may_be_called_again(
    rules: Rules, reason: str, more: dict[str, Any], expected: tuple[str, ...] | LeftOut
) -> None:
    """A plan that takes too much calls somebody twice; one that takes too little calls nobody."""
    assert chosen(rules, reason, **more) == expected


def test_an_event_is_sent_again_as_it_was() -> None:
    """The customer's number must not change its spelling, nor upstream's headers get lost."""
    letter, record = buried()
    key, value, headers = event_of(letter, record, (), "night-2")
    assert (key, value) == (b"k", record.value)
    assert headers[0] == ("who", b"upstream")
    found = origin_of(Stored(value=value, headers=tuple(headers)), {"night-2"})
    assert found == Origin("calls.requests", 3, 42, 1_795_391_456_080, "night-2", 1)


def test_a_second_replay_keeps_the_first_life_and_counts() -> None:
    """The chain from a result to what upstream published must not end in the middle."""
    letter, record = buried(origin=ONCE)
    _, _, headers = event_of(letter, record, (), "night-2")
    found = origin_of(Stored(headers=tuple(headers)), {"night-2"})
    assert found == Origin("calls.requests", 0, 1, 5, "night-2", 2)
    assert sum(name.startswith("dispatch.") for name, _ in headers) == 6


def test_a_time_is_dropped_and_nothing_else_touched() -> None:
    """An identifier such as 1.10 must come back to upstream as it was sent."""
    letter, record = buried(start_time=YESTERDAY)
    value = (record.value or b"").replace(b"1.1,", b"1.100,")
    again = event_of(letter, Stored(value=value), ("start-time",), "n")[1]
    assert b'"client-identifier":1.100' in again
    assert json.loads(again) == EVENT


texts = st.none() | st.binary(max_size=3)
pairs = st.lists(st.tuples(st.sampled_from(["a", "b", "ab"]), st.binary(max_size=3)), max_size=2)


@given(texts, texts, pairs, texts, texts, pairs)
def test_no_two_dead_letters_share_a_digest(
    key: Any, value: Any, headers: Any, key2: Any, value2: Any, headers2: Any
) -> None:
    """A plan is of these very records: what stands in their place later is not sent."""
    one = Stored(key=key, value=value, headers=tuple(headers))
    two = Stored(key=key2, value=value2, headers=tuple(headers2))
    assert (digest_of(one) == digest_of(two)) == (one == two)


@given(st.floats(0, 1e4), st.floats(0, 1e5), st.integers(0, 10**7))
def test_a_replay_never_takes_more_than_is_left(limit: float, live: float, backlog: int) -> None:
    """Live traffic is at its limit or behind: the replay waits."""
    rate = spare_rate(Load(limit, live, backlog))
    assert rate >= 0
    assert rate == 0 or rate + live <= limit
    if live >= limit or backlog > limit * BACKLOG_SECONDS_MAX:
        assert rate == 0


@given(st.floats(0.001, 1e6))
def test_steps_are_small_but_never_nothing(rate: float) -> None:
    """A replay at one event in ten seconds ends one day, one at a million stays in memory."""
    assert 1 <= chunk_events(rate) <= CHUNK_EVENTS_MAX


@pytest.mark.parametrize(
    ("accepted", "failed", "ratio", "expected"),
    [
        (0, OUTCOMES_MIN - 1, 0.0, False),
        (0, OUTCOMES_MIN, 0.5, True),
        (50, 50, 0.5, False),
        (50, 51, 0.5, True),
        (0, 1000, 1.0, False),
        (999, 1, 0.0, True),
    ],
)
def test_a_replay_stops_when_too_many_fail(
    accepted: int, failed: int, ratio: float, *, expected: bool
) -> None:
    """The fix did not work: forty thousand new dead letters help nobody."""
    assert too_many_fail(accepted, failed, ratio) is expected


HEAD = PlanHead(
    1, "night-1", "now", "asha", {}, {}, "calls.dead-letters", 3, {"rejected": 3}, {}, 1, 0
)
ROWS = [Row(0, 1, "a" * 64), Row(0, 7, "b" * 64, ("start-time",)), Row(2, 1, "c" * 64)]


def test_a_plan_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """What was looked at is what is sent."""
    head = plan_file.write(tmp_path / "p", HEAD, ROWS)
    plan = plan_file.PlanFile(tmp_path / "p")
    assert plan.head == head
    assert msgspec.structs.replace(plan.head, sha256="") == HEAD
    assert (list(plan.rows()), list(plan.rows(2))) == (ROWS, ROWS[2:])
    plan.close()


@given(st.data())
def test_a_plan_that_was_touched_is_refused(tmp_path_factory: Any, data: Any) -> None:
    """A plan is approved by somebody; no byte of it may change on the way to who executes it."""
    path = tmp_path_factory.mktemp("plan") / "p"
    plan_file.write(path, HEAD, ROWS)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + data.draw(st.binary(max_size=2)) + whole[at + 1 :]
    path.write_bytes(changed)
    if changed != whole:
        with pytest.raises(ConfigurationError, match=r"is no plan|was changed|a plan of version"):
            plan_file.PlanFile(path)
