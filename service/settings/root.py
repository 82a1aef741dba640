"""The whole configuration, and the rules that join its sections.

Knows nothing of files and environment variables (loading.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from service.settings.kafka import KafkaSettings
from service.settings.provider import CALLS_MAX, FlowSettings, ProviderSettings
from service.settings.section import NULL, FlowId, Section, refuse
from service.settings.sections import (
    BatchingSettings,
    DeadLettersSettings,
    EventsSettings,
    HttpSettings,
    LogSettings,
    RetrySettings,
    ShutdownSettings,
    TracingSettings,
)

DIALER_CALLS_MAX = 500
"""What the dialer's document allows in a request (provider-api.md)."""
EVENTS_IN_WINDOW_MIN = 4
"""Largest events that the window must hold, so that one of them never fills it."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What holds for one flow, listed or not, with all defaults filled in."""

    security_id: str
    own_security_id: bool
    """True if it is not the provider section's: a hold on it is this flow's alone."""
    api_version: str
    priority: int
    linger_seconds: float
    dummy_number: str | None
    calling_hours: tuple[str, ...] | None

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Flow(api_version={self.api_version!r}, priority={self.priority})"


class Settings(Section):
    """The configuration of one dispatcher. Once validated no default is left open."""

    kafka: KafkaSettings = KafkaSettings()
    provider: ProviderSettings
    batching: BatchingSettings = NULL
    retry: RetrySettings = RetrySettings()
    flows: Annotated[dict[FlowId, FlowSettings], Field(default_factory=dict)]
    """By flow id; optional, a flow that is not listed takes the defaults."""
    dead_letters: DeadLettersSettings = DeadLettersSettings()
    events: EventsSettings = EventsSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    shutdown: ShutdownSettings = ShutdownSettings()

    def flow(self, flow_id: str) -> Flow:
        """What holds for this flow."""
        listed = self.flows.get(flow_id) or FlowSettings()
        own = listed.security_id
        account = self.provider.security_id.get_secret_value()
        security_id = own.get_secret_value() if own else account
        linger = listed.linger_seconds
        return Flow(
            security_id=security_id,
            own_security_id=security_id != account,
            api_version=listed.api_version or self.provider.api_version,
            priority=listed.priority,
            linger_seconds=self.batching.linger_seconds if linger is None else linger,
            dummy_number=listed.dummy_number,
            calling_hours=listed.calling_hours,
        )

    def security_id_of(self, flow_id: str) -> str:
        """The secret that goes into this flow's bodies."""
        return self.flow(flow_id).security_id

    @property
    def previous_security_ids(self) -> tuple[str, ...]:
        """Earlier secrets, with which a recovered batch's bytes may have been made."""
        return tuple(one.get_secret_value() for one in self.provider.previous_security_ids)

    @field_validator("flows", mode="before")
    @classmethod
    def _no_flows(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("batching", mode="before")
    @classmethod
    def _profile_calls_max(cls, value: Any, info: ValidationInfo) -> Any:
        written = {} if value is None else value
        if "provider" not in info.data or not isinstance(written, dict):
            return written
        if written.get("calls_max") is not None:
            return written
        return {**written, "calls_max": CALLS_MAX[info.data["provider"].profile]}

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        refuse([*self._batch_faults(), *self._window_faults(), *self._flow_faults()])
        return self

    def _batch_faults(self) -> Iterator[tuple[str, str]]:
        calls_max, limit = self.batching.calls_max, self.provider.calls_per_minute
        if self.provider.profile == "dialer" and calls_max > DIALER_CALLS_MAX:
            yield "batching.calls_max", f"must not be above {DIALER_CALLS_MAX} for the dialer"
        if calls_max * 10 > limit:
            yield (
                "batching.calls_max",
                (
                    f"is {calls_max}, more than a tenth of provider.calls_per_minute, {limit}: "
                    f"lower it to {limit // 10}, or raise the limit to {calls_max * 10}"
                ),
            )

    def _window_faults(self) -> Iterator[tuple[str, str]]:
        events = self.events
        if events.window_events_max < 2 * self.batching.calls_max:
            yield (
                "events.window_events_max",
                f"must hold two full batches: {2 * self.batching.calls_max} or more",
            )
        bytes_min = EVENTS_IN_WINDOW_MIN * (events.value_bytes_max + events.meta_bytes_max)
        if events.window_bytes_max < bytes_min:
            yield (
                "events.window_bytes_max",
                f"must hold {EVENTS_IN_WINDOW_MIN} of the largest events: {bytes_min} or more",
            )

    def _flow_faults(self) -> Iterator[tuple[str, str]]:
        for flow_id, flow in self.flows.items():
            if flow.api_version == "TEST" and self.provider.profile != "dialer":
                yield (
                    f"flows.{flow_id}.api_version",
                    "TEST exists for the profile dialer only: use 1.0",
                )
