"""Requests for the twin's tests, and the shortest way to put one to it.

Knows nothing of what any test expects.
"""

from __future__ import annotations

import json
import random
from typing import Any

from service.twin.behaviour import Decision, Twin
from service.twin.faults import read_script
from service.twin.options import Options, with_switches

SECURITY_ID = "a1" * 32
FLOW = "AbCd1234"
WALL = 1_900_000_000.0  # 2030-03-17
TODAY = "2030-03-17T23:30:00+05:30"
CALL = {
    "client-identifier": "c-1",
    "start-time": TODAY,
    "contact-numbers": ["919000000001"],
    "keys": [{"name": "$flow.key.Name", "value": "Asha"}],
}


def call(identifier: Any = "c-1", **fields: Any) -> dict[str, Any]:
    """One element of `calls`; a field set to None is left out."""
    changed = {name.replace("_", "-"): value for name, value in fields.items()}
    merged = CALL | {"client-identifier": identifier} | changed
    return {name: value for name, value in merged.items() if value is not None}


def body(*calls: dict[str, Any], **fields: Any) -> bytes:
    """A request body; a field set to None is left out."""
    request: dict[str, Any] = {
        "api-version": "1.0",
        "security-id": SECURITY_ID,
        "flow-id": FLOW,
        "calls": list(calls) or [call()],
    }
    request |= {name.replace("_", "-"): value for name, value in fields.items()}
    return json.dumps(
        {name: value for name, value in request.items() if value is not None}
    ).encode()


def make(script: Any = None, **switches: Any) -> Twin:
    """A twin with these switches (kebab-case names written with underscores)."""
    named = {name.replace("_", "-"): value for name, value in switches.items()}
    options = with_switches(Options(), named)
    ids = frozenset([SECURITY_ID])
    return Twin(options, random.Random(7), security_ids=ids, script=read_script(script or []))


def send(twin: Twin, data: bytes, now: float = 0.0) -> Decision:
    """One request from arrival to its answer, at one moment."""
    decision = twin.arrive(data, twin.options.path, now, WALL + now)
    twin.act(decision, now, WALL + now)
    return decision


def answer_of(decision: Decision) -> dict[str, Any]:
    """The answer's JSON."""
    decoded: dict[str, Any] = json.loads(decision.answer.body)
    return decoded
