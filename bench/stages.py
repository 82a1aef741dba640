"""The stages of a call's way, by the modules that do their work.

Knows nothing of how a profile is taken. A sample belongs to the innermost of its frames that is
listed here, so what a library does counts for who called it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

STAGES: Sequence[tuple[str, str, Sequence[str]]] = (
    (
        "fetch",
        "records of Kafka's batches, handed to the lane",
        ("aiokafka/consumer/*", "adapters/kafka/reader.py", "pipeline/reading.py"),
    ),
    (
        "decode and validate",
        "JSON to an event, and the contract's rules",
        (
            "core/schema.py",
            "core/intake.py",
            "core/identifiers.py",
            "core/times.py",
            "core/refusals.py",
        ),
    ),
    (
        "number",
        "a telephone number checked and rewritten",
        ("core/numbers.py", "core/intake.py:Intake._numbers"),
    ),
    (
        "fragment",
        "the exact bytes of one element of the request",
        ("core/codec.py:lay_out", "core/codec.py:sent_keys", "core/intake.py:_keys"),
    ),
    (
        "ledger",
        "which offsets are read and which have an outcome; what is held in memory",
        (
            "core/offsets.py",
            "core/aside.py",
            "core/calls.py",
            "pipeline/arrivals.py:Arrivals.take",
            "pipeline/memory.py",
            "pipeline/state.py",
        ),
    ),
    (
        "batch",
        "gate, drafts by flow, whose turn it is",
        (
            "core/batching.py",
            "core/drafts.py",
            "core/fairness.py",
            "core/hours.py",
            "core/cancels.py",
            "core/holds.py",
            "pipeline/gate.py",
            "pipeline/arrivals.py",
            "pipeline/loops.py",
            "pipeline/permits.py",
            "pipeline/flows.py",
        ),
    ),
    (
        "seal",
        "a batch's body and its sha256",
        ("core/codec.py", "pipeline/sealing.py", "pipeline/bodies.py", "pipeline/batch.py"),
    ),
    (
        "POST",
        "the limit, the request and its answer",
        (
            "core/rate.py",
            "pipeline/sender.py",
            "pipeline/window.py",
            "pipeline/review.py",
            "adapters/provider.py",
            "aiohttp/*",
            "yarl/*",
            "multidict/*",
            "aiolimiter/*",
        ),
    ),
    (
        "outcome",
        "the verdict, and the bytes of each result",
        (
            "core/outcomes.py",
            "core/verdicts.py",
            "core/answers.py",
            "core/flood.py",
            "pipeline/settling.py",
            "pipeline/judging.py",
            "pipeline/trust.py",
            "pipeline/landings.py",
            "pipeline/outbox.py",
            "pipeline/state.py:LaneState.accepted",
        ),
    ),
    (
        "write",
        "records of one transaction, packed and produced",
        ("aiokafka/producer/*", "adapters/kafka/writer.py"),
    ),
    (
        "checkpoint",
        "the lane's whole state, and the turn around it",
        (
            "core/checkpoint.py",
            "core/offsets.py:Ledger.state",
            "pipeline/durable.py",
            "pipeline/turns.py",
        ),
    ),
    (
        "metrics",
        "facts to metrics and log lines, and /status",
        (
            "adapters/metrics/*",
            "adapters/logs/*",
            "adapters/web/*",
            "prometheus_client/*",
            "pipeline/status.py",
            "pipeline/heard.py",
            "core/status.py",
            "core/listening.py",
        ),
    ),
)
"""Name, what it is, and its places: a module, `/*` for a package, `:` before a function."""
REST = "event loop"
"""What no frame above claims: the loop itself, sockets, and reading from them."""
_FRAME = re.compile(r"(?P<function>\S+) \((?P<file>[^:)]+)")


def _places() -> dict[str, str]:
    return {place: name for name, _, places in STAGES for place in places}


def by_stage(lines: Iterable[str]) -> dict[str, float]:
    """The share of each stage in a profile of lines `outermost;…;innermost samples`."""
    counts, places = Counter[str](), _places()
    for line in lines:
        stack, _, samples = line.rpartition(" ")
        counts[_stage(stack.split(";"), places)] += int(samples)
    total = counts.total() or 1
    return {name: counts[name] / total for name in (*(row[0] for row in STAGES), REST)}


def _stage(stack: Sequence[str], places: dict[str, str]) -> str:
    for frame in reversed(stack):
        found = _FRAME.match(frame)
        for place in _names(found) if found else ():
            if place in places:
                return places[place]
    return REST


def _names(frame: re.Match[str]) -> Iterator[str]:
    """What a frame can be listed as, the most exact first."""
    parts = Path(frame["file"]).parts
    for start in range(len(parts) - 3, len(parts)):
        module = "/".join(parts[max(0, start) :])
        yield f"{module}:{frame['function']}"
        yield module
    for package in parts[:-1]:
        yield f"{package}/*"
    for first, second in pairwise(parts):
        yield f"{first}/{second}/*"
