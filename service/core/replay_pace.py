"""How fast a replay may go, and when it must stop.

Knows nothing of clocks or topics: what was measured is given.
"""

from __future__ import annotations

from dataclasses import dataclass

SPARE_SHARE = 0.8
"""Of what live traffic leaves of the limit: the rest is for its next peak."""
BACKLOG_SECONDS_MAX = 5.0
"""With more than so many seconds of work before it, live traffic has nothing to spare."""
CHUNK_SECONDS = 1.0
"""Of events in one transaction. Rarer is better: a replay that is killed within one keeps readers
waiting until it is resumed, or the broker ends it. Smaller steps delay live traffic less."""
CHUNK_EVENTS_MAX = 1_000
OUTCOMES_MIN = 50
"""A share of fewer says little."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the dispatcher has to do beside the replay."""

    limit_per_second: float
    live_per_second: float
    """Events that others publish."""
    backlog: int
    """Events that have no outcome yet, those of the replay included."""


def spare_rate(load: Load) -> float:
    """Events a second that live traffic would not notice; 0: wait."""
    if load.backlog > load.limit_per_second * BACKLOG_SECONDS_MAX:
        return 0.0
    return max(0.0, SPARE_SHARE * (load.limit_per_second - load.live_per_second))


def chunk_events(rate: float) -> int:
    """Events of one transaction at so many a second."""
    return max(1, min(CHUNK_EVENTS_MAX, int(rate * CHUNK_SECONDS)))


def too_many_fail(accepted: int, failed: int, abort_ratio: float) -> bool:
    """Whether sending on would only make more dead letters."""
    known = accepted + failed
    return known >= OUTCOMES_MIN and failed > abort_ratio * known
