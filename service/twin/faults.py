"""What goes wrong by intention: rules by script or chance, and outages.

Knows nothing of how a fault looks on the wire (answers.py). Times are seconds since the script
was given; chance is drawn from the `random.Random` that is handed in.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from service.errors import ConfigurationError

Effect = Literal[
    "none", "cut", "silence", "empty", "malformed", "truncated", "wrong-length", "drip",
    "redirect", "http", "code", "says",
    "nameless", "huge", "wrong-type", "wide-text", "byte-mark",
    "over-length", "bad-chunks", "old-http", "no-http", "interim", "giant-header", "twice",
    "hang-up", "drip-head",
]  # fmt: skip
Moment = Literal["before", "inside", "after"]

PLAIN: tuple[str, ...] = tuple(name for name in get_args(Effect) if name not in ("http", "code"))
"""Faults that need no number."""
FAULT = re.compile(
    rf"(?:({'|'.join(PLAIN)})|(http)-([2-5]\d\d)|(code)-(\d{{3}})|([45]\d\d))"
    r"(?:-(before|inside|after))?"
)
EARLY: Mapping[str, Moment] = {
    "http": "before",
    "redirect": "before",
    "code": "inside",
    "says": "inside",
}


class Says(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer word for word."""

    status: Annotated[int, Meta(ge=200, le=599)] = 200
    headers: dict[str, str] = {}
    body: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with a request.

    `before`: nothing of the request is seen by the provider, no checksum either. `inside`: after
    a checksum recorded at receipt or validation, before any call is accepted. `after`: the
    request is worked on as usual, its answer alone is replaced or lost.
    """

    effect: Effect
    number: int
    """The HTTP status or code of `http` and `code`."""
    moment: Moment
    name: str
    says: Says | None = None
    """The answer of `says`."""


def parse_fault(text: str) -> Fault:
    """`cut-after`, `503`, `http-500-inside`, `code-205`, … Raises ConfigurationError."""
    found = FAULT.fullmatch(text)
    if found is None:
        names = ", ".join(PLAIN)
        raise ConfigurationError(
            f"unknown fault {text!r}: expected {names}, http-NNN or code-NNN,"
            " then -before, -inside or -after"
        )
    plain, http, status, code, number, bare, moment = found.groups()
    effect: Any = plain or code or http or "http"
    when: Any = moment or EARLY.get(effect, "after")
    return Fault(effect, int(status or number or bare or "0"), when, text)


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """One rule: all conditions given must hold. The first rule that holds decides."""

    fault: str = "none"
    says: Says | None = None
    """What the fault `says` answers."""
    nth: Annotated[int, Meta(ge=1)] | None = None
    """Only the n-th request (of the flow, if one is given) since the script was given."""
    flow: str | None = None
    attempt: Annotated[int, Meta(ge=1)] | None = None
    """Only the n-th arrival of the same bytes."""
    from_second: float = 0.0
    to_second: float | None = None
    times: Annotated[int, Meta(ge=1)] | None = None
    """At most so often."""
    share: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """Only this share of the requests that meet the conditions, by chance."""
    delay_seconds: Annotated[float, Meta(ge=0)] = 0.0
    """Added to the latency."""


class Outage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """A time in which no request comes through."""

    answer: Literal["503", "reset", "silence"] = "503"
    from_second: float = 0.0
    to_second: float | None = None


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `--script` and `POST /twin/faults` carry; `switches` are those of options.py."""

    rules: tuple[Rule, ...] = ()
    outages: tuple[Outage, ...] = ()
    switches: dict[str, Any] = {}


def read_script(value: object) -> Script:
    """A script from parsed YAML or JSON; a bare list is its rules. Raises ConfigurationError."""
    if isinstance(value, list):
        value = {"rules": value}
    try:
        script = msgspec.convert(_fault_names_as_text(value), Script)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"fault script: {error}") from error
    for rule in script.rules:
        fault_of(rule)
    return script


def fault_of(rule: Rule) -> Fault:
    """What a rule makes go wrong. Raises ConfigurationError."""
    fault = replace(parse_fault(rule.fault), says=rule.says)
    if (fault.effect == "says") != (rule.says is not None):
        raise ConfigurationError("the fault says, and no other, needs the field says of its rule")
    return fault


def _fault_names_as_text(value: object) -> object:
    """YAML reads `fault: 503` as a number."""
    if isinstance(value, Mapping):
        return {
            name: str(item)
            if name in ("fault", "answer") and isinstance(item, int)
            else _fault_names_as_text(item)
            for name, item in value.items()
        }
    return [_fault_names_as_text(item) for item in value] if isinstance(value, list) else value


OUTAGE_FAULTS: Mapping[str, Fault] = {
    "503": Fault("http", 503, "before", "outage-503"),
    "reset": Fault("cut", 0, "before", "outage-reset"),
    "silence": Fault("silence", 0, "before", "outage-silence"),
}


class Faults:
    """A script under way: counts requests and says what befalls each."""

    def __init__(self, script: Script, started: float, rng: random.Random) -> None:
        self.script = script
        self._started = started
        self._rng = rng
        numbered = [(n, rule, fault_of(rule)) for n, rule in enumerate(script.rules)]
        self._anywhere = [each for each in numbered if each[1].flow is None]
        """Rules for every flow."""
        named = {rule.flow for rule in script.rules if rule.flow is not None}
        rules_of = {flow: list(self._anywhere) for flow in named}
        for each in numbered:
            if each[1].flow is not None:
                rules_of[each[1].flow].append(each)
        self._rules_of = {flow: sorted(rules, key=_number) for flow, rules in rules_of.items()}
        """By flow, in the script's order: a script may have rules for thousands."""
        self._requests = 0
        self._of_flow: Counter[str] = Counter()
        self._used: Counter[int] = Counter()

    def pick(self, flow_id: str | None, attempt: int, now: float) -> tuple[Fault | None, float]:
        """The fault of the request that arrives at `now`, and seconds of delay on top."""
        self._requests += 1
        rules = self._anywhere
        if flow_id in self._rules_of:
            self._of_flow[flow_id] += 1
            rules = self._rules_of[flow_id]
        second = now - self._started
        for outage in self.script.outages:
            if _within(outage.from_second, outage.to_second, second):
                return OUTAGE_FAULTS[outage.answer], 0.0
        for index, rule, fault in rules:
            if self._holds(index, rule, flow_id, attempt, second):
                self._used[index] += 1
                return (None if fault.effect == "none" else fault), rule.delay_seconds
        return None, 0.0

    def _holds(
        self, index: int, rule: Rule, flow_id: str | None, attempt: int, second: float
    ) -> bool:
        if rule.flow is not None and rule.flow != flow_id:
            return False
        count = self._requests if rule.flow is None else self._of_flow[rule.flow]
        return (
            rule.nth in (None, count)
            and rule.attempt in (None, attempt)
            and _within(rule.from_second, rule.to_second, second)
            and (rule.times is None or self._used[index] < rule.times)
            and (rule.share >= 1.0 or self._rng.random() < rule.share)
        )


def _number(numbered: tuple[int, Rule, Fault]) -> int:
    return numbered[0]


def _within(from_second: float, to_second: float | None, second: float) -> bool:
    return from_second <= second and (to_second is None or second < to_second)
