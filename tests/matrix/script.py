"""What the twin is told so that each case's provider answers as the case says.

Knows nothing of what is expected of the dispatcher.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tests.matrix.cases import Case
from tests.matrix.words import History, Says

STRANGER = "never-sent"
BAD_CODES = (205, 400, 402, 210)
REFUSED = tuple(f"{code}:identifier-pattern=-bad{code}" for code in BAD_CODES)
"""The twin's switch `refused`: calls name the code that they are refused with."""
BEFORE: dict[History, str] = {
    "lost": "cut-before",
    "kept": "cut-after",
    "failed": "code-500",
    "reminted": "code-208",
}
UNDER_WAY: dict[History, str] = {"taken_lost": "silence-before", "taken_kept": "silence-after"}


def until_the_kill(cases: Iterable[Case]) -> dict[str, Any]:
    """The script until the owner is killed: the first attempts stay under way."""
    return {
        "rules": [
            {"flow": case.flow_id, "fault": UNDER_WAY[case.history]}
            for case in cases
            if case.history in UNDER_WAY
        ]
    }


def before_the_kill(cases: Iterable[Case]) -> dict[str, Any]:
    """The script of histories alone: what befalls each first attempt."""
    first = BEFORE | UNDER_WAY
    return {"rules": [{"flow": case.flow_id, "fault": first[case.history]} for case in cases]}


def the_faults(cases: Iterable[Case]) -> dict[str, Any]:
    """The script of histories and faults."""
    return {"rules": [rule for case in cases for rule in _rules(case)]}


def _rules(case: Case) -> Iterable[dict[str, Any]]:
    if case.history in BEFORE:
        yield {"flow": case.flow_id, "fault": BEFORE[case.history], "nth": 1}
    for rule in case.fault.rules:
        told: dict[str, Any] = {"flow": case.flow_id, "fault": rule.fault}
        if rule.times is not None:
            told["times"] = rule.times
        if rule.says is not None:
            told["says"] = _answer(case, rule.says)
        yield told


def _answer(case: Case, says: Says) -> dict[str, Any]:
    body = says.raw if says.raw is not None else json.dumps(_body(case, says))
    return {"status": says.status, "headers": dict(says.headers), "body": body}


def _body(case: Case, says: Says) -> dict[str, Any]:
    body: dict[str, Any] = {
        "api-response-code": says.code,
        "api-response-message": says.message,
    }
    if says.request_id:
        body["request-id"] = case.request_id
    if says.details is not None:
        body["call-details"] = [_entry(case, word) for word in says.details.split()]
    return body | dict(says.more)


def _entry(case: Case, word: str) -> dict[str, Any]:
    letter, _, what = word.partition(":")
    name = STRANGER if letter == "x" else case.identifier(letter)
    entry: dict[str, Any] = {"client-identifier": name}
    if what in ("", "205+"):
        entry["phonon-uuid"] = case.uuid(letter)
    if what not in ("", "-"):
        entry["api-response-code"] = int(what.rstrip("+"))
        entry["api-response-message"] = "refused"
    return entry
