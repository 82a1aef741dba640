"""The published schemas, held against what the program writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jsonschema
import pytest

from service.core.calls import Call, Header
from service.core.outcome_schemas import (
    REASONS,
    Schema,
    dead_letter_headers_schema,
    result_json_schema,
)
from service.core.outcomes import Acceptance, Failure, Results, dead_letter, template_of
from tests.support.calls import call_of


@dataclass(frozen=True)
class Event:
    """A record of the requests topic."""

    topic: str = "calls.requests"
    partition: int = 3
    offset: int = 41
    timestamp: int = 1_767_605_400_125
    key: bytes | None = b"customer"
    value: bytes | None = b"{}"
    headers: Sequence[Header] = ()


def validator(schema: Schema) -> jsonschema.Draft202012Validator:
    """Of this schema."""
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def call(identifier: bytes) -> Call:
    """A call of a flow with this client-identifier."""
    return call_of(Event(), "AbCd1234", identifier)


@pytest.mark.parametrize("identifier", [b'"order-1"', b"17", b"1.0", b"true", b'{"a":[1]}', b"[0]"])
@pytest.mark.parametrize("uuid", [None, "5f5b7c7e-0000-4000-8000-000000000000"])
def test_results_are_as_published(identifier: bytes, uuid: str | None) -> None:
    """Readers that validate must not refuse a true result."""
    acceptance = Acceptance("0-1-2", "AbCd1234", None, 202, "response", 1, 1_767_605_401_250)
    ((_, value, _),) = Results([(template_of(acceptance), call(identifier), uuid)])
    assert value is not None
    validator(result_json_schema()).validate(json.loads(value))


@pytest.mark.parametrize("field", sorted(result_json_schema()["properties"]))
def test_a_result_without_a_field_is_no_result(field: str) -> None:
    """The schema must notice a field that goes missing in a later version."""
    schema = result_json_schema()
    (example,) = schema["examples"]
    assert validator(schema).is_valid(example)
    assert not validator(schema).is_valid({k: v for k, v in example.items() if k != field})


@pytest.mark.parametrize("identifier", [None, "", [], {}])
def test_an_empty_identifier_never_appears(identifier: Any) -> None:
    """Nobody could join a result with such an identifier."""
    schema = result_json_schema()
    assert not validator(schema).is_valid(
        {**schema["examples"][0], "client-identifier": identifier}
    )


def test_a_replayed_result_names_its_origin() -> None:
    """Who joins by origin needs all of it."""
    schema = result_json_schema()
    (example,) = schema["examples"]
    origin = {**example["source"], "replay-id": "r1"}
    assert validator(schema).is_valid({**example, "origin": origin})
    assert not validator(schema).is_valid({**example, "origin": example["source"]})


FAILURE = Failure("invalid", "contact-numbers is missing", 1_767_605_401_250)
FULL = replace(
    FAILURE,
    reason="rejected",
    code=205,
    flow_id="AbCd1234",
    batch_id="0-1-2",
    request_id="r",
    attempts=2,
    first_failed_ms=1_767_605_401_000,
)


@pytest.mark.parametrize("failure", [FAILURE, FULL])
@pytest.mark.parametrize("event", [Event(), Event(value=None), Event(value=b"x" * 9000), None])
def test_dead_letter_headers_are_as_published(failure: Failure, event: Event | None) -> None:
    """Tools that route by headers rely on their names and forms."""
    source = ("calls.requests", 3, 41)
    _, _, headers = dead_letter(source, event, failure, "call-dispatcher", 8000)
    found = {name: value.decode() for name, value in headers}
    validator(dead_letter_headers_schema()).validate(found)
    assert set(found) <= set(dead_letter_headers_schema()["properties"])


def test_every_reason_is_explained() -> None:
    """A reason without a meaning leaves its reader with nothing to do."""
    schema = dead_letter_headers_schema()
    assert schema["properties"]["dispatch.reason"]["enum"] == list(REASONS)
    assert all(
        reason in schema["properties"]["dispatch.reason"]["description"] for reason in REASONS
    )
