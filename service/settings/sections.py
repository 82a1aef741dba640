"""The smaller sections: batching, retry, events, dead letters, HTTP, log, tracing, shutdown.

Knows nothing of the parts that obey them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from service.settings.provider import CALLS_MAX, DAY_SECONDS
from service.settings.section import NULL, Section, refuse

CallsMax = Annotated[int, Field(ge=1, le=10_000)]
"""10,000 is the most that any document of the provider allows."""


class BatchingSettings(Section):
    """When a batch is full or old enough."""

    calls_max: CallsMax = NULL
    """Calls in a request. Null: 500 for bulk, the most that both documents allow, and 50 for the
    others, a tenth of their limit."""
    body_bytes_max: Annotated[int, Field(ge=1_024, le=262_144)] = 256_000
    """Bytes of a request's body. 256,000 is the smaller reading of the provider's 256 KB."""
    linger_seconds: Annotated[float, Field(ge=0, le=300)] = 1.0
    """How long a flow's oldest call waits for company. 1 s: full batches under load, and a lone
    call hardly waits."""

    @field_validator("calls_max", mode="before", json_schema_input_type=CallsMax | None)
    @classmethod
    def _bulk_unless_said(cls, value: Any) -> Any:
        return CALLS_MAX["bulk"] if value is None else value


class RetrySettings(Section):
    """How often and how soon a batch is sent again, and how long a held flow's calls are kept."""

    attempts_max: Annotated[int, Field(ge=1, le=100)] = 8
    """Attempts of one batch that count; holds, 429 and what was not sent do not. 8 with doubling
    waits spread over up to two minutes, a provider's restart."""
    backoff_seconds: Annotated[float, Field(gt=0, le=3_600)] = 1.0
    """The bound of the first wait; it doubles, and the wait is drawn below it so that retries of
    many batches do not come together."""
    backoff_max_seconds: Annotated[float, Field(gt=0, le=3_600)] = 60.0
    """The bound stops growing here. A minute, so that the end of an outage is noticed soon."""
    park_seconds: Annotated[float, Field(ge=1, le=DAY_SECONDS)] = 60.0
    """The least time between two looks at parked calls. A minute: reading them costs little then,
    and a flow that was repaired is soon going again."""
    park_max_seconds: Annotated[int, Field(ge=1, le=30 * DAY_SECONDS)] = DAY_SECONDS
    """A call whose flow is held for so long ends `exhausted`. A day gives people of any time zone
    a chance to repair the flow."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        faults = []
        if self.backoff_seconds > self.backoff_max_seconds:
            faults.append(("backoff_seconds", "must not be above retry.backoff_max_seconds"))
        if self.park_seconds > self.park_max_seconds:
            faults.append(("park_seconds", "must not be above retry.park_max_seconds"))
        refuse(faults)
        return self


class DeadLettersSettings(Section):
    """When a flood of dead letters stops the line, and how often one may be replayed."""

    flood_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The share of outcomes that are dead letters, above which sending stops. Half: no honest
    day looks so, but a wrong deployment upstream does."""
    flood_events_min: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """Outcomes in the window before the share says anything; fewer are chance."""
    flood_window_seconds: Annotated[float, Field(ge=1, le=3_600)] = 60.0
    """The time over which the share is taken: long enough for a few batches of every flow."""
    replays_max: Annotated[int, Field(ge=0, le=100)] = 3
    """How often one event may be replayed. 3, so that a broken event does not go round for
    ever."""


class EventsSettings(Section):
    """Bounds of what is read and held in memory."""

    value_bytes_max: Annotated[int, Field(ge=256, le=900_000)] = 256_000
    """Bytes of an event's value; a larger one is `invalid`. A call must fit into a body."""
    meta_bytes_max: Annotated[int, Field(ge=0, le=900_000)] = 65_536
    """Bytes of an event's key and headers. They are written again with its outcome, so they must
    fit beside the value under Kafka's megabyte."""
    window_events_max: Annotated[int, Field(ge=2, le=2_000_000)] = 160_000
    """Events held in memory, per lane: five minutes of the bulk limit, so that one slow flow does
    not stop the others, and a checkpoint that still fits its record."""
    window_bytes_max: Annotated[int, Field(ge=65_536, le=2**34)] = 67_108_864
    """Bytes of these events, per lane: 64 MiB keeps the process small; at some 400 bytes an event
    the two bounds meet."""


class HttpSettings(Section):
    """The address of metrics, probes, status and the operators' page."""

    host: Annotated[str, StringConstraints(min_length=1)] = "127.0.0.1"
    """Where to listen. This machine only, since flow ids are shown; a container needs 0.0.0.0."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """8080, as probes usually expect; 0 takes a free one."""
    token: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Secret, 16 characters or more. What changes anything asks for it, and is off while it is
    null: nobody should be able to stop calls by default."""


class LogSettings(Section):
    """Lines on standard output."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """`info` tells what an operator acts on; nothing is logged for a single call."""
    format: Literal["json", "console"] = "json"
    """`json` for machines, which read most logs; `console` for people."""


class TracingSettings(Section):
    """OpenTelemetry: one span a batch, linked to the `traceparent` of its events.

    Needs `pip install call-dispatcher[tracing]`. Where to is said by OpenTelemetry's own variables,
    such as `OTEL_EXPORTER_OTLP_ENDPOINT`.
    """

    enabled: bool = False
    """Off, because it needs a collector."""


class ShutdownSettings(Section):
    """What happens on SIGTERM."""

    drain_seconds: Annotated[float, Field(ge=0, le=3_600)] = 35.0
    """How long answers are awaited. The request's time limit and a little more, so that no batch
    is left in doubt; Kubernetes' grace period must be longer."""
