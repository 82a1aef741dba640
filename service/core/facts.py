"""What the pipeline tells its observer: frozen facts, each told once, after it has become true.

Knows nothing of metrics or logs; both are made of these.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.core.traceparent import Parent

TopicPartition = tuple[str, int]
"""(topic, partition)"""


@dataclass(frozen=True, slots=True)
class EventsRead:
    """Records came in."""

    partition: TopicPartition
    count: int


@dataclass(frozen=True, slots=True)
class EventRefusedFact:
    """One event cannot become a call."""

    source: tuple[str, int, int]
    reason: str
    field: str | None
    message: str


@dataclass(frozen=True, slots=True)
class BatchSealed:
    """A batch's bytes are decided."""

    batch_id: str
    flow_id: str
    calls: int
    body_bytes: int
    cause: str


@dataclass(frozen=True, slots=True)
class BatchOpened:
    """A batch's calls are together: just sealed, and its turn follows, or read again.

    Told only with `tracing.enabled`.
    """

    lane: int
    batch_id: str
    flow_id: str
    calls: int
    parents: tuple[Parent, ...]
    """The spans of upstream's that they came from, each once."""


@dataclass(frozen=True, slots=True)
class BatchClosed:
    """A batch that was told of as opened has its outcomes, or gave way to others; committed."""

    batch_id: str
    accepted: int
    """How many of its calls the provider took over."""


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """One attempt came to its end."""

    batch_id: str
    flow_id: str
    calls: int
    attempt: int
    code: str
    """The provider's code, else `http_<status>`, `no_answer` or `not_sent`."""
    seconds: float
    message: str


@dataclass(frozen=True, slots=True)
class RetryPlanned:
    """A batch will be sent again."""

    batch_id: str
    flow_id: str
    cause: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CallsEnded:
    """Calls got their outcome, in a transaction that is committed."""

    flow_id: str
    outcome: str
    """`accepted`, or the dead letter's reason."""
    count: int
    latency_seconds: float
    """From the oldest event's timestamp to the commit."""


@dataclass(frozen=True, slots=True)
class CallsParked:
    """Calls were set aside, in a transaction that is committed."""

    flow_id: str
    why: str
    count: int
    """For the first time."""
    again: int
    """After a look that came too early."""


@dataclass(frozen=True, slots=True)
class CommandApplied:
    """A lane has taken up an operator's command; the turn that makes it durable follows."""

    id: str
    text: str
    """What it asks for, by whom and why."""


@dataclass(frozen=True, slots=True)
class TurnCommitted:
    """One transaction is durable."""

    lane: int
    turn: int
    seconds: float
    checkpoint_bytes: int
    batches_open: int


@dataclass(frozen=True, slots=True)
class LimiterWaited:
    """A batch was granted its place in the window."""

    seconds: float


@dataclass(frozen=True, slots=True)
class StandingChanged:
    """A lane draws on the shared window, or must do without it."""

    lane: int
    standing: str
    """As `LaneStatus.standing`."""


@dataclass(frozen=True, slots=True)
class HoldChanged:
    """A hold began or ended."""

    scope: str
    name: str
    active: bool
    reason: str
    code: int | None
    by: str = ""
    """The operator who set it, if one did."""


@dataclass(frozen=True, slots=True)
class LaneChanged:
    """A lane's life: `taking`, `owned`, `released`, `fenced`, `dropped`, `waiting`."""

    lane: int
    state: str
    message: str = ""
    recovered_batches: int = 0
    was_released: bool = False


@dataclass(frozen=True, slots=True)
class EventsLost:
    """Records were removed by retention before they had an outcome."""

    partition: TopicPartition
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something of the outside failed and will be tried again."""

    where: str
    message: str


Fact = (
    EventsRead
    | EventRefusedFact
    | BatchSealed
    | BatchOpened
    | BatchClosed
    | RequestEnded
    | RetryPlanned
    | CallsEnded
    | CallsParked
    | CommandApplied
    | TurnCommitted
    | LimiterWaited
    | StandingChanged
    | HoldChanged
    | LaneChanged
    | EventsLost
    | Trouble
)
