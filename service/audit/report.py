"""What an audit says, for people and for cron.

Knows nothing of how it was found out.
"""

from __future__ import annotations

import msgspec

from service.core.open_work import Gap


class Stretched(msgspec.Struct, frozen=True, rename="kebab"):
    """What was audited of one partition."""

    partition: int
    log_start: int
    first: int
    end: int
    lane_began: int


class Open(msgspec.Struct, frozen=True, rename="kebab"):
    """Requests that have no outcome yet, of one kind."""

    count: int
    oldest_at: str | None
    oldest_age_seconds: float | None
    first: list[str]
    """The first of them, each `topic-partition-offset`."""


class Fault(msgspec.Struct, frozen=True, rename="kebab"):
    """One offender."""

    source: str
    """`topic-partition-offset`"""
    published_at: str | None = None
    why: str = ""
    outcomes: list[str] = []
    """Each `result` or the dead letter's reason, and where it stands."""


class OfReplay(msgspec.Struct, rename="kebab"):
    """What became of the events of one replay."""

    sent: int = 0
    results: int = 0
    dead_letters: int = 0
    open: int = 0


class Against(msgspec.Struct, frozen=True, rename="kebab"):
    """The comparison with the provider's ledger."""

    calls: int
    called_too_often: int
    """Calls that the provider took more often than requests explain."""
    called_too_often_first: list[str]
    not_called: int
    """Calls that have a result, and that the provider does not know."""
    not_called_first: list[str]


class Report(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """The whole of it. The promise is kept if there is none of lost, doubled, orphans and gaps."""

    kept: bool
    at: str
    since: str | None
    until: str | None
    topic: str
    partitions: list[Stretched]
    requests: int
    results: int
    dead_letters: dict[str, int]
    open: dict[str, Open]
    lost: int
    lost_first: list[Fault]
    doubled: int
    doubled_first: list[Fault]
    orphans: int
    orphans_first: list[Fault]
    gaps: list[Gap]
    replays: dict[str, OfReplay]
    sent_again: int
    """Events that one replay sent more than once."""
    sent_again_first: list[Fault]
    outcomes_since: str | None
    """Requests older than this may have had outcomes that retention took; null: all are there."""
    out_of_range: dict[str, int]
    unreadable: int
    """Records of the outcome topics that no dispatcher wrote."""
    against: Against | None = None
    seconds: float = 0.0
