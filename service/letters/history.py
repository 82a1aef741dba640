"""The whole history of one event that failed: where it began, each end, each replay.

Knows nothing of how it is shown.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from service.adapters.kafka.scan import KafkaScan
from service.core.calls import Place
from service.core.letters import Letter, letter_of
from service.core.origin import Origin
from service.errors import ConfigurationError, DispatcherError
from service.letters import reading
from service.settings import TopicsSettings


class _Source(msgspec.Struct):
    topic: str
    partition: int
    offset: int

    @property
    def place(self) -> Place:
        """As a tuple."""
        return (self.topic, self.partition, self.offset)


class Result(msgspec.Struct, frozen=True, rename="kebab"):
    """What is told of a result."""

    source: _Source
    origin: _Source | None
    accepted_at: str
    api_response_code: int
    request_id: str | None
    batch_id: str
    attempts: int


_decode = msgspec.json.Decoder(Result).decode


@dataclass(slots=True)
class History:
    """All that the topics still know."""

    letter: Letter
    record: Any
    """The dead letter's."""
    first_source: Place
    first_request: Any | None = None
    """The record at `first_source`, if its log still has it."""
    letters: list[Letter] = field(default_factory=list)
    """Of all lives, in the order in which they were written."""
    replays: list[tuple[Origin, Any]] = field(default_factory=list)
    """Each replayed event's origin and request record."""
    results: list[Result] = field(default_factory=list)


def place_of(text: str, names: TopicsSettings) -> Place:
    """The record that somebody names: `[topic-]partition-offset`, read from the right.

    Raises:
        ConfigurationError: it is none, or of a topic that holds neither requests nor dead letters.
    """
    head, _, offset = text.rpartition("-")
    topic, _, partition = head.rpartition("-")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise ConfigurationError(
            f"{text}: name the event's record like 3-1234, or {names.requests}-3-1234, or the "
            f"dead letter itself like {names.dead_letters}-3-17"
        )
    topic = topic or names.requests
    if topic not in {names.requests, names.dead_letters}:
        raise ConfigurationError(
            f"{text}: give a record of {names.requests} or {names.dead_letters}"
        )
    return topic, int(partition), int(offset)


async def history_of(scan: KafkaScan, names: TopicsSettings, place: Place) -> History:
    """Find the dead letter of a request, or the one at this place, and all that belongs to it.

    Raises:
        DispatcherError: there is none.
        TopicsError: a topic is missing.
        BrokerUnavailable: the broker did not answer.
    """
    await scan.topics([names.requests, names.results, names.dead_letters, names.replays])
    if place[0] == names.dead_letters:
        record = await _at(scan, place)
        letter = None if record is None else letter_of(record)
        if letter is None:
            raise DispatcherError(f"no dead letter of a dispatcher stands at {_name(place)}")
        chain = await _letters(scan, names, letter.first_source)
    else:
        chain = await _letters(scan, names, place)
        found = [each for each in chain if each[0].source == place]
        if not found:
            raise DispatcherError(await _why_none(scan, names, place))
        letter, record = found[-1]
        if letter.first_source != place:
            chain = await _letters(scan, names, letter.first_source)
    first = letter.first_source
    began = [each.written_ms for each, _ in chain if each.source == first]
    since_ms = min(began) if began else None
    history = History(letter, record, first, await _at(scan, first))
    history.letters = sorted((each for each, _ in chain), key=lambda each: each.written_ms)
    async for origin, request in reading.replayed_requests(scan, names, since_ms):
        if (origin.topic, origin.partition, origin.offset) == first:
            history.replays.append((origin, request))
    history.results = await _results(scan, names, first, since_ms)
    return history


async def _at(scan: KafkaScan, place: Place) -> Any | None:
    topic, partition, offset = place
    known = (await scan.topics([topic]))[topic].partitions
    if partition >= known:
        return None
    tp = (topic, partition)
    start, end = (await scan.starts([tp]))[tp], (await scan.committed_ends([tp]))[tp]
    if not start <= offset < end:
        return None
    return await scan.first(tp, (offset, offset + 1))


async def _letters(
    scan: KafkaScan, names: TopicsSettings, source: Place
) -> list[tuple[Letter, Any]]:
    """Dead letters of a request, and of all events that were replayed from it."""
    spans, topic = await reading.spans(scan, names.dead_letters), names.dead_letters
    return [
        each
        async for each in reading.letters(scan, topic, spans, Counter())
        if source in {each[0].source, each[0].first_source}
    ]


async def _results(
    scan: KafkaScan, names: TopicsSettings, first: Place, since_ms: int | None
) -> list[Result]:
    since_ms = None if since_ms is None else since_ms - reading.CLOCKS_MS
    spans, found = await reading.spans(scan, names.results, since_ms), list[Result]()
    async for _, records in scan.read("results", spans):
        for record in records:
            try:
                result = _decode(record.value or b"")
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
            origin = result.source if result.origin is None else result.origin
            if first in {result.source.place, origin.place}:
                found.append(result)
    return found


async def _why_none(scan: KafkaScan, names: TopicsSettings, place: Place) -> str:
    none = f"{names.dead_letters} holds no dead letter of {_name(place)}"
    if await _results(scan, names, place, None):
        return f"{none}: it was accepted, {names.results} has its result"
    if await _at(scan, place) is None:
        return f"{none}, and its record is not there (any more): correct the partition and offset"
    return f"{none}: it has no outcome yet, or that is gone; `audit` tells"


def _name(place: Place) -> str:
    return "-".join(map(str, place))
