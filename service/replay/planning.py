"""Makes a plan: which dead letters would be sent again, and which not and why.

Changes nothing in Kafka. Knows nothing of the command line.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from service.adapters.kafka.scan import KafkaScan
from service.core.calls import Call
from service.core.letter_filter import Wanted
from service.core.letters import Letter
from service.core.outcomes import rfc3339
from service.core.replay import Terms, Why, digest_of, left_out
from service.letters import reading
from service.letters.listing import Listing
from service.pipeline.flows import Flows, make_intake
from service.replay.plan_file import VERSION, Found, Header, PlanWriter
from service.settings import Settings

SAMPLES = 3
"""Dead letters of each reason that are shown."""


@dataclass(slots=True)
class Made:
    """A plan that was made."""

    id: str
    path: Path
    found: Found
    samples: dict[str, list[tuple[Letter, bytes | None]]] = field(default_factory=dict)
    """Some of each reason, with their events."""
    unreadable: int = 0
    """Records that are no dead letters."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks for."""

    wanted: Wanted
    replayed: bool | None
    """Only those that were replayed since, or only those that were not; None: no condition."""
    terms: Terms
    shown: dict[str, Any]
    """The filter as it was written, for whoever looks at the plan."""
    who: str


def accepting(settings: Settings) -> Callable[[bytes], Call]:
    """What makes an event a call, by the configuration of now."""
    intake = make_intake(settings, Flows(settings))
    topic = settings.kafka.topics.requests
    return lambda value: intake.accept_value(value, topic=topic)


async def make_plan(
    scan: KafkaScan, settings: Settings, asked: Asked, path: Path, wall: float
) -> Made:
    """Look at all dead letters that are asked for, and write the plan.

    Raises:
        ConfigurationError: the file cannot be written.
        TopicsError: a topic is missing.
        BrokerUnavailable: the broker did not answer.
    """
    names, terms = settings.kafka.topics, _bounded(asked.terms, settings)
    header = Header(
        VERSION,
        rfc3339(int(wall * 1000)),
        asked.who,
        names.dead_letters,
        names.requests,
        asked.shown,
        terms,
    )
    accept, writer = accepting(settings), PlanWriter(path, header)
    samples: dict[str, list[tuple[Letter, bytes | None]]] = {}
    try:
        listing = Listing(scan, names, asked.wanted)
        with closing(await reading.replayed(scan, names, asked.wanted.since_ms)) as replayed:
            async for letter, record in listing.found(replayed=None):
                since = replayed.since(letter)
                if asked.replayed is not None and asked.replayed is not since:
                    continue
                why = Why.REPLAYED if since else left_out(letter, record.value, terms, accept, wall)
                if why is not None:
                    writer.leave_out(why)
                    continue
                digest = digest_of(record.key, record.value, record.headers)
                kind = (letter.reason, letter.code, letter.flow_id)
                writer.add(record.partition, record.offset, digest, kind)
                some = samples.setdefault(letter.reason, [])
                if len(some) < SAMPLES:
                    some.append((letter, record.value))
        plan_id, found = writer.close()
    finally:
        writer.discard()
    return Made(plan_id, path, found, samples, listing.unreadable.total())


def _bounded(terms: Terms, settings: Settings) -> Terms:
    """No plan replays an event more often than the configuration allows."""
    most = min(terms.replays_max, settings.dead_letters.replays_max)
    return msgspec.structs.replace(terms, replays_max=most)
