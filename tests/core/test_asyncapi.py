"""The AsyncAPI document: what others generate their clients from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema

from service.core.asyncapi import asyncapi_document
from service.core.outcome_schemas import EVENT_EXAMPLE, Schema
from service.core.schema import event_json_schema


def asyncapi() -> Schema:
    """The document with topics of other names."""
    return asyncapi_document(
        event_json_schema(), requests="in", results="out", dead_letters="dead", version="1.2.3"
    )


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from _references(each)
    elif isinstance(node, list):
        for each in node:
            yield from _references(each)


def _target(document: Schema, reference: str) -> Any:
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def test_all_references_of_the_asyncapi_document_lead_somewhere() -> None:
    """Generators stop at the first dangling reference."""
    document = asyncapi()
    references = list(_references(document))
    assert references
    for reference in references:
        assert _target(document, reference)


def test_the_asyncapi_document_names_the_topics() -> None:
    """A reader subscribes to the names in this document."""
    channels = asyncapi()["channels"]
    addresses = {name: channel["address"] for name, channel in channels.items()}
    assert addresses == {"requests": "in", "results": "out", "dead-letters": "dead"}
    for written in ("results", "dead-letters"):
        assert "isolation.level=read_committed" in channels[written]["description"]


def test_the_asyncapi_examples_fit_their_schemas() -> None:
    """An example that is refused teaches the wrong thing."""
    document = asyncapi()
    for name, message in document["components"]["messages"].items():
        for part in ("payload", "headers"):
            # The root stays the document, since that is what references are relative to.
            schema = {**document, "$ref": f"#/components/messages/{name}/{part}"}
            for example in message["examples"]:
                if part in example:
                    jsonschema.Draft202012Validator(schema).validate(example[part])


def test_the_event_example_is_an_event() -> None:
    """What newcomers copy must work."""
    schema = event_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(EVENT_EXAMPLE)
