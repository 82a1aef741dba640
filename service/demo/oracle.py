"""The oracle: compares what was published with what came of it, and says what is lost or doubled.

Pure; knows nothing of Kafka, HTTP, or the dispatcher's own counters. What it believes is the
topics' records and the ledger of the provider's twin (design.md, the three promises).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

ACCEPTED = "accepted"
INVALID = "invalid"
NOT_PLACED = frozenset({INVALID, "oversize", "expired", "rejected", "exhausted", "cancelled"})
"""Reasons of dead letters that say that the provider has no such call (contract.md)."""
BACKLOG_CALLS_MIN = 500
"""A request was sent under a backlog if its flow had so many more calls waiting."""
OFFENDERS_MAX = 10
"""Offending sources that are named; the rest is only counted."""

Source = tuple[str, int, int]
"""(topic, partition, offset) of a published record."""


@dataclass(frozen=True, slots=True)
class Published:
    """One event as it stands in the requests topic. Its flow and identifier are its alone."""

    source: Source
    flow_id: str
    identifier: str
    """The client-identifier as exact JSON."""
    expected: frozenset[str]
    """The outcomes that are right, `accepted` or reasons; empty: every one is."""
    digest: bytes
    """The sha256 of the value."""
    at: float
    """Seconds since the epoch."""

    @property
    def makes_a_call(self) -> bool:
        """Whether the event is one that can be sent."""
        return self.expected != {INVALID}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One committed record of the results or of the dead letters."""

    source: Source
    kind: str
    """`accepted`, or a dead letter's reason."""
    call: tuple[str, str] | None = None
    """Flow and identifier that a result names; None for a dead letter."""
    digest: bytes | None = None
    """The sha256 of a dead letter's value; None for a result."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One call in the twin's ledger, and how often it was accepted."""

    flow_id: str
    identifier: str
    times: int


@dataclass(frozen=True, slots=True)
class Request:
    """One request in the twin's log."""

    flow_id: str
    calls: int
    attempt: int
    """1 for the first arrival of these very bytes."""
    at: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What the comparison found; each event counts at most once in each of the three faults."""

    events: int
    accepted: int
    dead_letters: dict[str, int]
    lost: int
    """Events without an outcome, or with a result of a call that the provider does not have."""
    doubled: int
    """Events with several outcomes, or calls that the provider accepted more than once."""
    wrong: int
    """Outcomes other than expected, or of nothing that was published."""
    lost_first: tuple[str, ...]
    """The first offenders, each `topic-partition-offset: why`; so also the next two."""
    doubled_first: tuple[str, ...]
    wrong_first: tuple[str, ...]
    calls_per_request_backlogged: float | None
    """Mean over first sends under a backlog; None if there was none."""

    @property
    def ok(self) -> bool:
        """Whether each event has its one right outcome."""
        return not (self.lost or self.doubled or self.wrong)


def verify(
    published: Sequence[Published],
    outcomes: Sequence[Outcome],
    placed: Iterable[Placed],
    requests: Iterable[Request],
) -> Verification:
    """Compare everything with everything; each argument is the whole of its kind."""
    by_source: defaultdict[Source, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_source[outcome.source].append(outcome)
    times = {(call.flow_id, call.identifier): call.times for call in placed}
    lost, doubled, wrong = [], [], []
    for event in published:
        found = by_source.pop(event.source, [])
        called = times.pop((event.flow_id, event.identifier), 0)
        name = _name(event.source)
        lost += _first(name, _losses(found, called))
        doubled += _first(name, _doubles(found, called))
        wrong += _first(name, _wrongs(event, found, called))
    wrong += [f"{_name(source)}: has an outcome, was never published" for source in by_source]
    wrong += [f"{flow_id} {name}: was called, was never published" for flow_id, name in times]
    kinds = Counter(outcome.kind for outcome in outcomes)
    return Verification(
        events=len(published),
        accepted=kinds.pop(ACCEPTED, 0),
        dead_letters=dict(sorted(kinds.items())),
        lost=len(lost),
        doubled=len(doubled),
        wrong=len(wrong),
        lost_first=tuple(lost[:OFFENDERS_MAX]),
        doubled_first=tuple(doubled[:OFFENDERS_MAX]),
        wrong_first=tuple(wrong[:OFFENDERS_MAX]),
        calls_per_request_backlogged=calls_per_request_backlogged(published, requests),
    )


def calls_per_request_backlogged(
    published: Iterable[Published], requests: Iterable[Request]
) -> float | None:
    """Mean calls of the first sends whose flow had `BACKLOG_CALLS_MIN` more calls waiting.

    What waited is what was published of the flow by then, less what had arrived at the provider,
    this request included.
    """
    published_at: defaultdict[str, list[float]] = defaultdict(list)
    for event in published:
        if event.makes_a_call:
            published_at[event.flow_id].append(event.at)
    for moments in published_at.values():
        moments.sort()
    arrived: Counter[str] = Counter()
    sizes = []
    for request in sorted(requests, key=lambda each: each.at):
        if request.attempt > 1:
            continue
        arrived[request.flow_id] += request.calls
        known = bisect_right(published_at[request.flow_id], request.at)
        if known - arrived[request.flow_id] >= BACKLOG_CALLS_MIN:
            sizes.append(request.calls)
    return sum(sizes) / len(sizes) if sizes else None


def _losses(found: list[Outcome], called: int) -> Iterator[str]:
    if not found:
        yield "has no outcome, and was called" if called else "has no outcome"
    elif not called and any(outcome.kind == ACCEPTED for outcome in found):
        yield "has a result, but the provider has no such call"


def _doubles(found: list[Outcome], called: int) -> Iterator[str]:
    if called > 1:
        yield f"was accepted {called} times by the provider"
    if len(found) > 1:
        yield f"has {len(found)} outcomes: {', '.join(outcome.kind for outcome in found)}"


def _wrongs(event: Published, found: list[Outcome], called: int) -> Iterator[str]:
    for outcome in found:
        if called and outcome.kind in NOT_PLACED:
            yield f"ended {outcome.kind}, but the provider accepted it"
        if event.expected and outcome.kind not in event.expected:
            yield f"ended {outcome.kind}, expected {' or '.join(sorted(event.expected))}"
        if outcome.call not in (None, (event.flow_id, event.identifier)):
            yield "has the result of another call"
        if outcome.digest not in (None, event.digest):
            yield "has a dead letter with another value"


def _first(name: str, faults: Iterator[str]) -> list[str]:
    """The first fault of an event, named; none is an empty list."""
    return [f"{name}: {fault}" for fault in faults][:1]


def _name(source: Source) -> str:
    return "-".join(map(str, source))
