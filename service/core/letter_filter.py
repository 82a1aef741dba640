"""Which dead letters are wanted, and how many there are of each kind.

Knows nothing of where they are read. It sees each once, and keeps only counts of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from service.core.identifiers import identifier_of, string_form
from service.core.letters import Letter

KINDS_MAX = 10_000
"""Counted apart; flow-ids are upstream's, so there may be any number of them."""
OTHERS = "(others)"
"""The flow of those beyond."""


class _Identified(msgspec.Struct, rename="kebab"):
    client_identifier: msgspec.Raw


_decode = msgspec.json.Decoder(_Identified).decode


def identifier_in(value: bytes | None) -> str | None:
    """The string form of an event's client-identifier; None if there is none."""
    try:
        raw = bytes(_decode(value or b"").client_identifier)
        return string_form(identifier_of(raw)[1])
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for; an empty set or None is no condition."""

    reasons: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()
    flows: frozenset[str] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None
    """When the dead letter was written: from `since_ms` on, before `until_ms`."""
    partition: int | None = None
    first: int | None = None
    end: int | None = None
    """Offsets [first, end) of the source."""
    batch_id: str | None = None
    client_identifier: str | None = None
    """In its string form, so that 42 and "42" are alike."""

    def takes(self, letter: Letter, value: bytes | None) -> bool:
        """Whether it is wanted; `value` is the event's."""
        _, partition, offset = letter.source
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.codes or letter.code in self.codes)
            and (not self.flows or letter.flow_id in self.flows)
            and (self.since_ms is None or letter.written_ms >= self.since_ms)
            and (self.until_ms is None or letter.written_ms < self.until_ms)
            and (self.partition is None or partition == self.partition)
            and (self.first is None or offset >= self.first)
            and (self.end is None or offset < self.end)
            and (self.batch_id is None or letter.batch_id == self.batch_id)
            and (self.client_identifier is None or identifier_in(value) == self.client_identifier)
        )


class Kind(msgspec.Struct, frozen=True, rename="kebab"):
    """Dead letters that are counted together."""

    reason: str
    code: str
    flow_id: str
    hour: str
    """In UTC, such as `2030-01-31T09Z`."""
    count: int = 0


@dataclass(slots=True)
class Counts:
    """How many there are of each kind."""

    total: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    _kinds: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)

    def add(self, letter: Letter) -> None:
        """One more."""
        kind = (letter.reason, letter.code, letter.flow_id, letter.failed_at[:13])
        if kind not in self._kinds and len(self._kinds) >= KINDS_MAX:
            kind = (letter.reason, "", OTHERS, "")
        self.total += 1
        self.by_reason[letter.reason] += 1
        self._kinds[kind] += 1

    def kinds(self) -> Iterator[Kind]:
        """The most frequent first."""
        for (reason, code, flow_id, hour), count in self._kinds.most_common():
            yield Kind(reason, code, flow_id, f"{hour}Z" if hour else "", count)
