"""What one process says of itself at one moment: `/status`, `/readyz` and the gauges show it.

Knows nothing of who asks, nor in what form it is shown. No field holds a secret: `url_host` is
the provider's host alone, and an error text names no contact number.
"""

from __future__ import annotations

from dataclasses import dataclass

FLOWS_MAX = 50
"""Flows listed for a lane, the longest backlog first: enough to see who waits, and bounded."""


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """How far a lane is in one partition."""

    topic: str
    partition: int
    position: int
    """The lowest offset without a committed outcome."""
    end: int | None
    """The offset after the last committed record; None until the first fetch."""
    lag: int | None
    """Records that are not read yet, or have no outcome; None while the end is not known."""


@dataclass(frozen=True, slots=True)
class HoldStatus:
    """A circuit breaker that stops sending."""

    scope: str
    """`flow` or `account`."""
    name: str
    """The flow's id, or the account's number among the configured ones; never the secret."""
    reason: str
    since_ms: int
    """Milliseconds since the epoch."""
    code: int | None
    """The provider's code that caused it, if one did."""
    probes: int
    next_probe_seconds: float | None
    """None for a hold without a canary: an operator's, or the flood breaker's."""
    by: str = ""
    """The operator who set it, if one did."""


@dataclass(frozen=True, slots=True)
class FlowStatus:
    """A flow that waits."""

    flow_id: str
    waiting_calls: int


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """One lane that this process owns or takes over."""

    lane: int
    state: str
    """As `ports.LaneChanged.state`: `taking`, `owned`, …"""
    turn: int
    open_batches: int
    waiting_calls: int
    """Calls that are read and not yet in a sealed batch."""
    held_events: int
    """Events in memory, sealed or not."""
    held_bytes: int
    in_flight: int
    """Requests under way."""
    calls_in_window: int
    """Calls that count in the sliding minute."""
    calls_per_minute: int
    """This lane's share of the limit."""
    requests_per_minute: int
    partitions: tuple[PartitionStatus, ...] = ()
    oldest_event_age_seconds: float | None = None
    """None when nothing waits."""
    holds: tuple[HoldStatus, ...] = ()
    flows: tuple[FlowStatus, ...] = ()
    """At most `FLOWS_MAX`, the longest backlog first."""
    paused_seconds: float = 0.0
    """How long the budget still rests: after a 429, or until the next try to connect."""
    pause: str | None = None
    """Why nothing is sent at present, in one line; kept until the provider answers again."""
    recovering_batches: int = 0
    """Batches taken over from an earlier owner that have no outcome yet."""
    checkpoint_bytes: int = 0
    parked_calls: int = 0
    """Calls that wait apart: their flow is held, or must not be called at this hour."""
    parked_oldest_age_seconds: float | None = None
    """Age of the oldest of them; None while none waits, or a successor has not looked yet."""
    overflow_calls: int = 0
    """Calls that wait apart: their flow has more than its share of the window."""
    standing: str = "lane"
    """By what it sends: `lane`, its even share; or in the window of all lanes `shared`, with all
    of them; `even`, with an even share while a lane is missing there; `alone`, with an even share
    while it cannot be asked; `silent`, not at all, until that is safe."""
    minutes_until_drained: float | None = None
    """The backlog at the pace of the last minute; None while nothing was sent, or is not known."""


@dataclass(frozen=True, slots=True)
class Status:
    """The whole process."""

    version: str
    ready: bool
    draining: bool
    joined: bool
    """Whether it is a member of the group; a standby is one too."""
    standby: bool
    """Joined, and owns no lane."""
    owner: str
    """This process's name in checkpoints."""
    group_id: str
    profile: str
    url_host: str
    limit_scope: str
    lanes: tuple[LaneStatus, ...] = ()
    error: str | None = None
    """What stops this process from working, in one line for the operator."""
