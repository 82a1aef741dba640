"""The demo's events: mostly ordinary ones, some malformed, some that the provider refuses.

Pure: all chance comes from the seed. Knows nothing of Kafka, nor of how an event is checked.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from service.demo.oracle import ACCEPTED, INVALID, Published, Source

FLOWS = tuple(f"Flow00{number:02d}" for number in range(1, 21))
BUSY_FLOW = FLOWS[0]
"""It has a large share of the events, so that fairness is seen; none of its calls is refused."""
BUSY_SHARE = 0.4
FAULTY_SHARE = 0.005
"""Of malformed events, and of calls that the provider refuses, each."""
REFUSED_ENDING = "00000"
"""The twin refuses numbers that end so; nobody else's does."""

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Planned:
    """One event that is still to be published."""

    key: bytes
    value: bytes
    flow_id: str
    identifier: str
    """Exact JSON."""
    expected: str

    def published(self, source: Source, at: float) -> Published:
        """The same once it stands in the topic, since `at` (seconds since the epoch)."""
        digest = hashlib.sha256(self.value).digest()
        expected = frozenset({self.expected})
        return Published(source, self.flow_id, self.identifier, expected, digest, at)


def plan_events(count: int, seed: int) -> list[Planned]:
    """`count` events in the order of publishing; the same for the same seed."""
    rng = random.Random(seed)  # noqa: S311 - reproducible chance, no secret
    faulty = math.ceil(count * FAULTY_SHARE)
    chosen = rng.sample(range(count), 2 * faulty)
    malformed = {index: MALFORMED[turn % len(MALFORMED)] for turn, index in enumerate(chosen[::2])}
    refused = frozenset(chosen[1::2])
    return [_event(index, rng, malformed.get(index), refused) for index in range(count)]


def _event(
    index: int, rng: random.Random, spoil: Callable[[Event], bytes] | None, refused: frozenset[int]
) -> Planned:
    flow_id = BUSY_FLOW if rng.random() < BUSY_SHARE else rng.choice(FLOWS[1:])
    if index in refused:
        flow_id = rng.choice(FLOWS[1:])
    identifier = f"order-{index:07d}"
    event: Event = {
        "flow-id": flow_id,
        "client-identifier": identifier,
        "contact-numbers": [_number(rng, index in refused)],
        "keys": [
            {"name": "$flow.key.name", "value": f"Customer {index}"},
            {"name": "$flow.key.amount", "value": rng.randrange(100, 100_000)},
        ],
    }
    key = f"customer-{rng.randrange(1 + index // 2)}".encode()
    expected = "rejected" if index in refused else ACCEPTED
    planned = Planned(key, _json(event), flow_id, json.dumps(identifier), expected)
    return planned if spoil is None else replace(planned, value=spoil(event), expected=INVALID)


def _number(rng: random.Random, refused: bool) -> str:  # noqa: FBT001 - a fact, not a mode
    """An Indian mobile number; the twin calls nobody."""
    if refused:
        return f"9{rng.randrange(10_000):04d}{REFUSED_ENDING}"
    return f"9{rng.randrange(10_000):04d}{rng.randrange(1, 100_000):05d}"


def _cut_short(event: Event) -> bytes:
    return _json(event)[:-2]


def _without_numbers(event: Event) -> bytes:
    del event["contact-numbers"]
    return _json(event)


def _misspelt(event: Event) -> bytes:
    return _json({**event, "start-tiem": "2030-01-31T09:30:00+05:30"})


def _masked_number(event: Event) -> bytes:
    return _json({**event, "contact-numbers": ["98XXXXXX21"]})


def _json(event: Event) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


MALFORMED: tuple[Callable[[Event], bytes], ...] = (
    _cut_short,
    _without_numbers,
    _misspelt,
    _masked_number,
)
"""How an event is spoilt, in turns."""
