"""JSON Schemas of what the dispatcher writes: results, and the headers of dead letters.

Knows nothing of how they are encoded (outcomes.py); a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "invalid": "the event breaks the contract; the message names the field",
        "oversize": "this one call alone is over the body limit",
        "expired": "its date or `expires-at` went by first",
        "rejected": "the provider refused this call",
        "exhausted": "its flow was held for too long",
        "cancelled": "an operator cancelled it before it was sent",
        "duplicate": "the provider had already received these very bytes",
        "unconfirmed": "its fate is unknown: look it up in the provider's reports",
    }
)
"""Every `dispatch.reason`, and what it means."""

_TIME: Schema = {"type": "string", "format": "date-time"}
_NUMBER_TEXT: Schema = {"type": "string", "pattern": "^[0-9]+$"}


def _described(schema: Schema, text: str) -> Schema:
    return {**schema, "description": text}


def _record(*more: str, timestamp: Schema = _TIME) -> Schema:
    properties: Schema = {
        "topic": {"type": "string"},
        "partition": {"type": "integer", "minimum": 0},
        "offset": {"type": "integer", "minimum": 0},
        "timestamp": timestamp,
        **{name: {"type": "string"} for name in more},
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def result_json_schema() -> Schema:
    """Of a value of the results topic."""
    text_or_null: Schema = {"type": ["string", "null"]}
    properties: Schema = {
        "client-identifier": _described(
            {"not": {"enum": [None, "", [], {}]}}, "As the event gave it, any JSON value."
        ),
        "flow-id": {"type": "string", "pattern": "^[A-Za-z0-9]{8}$"},
        "status": _described(
            {"const": "accepted"},
            "The provider took the request over for execution; not that a call was placed.",
        ),
        "confirmation": _described(
            {"enum": ["response", "checksum"]},
            "`checksum`: an attempt's answer was lost, and the provider said of the same bytes, "
            "sent again, that it has them.",
        ),
        "request-id": _described(text_or_null, "The provider's, of the whole batch."),
        "phonon-uuid": _described(text_or_null, "The provider's, of this call; bulk gives none."),
        "api-response-code": {"enum": [200, 201, 202, 209]},
        "batch-id": {"type": "string"},
        "attempts": {"type": "integer", "minimum": 1},
        "accepted-at": _TIME,
        "source": _described(
            _record(),
            "The event's record. It identifies the call for ever: there is exactly one result or "
            "one dead letter for it.",
        ),
        "origin": {
            "anyOf": [
                {"type": "null"},
                _record("replay-id", timestamp={**_TIME, "type": ["string", "null"]}),
            ],
            "description": "For a replayed event the first record it came from.",
        },
    }
    return {
        "$schema": DIALECT,
        "title": "Result",
        "description": "One call that the provider took.",
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        "examples": [RESULT_EXAMPLE],
    }


def dead_letter_headers_schema() -> Schema:
    """Of the headers that are added to an event's own; each is UTF-8 text."""
    text: Schema = {"type": "string"}
    flag: Schema = {"const": "true"}
    properties: Schema = {
        "__dlq.errors.topic": _described(text, "The source record's topic."),
        "__dlq.errors.partition": _NUMBER_TEXT,
        "__dlq.errors.offset": _NUMBER_TEXT,
        "__dlq.errors.group": _described(text, "The dispatcher's consumer group."),
        "__dlq.errors.delivery.count": _NUMBER_TEXT,
        "__dlq.errors.message": _described(text, "What is wrong, for people."),
        "dispatch.reason": {
            "enum": list(REASONS),
            "description": "; ".join(f"`{name}`: {meaning}" for name, meaning in REASONS.items()),
        },
        "dispatch.code": _described(text, "The provider's code, if it gave one."),
        "dispatch.flow-id": text,
        "dispatch.batch-id": text,
        "dispatch.request-id": text,
        "dispatch.payload-sha256": _described(
            {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "Of the event's value."
        ),
        "dispatch.attempts": _NUMBER_TEXT,
        "dispatch.first-failed-at": _TIME,
        "dispatch.failed-at": _TIME,
        "dispatch.timestamp": _described(_TIME, "The event's own time."),
        "dispatch.origin-topic": _described(text, "This and the next four: of a replayed event."),
        "dispatch.origin-partition": _NUMBER_TEXT,
        "dispatch.origin-offset": _NUMBER_TEXT,
        "dispatch.replay-id": text,
        "dispatch.replay-count": _NUMBER_TEXT,
        "dispatch.value-omitted": _described(flag, "The value did not fit, or is gone."),
        "dispatch.value-bytes": _described(_NUMBER_TEXT, "The size of the value left out."),
        "dispatch.headers-omitted": flag,
        "dispatch.key-omitted": flag,
    }
    required = [name for name in properties if name.startswith("__dlq.")]
    return {
        "$schema": DIALECT,
        "title": "DeadLetterHeaders",
        "description": "Headers added to an event that ends as a dead letter; its key, value and "
        "own headers are unchanged.",
        "type": "object",
        "properties": properties,
        "required": [*required, "dispatch.reason", "dispatch.failed-at"],
        "additionalProperties": _described(text, "A header of upstream's own."),
        "examples": [DEAD_LETTER_EXAMPLE],
    }


RESULT_EXAMPLE: Schema = {
    "client-identifier": "order-4711",
    "flow-id": "AbCd1234",
    "status": "accepted",
    "confirmation": "response",
    "request-id": "7b0c1c5e-2f0e-4a53-9a53-0f3cf0a8f1b2",
    "phonon-uuid": None,
    "api-response-code": 202,
    "batch-id": "0-42-7",
    "attempts": 1,
    "accepted-at": "2026-01-05T09:30:01.250Z",
    "source": {
        "topic": "calls.requests",
        "partition": 0,
        "offset": 1234,
        "timestamp": "2026-01-05T09:30:00.125Z",
    },
    "origin": None,
}
DEAD_LETTER_EXAMPLE: Schema = {
    "__dlq.errors.topic": "calls.requests",
    "__dlq.errors.partition": "0",
    "__dlq.errors.offset": "1235",
    "__dlq.errors.group": "call-dispatcher",
    "__dlq.errors.delivery.count": "1",
    "__dlq.errors.message": "contact-numbers[0] has letters; write digits only",
    "dispatch.reason": "invalid",
    "dispatch.flow-id": "AbCd1234",
    "dispatch.payload-sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "dispatch.attempts": "0",
    "dispatch.first-failed-at": "2026-01-05T09:30:01.250Z",
    "dispatch.failed-at": "2026-01-05T09:30:01.250Z",
    "dispatch.timestamp": "2026-01-05T09:30:00.125Z",
}
EVENT_EXAMPLE: Schema = {
    "flow-id": "AbCd1234",
    "client-identifier": "order-4711",
    "contact-numbers": ["9812345678"],
    "keys": [{"name": "$flow.key.amount", "value": "250"}],
}
