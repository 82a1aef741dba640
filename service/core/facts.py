"""What the pipeline tells its observer: frozen facts, each told once, after it has become true.

Knows nothing of metrics or logs; both are made of these.
"""

from __future__ import annotations

import msgspec

from service.core.traceparent import Parent

TopicPartition = tuple[str, int]
"""(topic, partition)"""


class EventsRead(msgspec.Struct, frozen=True):
    """Records came in."""

    partition: TopicPartition
    count: int


class EventRefusedFact(msgspec.Struct, frozen=True):
    """One event cannot become a call."""

    source: tuple[str, int, int]
    reason: str
    field: str | None
    message: str


class BatchSealed(msgspec.Struct, frozen=True):
    """A batch's bytes are decided."""

    batch_id: str
    flow_id: str
    calls: int
    body_bytes: int
    cause: str


class BatchOpened(msgspec.Struct, frozen=True):
    """A batch's calls are together: just sealed, and its turn follows, or read again.

    Told only with `tracing.enabled`.
    """

    lane: int
    batch_id: str
    flow_id: str
    calls: int
    parents: tuple[Parent, ...]
    """The spans of upstream's that they came from, each once."""


class BatchClosed(msgspec.Struct, frozen=True):
    """A batch that was told of as opened has its outcomes, or gave way to others; committed."""

    batch_id: str
    accepted: int
    """How many of its calls the provider took over."""


class RequestEnded(msgspec.Struct, frozen=True):
    """One attempt came to its end."""

    batch_id: str
    flow_id: str
    calls: int
    attempt: int
    code: str
    """The provider's code, else `http_<status>`, `no_answer` or `not_sent`."""
    seconds: float
    message: str


class RetryPlanned(msgspec.Struct, frozen=True):
    """A batch will be sent again."""

    batch_id: str
    flow_id: str
    cause: str
    seconds: float


class CallsEnded(msgspec.Struct, frozen=True):
    """Calls got their outcome, in a transaction that is committed."""

    flow_id: str
    outcome: str
    """`accepted`, or the dead letter's reason."""
    count: int
    latency_seconds: float
    """From the oldest event's timestamp to the commit."""


class CallsParked(msgspec.Struct, frozen=True):
    """Calls were set aside, in a transaction that is committed."""

    flow_id: str
    why: str
    count: int
    """For the first time."""
    again: int
    """After a look that came too early."""


class CommandApplied(msgspec.Struct, frozen=True):
    """A lane has taken up an operator's command; the turn that makes it durable follows."""

    id: str
    text: str
    """What it asks for, by whom and why."""


class TurnCommitted(msgspec.Struct, frozen=True):
    """One transaction is durable."""

    lane: int
    turn: int
    seconds: float
    checkpoint_bytes: int
    batches_open: int


class LimiterWaited(msgspec.Struct, frozen=True):
    """A batch was granted its place in the window."""

    seconds: float


class StandingChanged(msgspec.Struct, frozen=True):
    """A lane draws on the shared window, or must do without it."""

    lane: int
    standing: str
    """As `LaneStatus.standing`."""


class HoldChanged(msgspec.Struct, frozen=True):
    """A hold began or ended."""

    scope: str
    name: str
    active: bool
    reason: str
    code: int | None
    by: str = ""
    """The operator who set it, if one did."""


class LaneChanged(msgspec.Struct, frozen=True):
    """A lane's life: `taking`, `owned`, `released`, `fenced`, `dropped`, `waiting`."""

    lane: int
    state: str
    message: str = ""
    recovered_batches: int = 0
    was_released: bool = False


class EventsLost(msgspec.Struct, frozen=True):
    """Records were removed by retention before they had an outcome."""

    partition: TopicPartition
    first: int
    end: int


class Trouble(msgspec.Struct, frozen=True):
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
