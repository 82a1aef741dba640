"""`call-dispatcher schema`: what others need to publish events and read outcomes.

Knows nothing of what the documents say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any

import click

Document = dict[str, Any]


def _event() -> Document:
    from service.core.schema import event_json_schema  # noqa: PLC0415 - quick --help

    return event_json_schema()


def _result() -> Document:
    from service.core.outcome_schemas import result_json_schema  # noqa: PLC0415 - quick --help

    return result_json_schema()


def _dead_letter() -> Document:
    from service.core.outcome_schemas import dead_letter_headers_schema  # noqa: PLC0415 - quick --help

    return dead_letter_headers_schema()


def _configuration() -> Document:
    from service.settings.reference import configuration_schema  # noqa: PLC0415 - quick --help

    return configuration_schema()


def _asyncapi() -> Document:
    from service.core.asyncapi import asyncapi_document  # noqa: PLC0415 - quick --help
    from service.settings import TopicsSettings  # noqa: PLC0415 - quick --help

    topics = TopicsSettings()
    return asyncapi_document(
        _event(),
        requests=topics.requests,
        results=topics.results,
        dead_letters=topics.dead_letters,
        version=_version(),
    )


def _version() -> str:
    try:
        return version("call-dispatcher")
    except PackageNotFoundError:
        # Run from a bare checkout.
        return "0"


DOCUMENTS: Mapping[str, Callable[[], Document]] = MappingProxyType(
    {
        "event": _event,
        "result": _result,
        "dead-letter": _dead_letter,
        "configuration": _configuration,
        "asyncapi": _asyncapi,
    }
)


@click.command()
@click.argument("document", type=click.Choice(list(DOCUMENTS)), required=False)
def schema(document: str | None) -> None:
    """Print JSON Schemas and the AsyncAPI document.

    With no argument one JSON object with all of them, by name. `dead-letter` describes the
    headers; the value is the event's own.
    """
    if document is None:
        found = {name: make() for name, make in DOCUMENTS.items()}
    else:
        found = DOCUMENTS[document]()
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))
