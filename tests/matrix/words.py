"""The words that the table is written in: faults, histories, and a row of expected outcomes.

Knows nothing of what any answer should lead to: that stands in the table alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Profile = Literal["bulk", "realtime", "dialer"]
History = Literal["first", "lost", "kept", "failed", "reminted", "taken_lost", "taken_kept"]

HISTORIES: Mapping[History, str] = {
    "first": "the first attempt",
    "lost": "after an attempt that never arrived, and had no answer",
    "kept": "after an attempt whose calls were placed, and whose answer was lost",
    "failed": "after a 500, nothing placed",
    "reminted": "after a refusal (208), with a new mint",
    "taken_lost": "at a takeover; what was under way at the kill -9 never arrived",
    "taken_kept": "at a takeover; what was under way at the kill -9 was placed",
}
CALLS = "abc"
"""The three calls of every case's one batch, in this order."""


@dataclass(frozen=True, slots=True)
class Says:
    """An answer word for word. `nothing of it is placed` unless the rule says -after."""

    code: Any = None
    message: str = "Success"
    request_id: bool = False
    details: str | None = None
    """Entries by their calls: `a` with a uuid, `b:205` with a code, `b:205+` with both, `b:-` with
    neither, `x` of a call that was never sent. None: no such field."""
    status: int = 200
    raw: str | None = None
    """Instead of all the above but the status."""
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    """Fields put over the others."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the twin's script, for the attempts from the tested one on."""

    fault: str
    says: Says | None = None
    times: int | None = None
    """Only the first so many; None: all."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What the provider answers from the tested attempt on; where no rule is left, as it should."""

    name: str
    rules: tuple[Rule, ...] = ()
    code: int | None = None
    """What `*` stands for in expected outcomes."""
    bad: Mapping[str, int] = field(default_factory=dict)
    """Calls that the provider refuses wherever they are, with this code for their whole batch."""
    uuids: bool = False
    """Whether the answer that accepts lists uuids; only for answers word for word."""
    request_id: bool = False
    """Whether it has a request-id; likewise."""
    own_account: bool = True
    """Whether the flow has a security-id of its own; else the configuration's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rule of provider-api.md: the faults it speaks of, and what becomes of calls a, b and c.

    An outcome is `accepted` (by the response), `checksum` (accepted, by a 201), `held` (none: the
    call waits because its flow is held), or the reason of a dead letter; with the provider's code
    that it must name: `*` is the fault's, `?` any, no code is none. `accepted` alone has the code
    that the profile's success has. Three with `/` between are those of a, b and c.

    `flow held, then …`, `account held, then …` and `waits, then …`: nothing ends while the fault
    lasts, and `…` is the outcome once the provider is well again. None: there is no such case,
    mostly because the provider would contradict what it answered before.
    """

    page: str
    """The rule, in short."""
    faults: tuple[Fault, ...]
    first: str | None
    lost: str | None
    kept: str | None
    failed: str | None
    reminted: str | None
    taken_lost: str | None
    taken_kept: str | None

    def cell(self, history: History) -> str | None:
        """The expected outcome after a history."""
        cell: str | None = getattr(self, history)
        return cell


def always(*faults: str, code: int | None = None) -> tuple[Fault, ...]:
    """Each of these, for as long as the fault lasts."""
    return tuple(Fault(name, (Rule(name),), _code(name, code)) for name in faults)


def once(*faults: str) -> tuple[Fault, ...]:
    """Each of these on the tested attempt alone."""
    return tuple(
        Fault(f"{name}-once", (Rule(name, times=1),), _code(name, None)) for name in faults
    )


def _code(name: str, code: int | None) -> int | None:
    return int(name[5:8]) if code is None and name.startswith("code-") else code


def says(name: str, answer: Says, *, code: int | None = None) -> Fault:
    """This answer for as long as the fault lasts, and nothing is placed."""
    return Fault(name, (Rule("says-inside", answer),), _said(answer, code))


def says_placed(name: str, answer: Says) -> Fault:
    """This answer for as long as the fault lasts, and the calls are placed."""
    return Fault(
        name,
        (Rule("says-after", answer),),
        _said(answer, None),
        uuids=answer.details is not None,
        request_id=answer.request_id,
    )


def says_once(name: str, answer: Says, *, placed: bool) -> Fault:
    """This answer to the tested attempt alone."""
    moment = "after" if placed else "inside"
    rule = Rule(f"says-{moment}", answer, times=1)
    return Fault(f"{name}-{'placed' if placed else 'unplaced'}-once", (rule,), _said(answer, None))


def _said(answer: Says, code: int | None) -> int | None:
    return answer.code if code is None and isinstance(answer.code, int) else code
