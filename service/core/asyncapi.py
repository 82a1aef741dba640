"""The AsyncAPI 3 document: the topics that others publish to and read from.

Knows nothing of Kafka clients; the names of the topics are handed in.
"""

from __future__ import annotations

import json
from typing import Any

from service.core.outcome_schemas import (
    DEAD_LETTER_EXAMPLE,
    EVENT_EXAMPLE,
    RESULT_EXAMPLE,
    Schema,
    dead_letter_headers_schema,
    result_json_schema,
)

READ_COMMITTED = (
    "Written in Kafka transactions together with the dispatcher's own progress. Read it with "
    "`isolation.level=read_committed`: other readers also see records of transactions that were "
    "aborted, that is outcomes which did not happen, and would count a call twice. Offsets have "
    "gaps, where the transactions' markers stand."
)


def asyncapi_document(
    event_schema: Schema, *, requests: str, results: str, dead_letters: str, version: str
) -> Schema:
    """The document for topics of these names.

    Args:
        event_schema: JSON Schema of a value of the requests topic.
        requests: the topic that upstream publishes to.
        results: the topic of calls that the provider took.
        dead_letters: the topic of all other events.
        version: of the dispatcher.
    """
    schemas: Schema = {}
    for name, schema in (
        ("Event", event_schema),
        ("Result", result_json_schema()),
        ("DeadLetterHeaders", dead_letter_headers_schema()),
    ):
        schemas |= _embedded(name, schema)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "call-dispatcher",
            "version": version,
            "description": "One call event in, exactly one outcome out: a result for a call that "
            "the provider took, a dead letter for any other.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "requests": _channel(requests, "event", "Call events: one record is one call."),
            "results": _channel(
                results, "result", f"One result for each call that was taken. {READ_COMMITTED}"
            ),
            "dead-letters": _channel(
                dead_letters, "dead-letter", f"Each event that ended otherwise. {READ_COMMITTED}"
            ),
        },
        "operations": {
            "receive-events": _operation("receive", "requests", "event"),
            "send-results": _operation("send", "results", "result"),
            "send-dead-letters": _operation("send", "dead-letters", "dead-letter"),
        },
        "components": {"messages": _messages(), "schemas": schemas},
    }


def _channel(address: str, message: str, description: str) -> Schema:
    return {
        "address": address,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {"kafka": {"topic": address, "bindingVersion": "0.5.0"}},
    }


def _operation(action: str, channel: str, message: str) -> Schema:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _messages() -> Schema:
    traceparent = {
        "type": "object",
        "properties": {
            "traceparent": {
                "type": "string",
                "description": "W3C trace context, carried on to the outcome.",
            }
        },
    }
    return {
        "event": {
            "summary": "A call to be made.",
            "headers": traceparent,
            "payload": {"$ref": "#/components/schemas/Event"},
            "examples": [{"payload": EVENT_EXAMPLE}],
        },
        "result": {
            "summary": "A call that the provider took. The key is the event's.",
            "headers": traceparent,
            "payload": {"$ref": "#/components/schemas/Result"},
            "examples": [{"payload": RESULT_EXAMPLE}],
        },
        "dead-letter": {
            "summary": "The event's own key, value and headers, and headers that say why.",
            # Upstream's bytes, whatever they are; a refused event need not even be JSON.
            "contentType": "application/octet-stream",
            "headers": {"$ref": "#/components/schemas/DeadLetterHeaders"},
            "payload": {"description": "The event's own bytes, or null where they were left out."},
            "examples": [{"headers": DEAD_LETTER_EXAMPLE, "payload": "{}"}],
        },
    }


def _embedded(name: str, schema: Schema) -> dict[str, Any]:
    """The schema and its definitions as components: a reference means this document's root."""
    text = json.dumps(schema).replace('"#/$defs/', f'"#/components/schemas/{name}.')
    moved: Schema = json.loads(text)
    moved.pop("$schema", None)
    moved.pop("$id", None)
    below = moved.pop("$defs", {})
    return {name: moved, **{f"{name}.{each}": held for each, held in below.items()}}
