"""Dead letters read back: whose word is believed, what is found, what is shown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.calls import Header
from service.core.letter_filter import KINDS_MAX, OTHERS, Counts, Wanted
from service.core.letters import Letter, letter_of, own_headers, source_of
from service.core.masking import MASK, masked_event, masked_headers
from service.core.origin import Origin
from service.core.outcomes import Failure, dead_letter

SOURCE = ("calls.requests", 3, 42)
EVENT: dict[str, Any] = {"flow-id": "AbCd1234", "client-identifier": "c-1"}
NUMBER = "9876543210"


@dataclass(frozen=True)
class Stored:
    """A record as Kafka would hand it out."""

    topic: str = "calls.requests"
    partition: int = 3
    offset: int = 42
    timestamp: int = 1_795_391_456_080
    key: bytes | None = b"k"
    value: bytes | None = json.dumps(EVENT).encode()
    headers: tuple[Header, ...] = ()


def failure(**more: Any) -> Failure:
    """Why an event failed; `more` is put over it."""
    return Failure(**{"reason": "rejected", "message": "no", "failed_ms": 1, **more})


def buried(
    event: Stored, replays: frozenset[str] = frozenset(), bytes_max: int = 100_000, **more: Any
) -> Stored:
    """The dead letter of an event, as it stands in its topic."""
    _, value, headers = dead_letter(SOURCE, event, failure(**more), "g", bytes_max, replays)
    return Stored("calls.dead-letters", 1, 7, 1_795_391_500_000, event.key, value, tuple(headers))


def read(record: Stored) -> Letter:
    """The letter that it is."""
    letter = letter_of(record)
    assert letter is not None
    return letter


def test_a_dead_letter_is_read_back_as_it_was_written() -> None:
    """Whoever looks for a batch or a code in the morning must find it by what was written."""
    letter = read(
        buried(
            Stored(),
            code=400,
            flow_id="AbCd1234",
            batch_id="00ff",
            request_id="r-1",
            attempts=3,
            first_failed_ms=0,
        )
    )
    assert letter.place == ("calls.dead-letters", 1, 7)
    assert (letter.source, letter.first_source) == (SOURCE, SOURCE)
    assert (letter.reason, letter.code, letter.message) == ("rejected", "400", "no")
    assert (letter.flow_id, letter.batch_id, letter.request_id) == ("AbCd1234", "00ff", "r-1")
    assert (letter.attempts, letter.replay_count, letter.omitted) == (3, 0, ())
    assert letter.first_failed_at == "1970-01-01T00:00:00.000Z"
    assert letter.failed_at == "1970-01-01T00:00:00.001Z"
    assert letter.published_at == "2026-11-22T23:50:56.080Z"
    assert len(letter.payload_sha256) == 64


def test_headers_of_an_earlier_life_are_not_believed() -> None:
    """A dead letter that somebody published again by hand would be found under its old place."""
    earlier = buried(
        Stored(), reason="unconfirmed", code=500, batch_id="old", flow_id="AbCd1234", attempts=9
    )
    again = Stored(offset=99, headers=earlier.headers)
    _, value, headers = dead_letter(
        ("calls.requests", 3, 99), again, failure(reason="invalid"), "g", 100_000
    )
    letter = read(Stored("calls.dead-letters", 1, 8, 2, None, value, tuple(headers)))
    assert (letter.source[2], letter.reason) == (99, "invalid")
    assert (letter.code, letter.batch_id, letter.flow_id, letter.attempts) == ("", "", "", 0)
    upstream, _ = own_headers(headers)
    assert tuple(upstream) == earlier.headers


@pytest.mark.parametrize("believed", [True, False])
def test_an_origin_is_told_only_if_the_dispatcher_believed_it(*, believed: bool) -> None:
    """Anyone can write these headers; a forged origin must not hide an event's own history."""
    origin = Origin("calls.requests", 0, 5, 6, "replay-1", 2)
    event = Stored(headers=tuple(origin.headers()))
    letter = read(buried(event, frozenset({"replay-1"} if believed else ())))
    assert letter.origin == (origin if believed else None)
    assert letter.first_source == (("calls.requests", 0, 5) if believed else SOURCE)
    assert letter.replay_count == (2 if believed else 0)


def test_what_did_not_fit_is_said() -> None:
    """A null value is no event without a value: what is gone must be named."""
    big = Stored(value=b"x" * 9_000)
    letter = read(buried(big, bytes_max=4_000))
    assert (letter.omitted, letter.value_bytes) == (("value",), 9_000)
    letter = read(buried(Stored(key=b"x" * 9_000), bytes_max=4_000))
    assert letter.omitted == ("value", "headers", "key")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["__dlq.errors.topic", "__dlq.errors.offset", "dispatch.reason", "other"]
            ),
            st.binary(max_size=5),
        ),
        max_size=6,
    )
)
def test_whatever_stands_there_is_read_or_passed_over(headers: list[Header]) -> None:
    """One strange record in the topic must not end a scan of a million."""
    letter = letter_of(Stored(headers=tuple(headers)))
    assert (letter is None) == (source_of(headers) is None)


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (Wanted(), True),
        (Wanted(reasons=frozenset({"rejected", "invalid"})), True),
        (Wanted(reasons=frozenset({"invalid"})), False),
        (Wanted(codes=frozenset({"400"})), True),
        (Wanted(codes=frozenset({"40"})), False),
        (Wanted(flows=frozenset({"AbCd1234"})), True),
        (Wanted(flows=frozenset({"abcd1234"})), False),
        (Wanted(since_ms=1_795_391_500_000, until_ms=1_795_391_500_001), True),
        (Wanted(since_ms=1_795_391_500_001), False),
        (Wanted(until_ms=1_795_391_500_000), False),
        (Wanted(partition=3, first=42, end=43), True),
        (Wanted(partition=2), False),
        (Wanted(first=43), False),
        (Wanted(end=42), False),
        (Wanted(batch_id="00ff"), True),
        (Wanted(batch_id="00f"), False),
        (Wanted(client_identifier="c-1"), True),
        (Wanted(client_identifier="c"), False),
    ],
)
def test_each_filter_takes_what_it_names(wanted: Wanted, *, taken: bool) -> None:
    """A filter that takes too much, under a replay, phones people nobody meant."""
    record = buried(Stored(), code=400, flow_id="AbCd1234", batch_id="00ff")
    assert wanted.takes(read(record), record.value) is taken


@pytest.mark.parametrize(
    ("raw", "text"), [("42", "42"), ('"42"', "42"), ('{"b":1,"a":2}', '{"a":2,"b":1}')]
)
def test_identifiers_are_found_by_their_string_form(raw: str, text: str) -> None:
    """Nobody on a command line knows whether upstream sent 42 or "42"."""
    event = Stored(value=b'{"client-identifier": %b, "more": [1]}' % raw.encode())
    record = buried(event)
    assert Wanted(client_identifier=text).takes(read(record), record.value)
    assert not Wanted(client_identifier=text).takes(read(record), None)


def test_counts_are_bounded_whatever_flows_upstream_invents() -> None:
    """A broken upstream with a new flow-id an event must not fill an operator's machine."""
    counts = Counts()
    for number in range(KINDS_MAX + 5):
        counts.add(read(buried(Stored(), flow_id=f"{number:08d}")))
    kinds = list(counts.kinds())
    assert len(kinds) == KINDS_MAX + 1
    assert (kinds[0].flow_id, kinds[0].count) == (OTHERS, 5)
    assert kinds[1].hour == "1970-01-01T00Z"
    assert (counts.total, counts.by_reason["rejected"]) == (KINDS_MAX + 5, KINDS_MAX + 5)


def no_numbers(text: str) -> str:
    """Masks the one number of these tests."""
    return text.replace(NUMBER, "[number]")


def test_nothing_private_is_shown() -> None:
    """A dead letter is pasted into tickets and chats: no number, no name of a customer in it."""
    event = {
        "flow-id": NUMBER,
        "client-identifier": {"phone": NUMBER, "plain": [int(NUMBER), 7, None]},
        "contact-numbers": [NUMBER, "1"],
        "contact-number": "misspelt 1",
        "start-time": "2030-01-31T09:30:00+05:30",
        "expires-at": {"x": "private"},
        "keys": [{"name": "$flow.key.name", "value": "private"}, "private", {"value": "private"}],
        NUMBER: 1,
    }
    shown = masked_event(json.dumps(event).encode(), no_numbers)
    assert shown == {
        "flow-id": MASK,
        "client-identifier": {"phone": "[number]", "plain": ["[number]", 7, None]},
        "contact-numbers": [MASK, MASK],
        "contact-number": MASK,
        "start-time": "2030-01-31T09:30:00+05:30",
        "expires-at": MASK,
        "keys": [{"name": "$flow.key.name", "value": MASK}, MASK, MASK],
        "[number]": MASK,
    }


@pytest.mark.parametrize("value", [b"9876543210", b"[1]", b"{", b"\xff", b"[" * 5_000])
def test_what_is_no_event_is_not_shown_at_all(value: bytes) -> None:
    """Where nothing is known of the structure, anything may be private."""
    assert masked_event(value, no_numbers) == f"{len(value)} bytes that are no event"
    assert masked_event(None, no_numbers) is None


def test_headers_are_masked_but_for_traces() -> None:
    """A trace id is what leads to upstream's logs; the rest is upstream's own affair."""
    headers = [("traceparent", b"00-aa-bb-01"), (NUMBER, b"x")]
    assert masked_headers(headers, no_numbers) == [
        ("traceparent", "00-aa-bb-01"),
        ("[number]", MASK),
    ]
