"""Recorded scenarios: how the twin is set, what a client sends, and what comes back to it.

Knows nothing of how they are played: any client can be held to them. `service/twin/scenarios` holds
one JSON file each.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from service.errors import ConfigurationError
from service.twin.faults import Script, read_script
from service.twin.requests import INDIA

FOLDER = Path(__file__).parent / "scenarios"


class Seen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="kebab"):
    """What a client gets for one request."""

    ends: Literal["whole", "short", "long", "reset", "silence", "no-http"] = "whole"
    """`short`, `long`: fewer or more bytes than were stated; `reset`, `silence`: not a byte."""
    status: int | None = None
    headers: dict[str, str] = {}
    """Those that matter; `*` stands for a value that is another one each time."""
    json: Any | UnsetType = UNSET
    text: str = ""
    """The beginning of a body that is no JSON."""
    body_bytes: int = 0


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="kebab"):
    """One request and its answer."""

    send: dict[str, Any] | Literal["again"]
    """The body, as compact JSON in this order; `again`: the very same bytes as before."""
    tail: str = ""
    """White space after the body."""
    patience_seconds: float = 5.0
    """When the client gives up."""
    answer: Seen = Seen()


class Scenario(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One story, of one request or of several in a row."""

    about: str
    script: Script
    """As `--script` takes it, put in force at the start."""
    steps: tuple[Step, ...]
    ledger: dict[str, Any]
    """What `/twin/ledger` says in the end, as far as it matters."""

    def bodies(self, now: dt.datetime) -> Sequence[bytes]:
        """The exact bytes of each step; `{tomorrow}` and `{yesterday}` are days at +05:30."""
        bodies: list[bytes] = []
        today = now.astimezone(INDIA).date()
        for step in self.steps:
            if isinstance(step.send, str):
                bodies.append(bodies[-1])
                continue
            text = msgspec.json.encode(step.send).decode() + step.tail
            for name, days in (("{tomorrow}", 1), ("{yesterday}", -1)):
                text = text.replace(name, str(today + dt.timedelta(days)))
            bodies.append(text.encode())
        return bodies


def scenario_names() -> list[str]:
    """All of them, in the order of the alphabet."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))


def read_scenario(name: str) -> Scenario:
    """One of them. Raises ConfigurationError if there is none of this name."""
    if name not in scenario_names():
        raise ConfigurationError(f"no scenario {name!r}: --list-scenarios names them all")
    text = (FOLDER / f"{name}.json").read_bytes()
    scenario = msgspec.json.decode(text, type=Scenario)
    read_script(msgspec.to_builtins(scenario.script))
    return scenario
