"""How `dead-letters show` prints one event's history.

Knows nothing of where it was read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click
import msgspec

from service.commands.tables import Section, show
from service.core.letters import Letter, own_headers
from service.core.masking import decoded, masked_event, masked_headers, shown
from service.core.outcomes import rfc3339
from service.letters.history import History

Text = Callable[[str], str]


def print_history(history: History, text: Text, output: str, *, unmask: bool) -> None:
    """Print it; `text` masks what may not be seen, `unmask` shows the event as it is."""
    whole = _whole(history, text, unmask=unmask)
    if output == "json":
        click.echo(json.dumps(whole, indent=2, ensure_ascii=False))
    else:
        _show_tables(whole)


def _whole(history: History, text: Text, *, unmask: bool) -> dict[str, Any]:
    letter, record = history.letter, history.record
    upstream, _ = own_headers(record.headers)
    if unmask:
        event = decoded(record.value)
        event = shown(record.value) if event is None and record.value is not None else event
        headers = [(name, shown(content)) for name, content in upstream]
    else:
        event = masked_event(record.value, text)
        headers = masked_headers(upstream, text)
    return {
        "dead-letter": _letter(letter, text),
        "event": event,
        "key": None if record.key is None else text(shown(record.key)),
        "headers": [{"name": name, "value": content} for name, content in headers],
        "first-source": _name(history.first_source),
        "history": sorted(_steps(history, text), key=lambda step: step["at"]),
    }


def _letter(letter: Letter, text: Text) -> dict[str, Any]:
    origin = letter.origin
    return {
        "source": _name(letter.source),
        "place": _name(letter.place),
        "reason": letter.reason,
        "code": letter.code or None,
        "message": text(letter.message),
        "flow-id": text(letter.flow_id) or None,
        "batch-id": letter.batch_id or None,
        "request-id": letter.request_id or None,
        "attempts": letter.attempts,
        "published-at": letter.published_at or None,
        "first-failed-at": letter.first_failed_at,
        "failed-at": letter.failed_at,
        "payload-sha256": letter.payload_sha256 or None,
        "omitted": list(letter.omitted),
        "value-bytes": letter.value_bytes,
        "replay-id": None if origin is None else origin.replay_id,
        "replay-count": letter.replay_count,
    }


def _steps(history: History, text: Text) -> Iterator[dict[str, Any]]:
    """What happened, each with its time."""
    first = history.first_request
    if first is not None:
        yield _step(rfc3339(first.timestamp), "published", _name(history.first_source), "")
    for letter in history.letters:
        code = f" {letter.code}" if letter.code else ""
        what = f"{letter.reason}{code} after {letter.attempts} attempts: {text(letter.message)}"
        yield _step(letter.failed_at, "failed", _name(letter.source), what)
    for origin, request in history.replays:
        where = (request.topic, request.partition, request.offset)
        what = f"replay {origin.replay_id}, its {origin.count}. life after the first"
        yield _step(rfc3339(request.timestamp), "replayed", _name(where), what)
    for result in history.results:
        where = result.source.place
        what = f"{result.api_response_code} after {result.attempts} attempts"
        yield _step(result.accepted_at, "accepted", _name(where), what)


def _step(at: str, what: str, source: str, note: str) -> dict[str, Any]:
    return {"at": at, "what": what, "source": source, "note": note}


def _show_tables(whole: dict[str, Any]) -> None:
    facts = whole["dead-letter"] | {
        "key": whole["key"],
        "event": msgspec.json.encode(whole["event"]).decode(),
    }
    rows = [(name, _cell(fact)) for name, fact in facts.items() if fact not in (None, [], "")]
    rows += [(f"header {each['name']}", each["value"]) for each in whole["headers"]]
    steps = [tuple(map(str, step.values())) for step in whole["history"]]
    show(
        [
            Section("dead letter", ("what", "value"), rows),
            Section("history", ("at", "what", "source", "note"), steps),
        ]
    )


def _cell(fact: Any) -> str:
    return ", ".join(fact) if isinstance(fact, list) else str(fact)


def _name(place: Sequence[Any]) -> str:
    return "-".join(map(str, place))
