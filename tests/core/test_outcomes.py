"""Results and dead letters, byte for byte as the contract has them."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import jsonschema
import pytest

from service.core.calls import Call, Header
from service.core.outcome_schemas import result_json_schema
from service.core.outcomes import Acceptance, Failure, Results, dead_letter, rfc3339, template_of
from tests.support.calls import call_of


@dataclass(frozen=True)
class Event:
    """A record as Kafka would hand it out."""

    topic: str = "calls.requests"
    partition: int = 3
    offset: int = 42
    timestamp: int = 1_795_391_456_080
    key: bytes | None = b"customer"
    value: bytes | None = b'{"flow-id": "AbCd1234"}'
    headers: tuple[Header, ...] = (("traceparent", b"00-aa-bb-01"), ("other", b"x"))


ACCEPTANCE = Acceptance(
    batch_id="00ff",
    flow_id="AbCd1234",
    request_id='r"1%dé✓',
    code=202,
    confirmation="response",
    attempts=2,
    accepted_ms=1_795_391_457_000,
)
TEMPLATE = template_of(ACCEPTANCE)


def call(identifier: bytes = b'"c1"') -> Call:
    """An accepted call."""
    return call_of(Event(), "AbCd1234", identifier)


def headers_of(headers: list[Header]) -> dict[str, str]:
    """Headers by name, as text."""
    return {name: value.decode() for name, value in headers}


def test_a_result_has_every_field_and_only_the_trace_of_the_headers() -> None:
    """Upstream joins by these names; a missing one breaks somebody's report."""
    [(key, value, headers)] = Results([(TEMPLATE, call(b'{"a":"%d"}'), "u-1")])
    assert key == b"customer"
    assert headers == [("traceparent", b"00-aa-bb-01")]
    assert value is not None
    result: dict[str, Any] = json.loads(value)
    assert result == {
        "client-identifier": {"a": "%d"},
        "flow-id": "AbCd1234",
        "status": "accepted",
        "confirmation": "response",
        "request-id": 'r"1%dé✓',
        "phonon-uuid": "u-1",
        "api-response-code": 202,
        "batch-id": "00ff",
        "attempts": 2,
        "accepted-at": "2026-11-22T23:50:57.000Z",
        "source": {
            "topic": "calls.requests",
            "partition": 3,
            "offset": 42,
            "timestamp": "2026-11-22T23:50:56.080Z",
        },
        "origin": None,
    }
    jsonschema.validate(result, result_json_schema())


def test_a_replays_five_headers_are_enough_for_an_origin() -> None:
    """The contract names no header for the time of the first life: tools of others give none."""
    headers = [
        ("dispatch.origin-topic", b"calls.requests"),
        ("dispatch.origin-partition", b"1"),
        ("dispatch.origin-offset", b"7"),
        ("dispatch.replay-id", b"night-1"),
        ("dispatch.replay-count", b"1"),
    ]
    replayed = dataclasses.replace(Event(), headers=tuple(headers))
    again = call_of(replayed, "AbCd1234")
    [(_, value, _)] = Results([(TEMPLATE, again, "u-1")], {"night-1"})
    result: dict[str, Any] = json.loads(value or b"")
    assert result["origin"] == {
        "topic": "calls.requests",
        "partition": 1,
        "offset": 7,
        "timestamp": None,
        "replay-id": "night-1",
    }
    jsonschema.validate(result, result_json_schema())


def test_bulk_gives_no_uuids() -> None:
    """`null`, not a missing field, says that there is none."""
    [(_, value, _)] = Results([(TEMPLATE, call(), None)])
    assert value is not None
    assert json.loads(value)["phonon-uuid"] is None


def test_a_dead_letter_keeps_the_event_and_says_why() -> None:
    """What is replayed must be what upstream sent."""
    event = Event()
    failure = Failure("rejected", "205 bad number", 2000, 205, "AbCd1234", "00ff", "r1", 3, 1000)
    key, value, headers = dead_letter(("calls.requests", 3, 42), event, failure, "group", 1_000_000)
    assert (key, value) == (event.key, event.value)
    assert headers[:2] == list(event.headers)
    said = headers_of(headers)
    sha256 = said.pop("dispatch.payload-sha256")
    assert len(sha256) == 64
    assert said == {
        "traceparent": "00-aa-bb-01",
        "other": "x",
        "__dlq.errors.topic": "calls.requests",
        "__dlq.errors.partition": "3",
        "__dlq.errors.offset": "42",
        "__dlq.errors.group": "group",
        "__dlq.errors.delivery.count": "3",
        "__dlq.errors.message": "205 bad number",
        "dispatch.reason": "rejected",
        "dispatch.code": "205",
        "dispatch.flow-id": "AbCd1234",
        "dispatch.batch-id": "00ff",
        "dispatch.request-id": "r1",
        "dispatch.attempts": "3",
        "dispatch.first-failed-at": "1970-01-01T00:00:01.000Z",
        "dispatch.failed-at": "1970-01-01T00:00:02.000Z",
        "dispatch.timestamp": "2026-11-22T23:50:56.080Z",
    }


@pytest.mark.parametrize(
    ("value", "header", "key", "left"),
    [
        (100, 10, 10, "value headers key"),
        (9_000, 10, 10, "headers key"),
        (9_000, 9_000, 10, "key"),
        (9_000, 9_000, 9_000, ""),
        (10, 9_000, 10, "key"),
    ],
)
def test_what_does_not_fit_is_left_out_in_order(
    value: int, header: int, key: int, left: str
) -> None:
    """A dead letter that its topic refuses would stop the lane for ever."""
    event = Event(key=b"k" * key, value=b"v" * value, headers=(("h", b"x" * header),))
    failure = Failure("invalid", "too large", 2000)
    written_key, written_value, headers = dead_letter(("t", 0, 1), event, failure, "g", 4_096)
    said = headers_of(headers)
    assert (written_value is not None) == ("value" in left)
    assert ("h" in said) == ("headers" in left)
    assert (written_key is not None) == ("key" in left)
    assert ("dispatch.value-omitted" in said) == (written_value is None)
    assert ("dispatch.headers-omitted" in said) == ("h" not in said)
    assert ("dispatch.key-omitted" in said) == (written_key is None)
    if written_value is None:
        assert said["dispatch.value-bytes"] == str(value)
        assert "dispatch.payload-sha256" in said


def test_an_event_that_is_gone_still_has_its_dead_letter() -> None:
    """Every source record has an outcome, even if retention took the record."""
    failure = Failure("unconfirmed", "gone", 2000)
    key, value, headers = dead_letter(("t", 0, 1), None, failure, "g", 4_096)
    assert (key, value) == (None, None)
    said = headers_of(headers)
    assert said["dispatch.value-omitted"] == "true"
    assert "dispatch.value-bytes" not in said


def test_times_are_rfc_3339_in_utc() -> None:
    """A time without an offset would be read in five different ways."""
    assert rfc3339(1_795_391_456_080) == "2026-11-22T23:50:56.080Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
