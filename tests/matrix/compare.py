"""Compares what came of a case's calls with what the table demands, in words for people.

Knows nothing of where it was read from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.matrix.cases import Case
from tests.matrix.words import CALLS

HELD = {"flow held": {"flow"}, "account held": {"account"}, "waits": set[str]()}
"""What `…, then` says to the scopes of the holds that stop the flow."""
ACCEPTED = ("accepted", "checksum")
UNPLACED = ("rejected", "oversize", "duplicate", "expired", "exhausted", "invalid", "cancelled")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One result or dead letter."""

    kind: str
    """`accepted`, `checksum`, or a dead letter's reason."""
    code: int | None
    uuid: str | None = None
    request_id: str | None = None
    message: str = ""

    def __str__(self) -> str:
        return self.kind if self.code is None else f"{self.kind} {self.code}"


@dataclass(frozen=True, slots=True)
class Seen:
    """A case at one moment."""

    outcomes: Mapping[str, Sequence[Outcome]]
    """By the call's letter."""
    holds: Mapping[str, int | None]
    """Scope and code of the holds that stop its flow."""

    def __str__(self) -> str:
        calls = [" and ".join(map(str, self.outcomes[each])) or "nothing" for each in CALLS]
        held = [
            f"{scope} held" + ("" if code is None else f" by {code}")
            for scope, code in self.holds.items()
        ]
        shown = calls[:1] if len(set(calls)) == 1 else calls
        return ", ".join([" / ".join(shown), *held])


@dataclass(frozen=True, slots=True)
class Demand:
    """A cell of the table, read."""

    held: set[str] | None
    """None: it ends while the fault lasts."""
    words: tuple[str, str, str]


def demanded(case: Case) -> Demand:
    """What the case's cell says."""
    before, then, after = case.expected.rpartition(", then ")
    words = [word.strip() for word in after.split("/")]
    a, b, c = words * 3 if len(words) == 1 else words
    return Demand(HELD[before] if then else None, (a, b, c))


def wrong_meanwhile(case: Case, seen: Seen) -> str | None:
    """What is wrong while the fault lasts."""
    held = demanded(case).held
    if held is None:
        return wrong_finally(case, seen)
    if any(seen.outcomes.values()):
        return "something ended while it must wait"
    if held != seen.holds.keys():
        return f"held: {' and '.join(seen.holds) or 'nothing'}"
    codes = set(seen.holds.values())
    if codes and case.fault.code is not None and codes != {case.fault.code}:
        return "the hold names another code"
    return None


def wrong_finally(case: Case, seen: Seen) -> str | None:
    """What is wrong once the provider was well again for long."""
    words = demanded(case).words
    return next(
        (
            wrong
            for letter, word in zip(CALLS, words, strict=True)
            for wrong in _wrongs(case, letter, word, seen)
        ),
        None,
    )


def _wrongs(case: Case, letter: str, word: str, seen: Seen) -> Iterator[str]:
    outcomes = seen.outcomes[letter]
    if word.startswith("held"):
        if outcomes or "flow" not in seen.holds:
            yield f"call {letter} does not wait for its flow"
        return
    if len(outcomes) != 1:
        yield f"call {letter} has {len(outcomes)} outcomes"
        return
    (found,) = outcomes
    kind, _, code = word.partition(" ")
    if found.kind != kind:
        yield f"call {letter} ended {found}: {found.message}"
    elif kind in ACCEPTED:
        yield from _wrong_acceptance(case, letter, word, found)
    elif code != "?" and found.code != _code(case, code):
        yield f"call {letter} names code {found.code}"


def _wrong_acceptance(case: Case, letter: str, word: str, found: Outcome) -> Iterator[str]:
    if word == "checksum":
        good = (found.code, found.uuid) == (201, None)
    elif word == "accepted":
        # The twin's own success: bulk names the request alone, the others each call.
        queued = case.profile == "bulk"
        good = (found.code, found.uuid is None, found.request_id is None) == (
            202 if queued else 200,
            queued,
            False,
        )
    else:
        good = (found.code, found.uuid, found.request_id) == (
            _code(case, word.partition(" ")[2]),
            case.uuid(letter) if case.fault.uuids else None,
            case.request_id if case.fault.request_id else None,
        )
    if not good:
        yield (
            f"the result of call {letter} has code {found.code}, request-id {found.request_id} and "
            f"uuid {found.uuid}"
        )


def _code(case: Case, shown: str) -> int | None:
    if not shown:
        return None
    return case.fault.code if shown == "*" else int(shown)


def wrong_at_the_provider(case: Case, seen: Seen, placed: Mapping[str, int]) -> str | None:
    """What the provider's ledger says against the outcomes: calls placed twice, or not at all."""
    word_for_word = any(rule.says is not None for rule in case.fault.rules)
    for letter in CALLS:
        times = placed.get(case.identifier(letter), 0)
        kinds = {outcome.kind for outcome in seen.outcomes[letter]}
        if times > 1:
            return f"call {letter} was placed {times} times"
        if times and not word_for_word and kinds & set(UNPLACED):
            return f"call {letter} was placed, and is said not to be"
        if not times and "accepted" in kinds and not word_for_word:
            return f"call {letter} is said to be accepted, and was not placed"
    return None
