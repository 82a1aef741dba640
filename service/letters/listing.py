"""The dead letters that are asked for: counted, and handed on one by one.

Knows nothing of tables or files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from typing import Any

import msgspec

from service.adapters.kafka.scan import KafkaScan
from service.core.letter_filter import Counts, Wanted
from service.core.letters import Letter
from service.core.masking import decoded, masked_json
from service.letters import reading
from service.settings import TopicsSettings

Text = Callable[[str], str]


class Row(msgspec.Struct, frozen=True, rename="kebab"):
    """One dead letter, in short."""

    source: str
    """`topic-partition-offset`, as `show` takes it."""
    failed_at: str
    reason: str
    code: str
    flow_id: str
    client_identifier: Any
    attempts: int
    batch_id: str
    replay_count: int
    message: str


def row(letter: Letter, value: bytes | None, text: Text) -> Row:
    """A row whose texts are masked by `text`."""
    event = decoded(value)
    identifier = event.get("client-identifier") if isinstance(event, dict) else None
    flow_id = letter.flow_id
    return Row(
        "-".join(map(str, letter.source)),
        letter.failed_at,
        letter.reason,
        letter.code,
        flow_id if not flow_id.isdecimal() else text(flow_id),
        masked_json(identifier, text),
        letter.attempts,
        letter.batch_id,
        letter.replay_count,
        text(letter.message),
    )


class Listing:
    """One look at the dead letters."""

    def __init__(self, scan: KafkaScan, names: TopicsSettings, wanted: Wanted) -> None:
        self.counts = Counts()
        self.unreadable: Counter[str] = Counter()
        """Records that no dispatcher wrote."""
        self._scan = scan
        self._names = names
        self._wanted = wanted

    async def found(self, *, replayed: bool | None) -> AsyncIterator[tuple[Letter, Any]]:
        """Each that is wanted, with its record; `replayed`: only those replayed since, or not.

        Raises:
            TopicsError: a topic is missing.
            BrokerUnavailable: the broker did not answer.
        """
        if replayed is None:
            async for each in self._wanted_ones():
                yield each
            return
        with closing(
            await reading.replayed(self._scan, self._names, self._wanted.since_ms)
        ) as known:
            async for each in self._wanted_ones():
                if known.since(each[0]) is replayed:
                    yield each

    async def _wanted_ones(self) -> AsyncIterator[tuple[Letter, Any]]:
        wanted, topic = self._wanted, self._names.dead_letters
        spans = await reading.spans(self._scan, topic, wanted.since_ms, wanted.until_ms)
        async for letter, record in reading.letters(self._scan, topic, spans, self.unreadable):
            if wanted.takes(letter, record.value):
                yield letter, record
