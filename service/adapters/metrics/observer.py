"""Counts facts: the `Observer` behind the metrics page.

Knows nothing of HTTP. It is told of batches and turns, never of single calls, so counting costs
the hot path nothing.
"""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Info, ProcessCollector

from service.adapters.metrics.catalogue import PREFIX, Catalogue
from service.adapters.metrics.labels import (
    DEAD_LETTER_REASONS,
    OTHER,
    OUTCOMES,
    RETRY_CAUSES,
    CodeLabels,
    Labels,
)
from service.adapters.metrics.state import Snapshot, StateCollector
from service.core.aside import Why
from service.core.drafts import Cause
from service.core.facts import (
    BatchSealed,
    CallsEnded,
    CallsParked,
    EventRefusedFact,
    EventsLost,
    EventsRead,
    LaneChanged,
    LimiterWaited,
    RequestEnded,
    RetryPlanned,
    TurnCommitted,
)
from service.core.listening import Listening
from service.settings import Settings


class Metrics(Listening):
    """`Observer` that counts into a registry; all families are in it from the start."""

    def __init__(self, registry: CollectorRegistry, settings: Settings) -> None:
        self._flows = Labels(settings.flows)
        self._outcomes, self._reasons = Labels(OUTCOMES), Labels(DEAD_LETTER_REASONS)
        self._codes, self._retry_causes = CodeLabels(), Labels(RETRY_CAUSES)
        self._seal_causes = Labels(Cause)
        self._requests_topic = settings.kafka.topics.requests
        self._families = Catalogue(registry)
        self._state = StateCollector(self._requests_topic, self._flows)
        registry.register(self._state)
        ProcessCollector(registry=registry)
        Info(PREFIX + "build", "What runs here.", registry=registry).info(
            {
                "version": version("call-dispatcher"),
                "python": platform.python_version(),
                "profile": settings.provider.profile,
            }
        )
        # Finding a child by its labels costs more than counting; there are few of them.
        self._sealed_for = cache(self._families.batches_sealed.labels)
        self._requests_of = cache(self._families.requests.labels)
        self._dispatched_of = cache(self._families.calls_dispatched.labels)
        self._begin_at_zero()
        self.on = {
            EventsRead: self._events_read,
            EventRefusedFact: self._event_refused,
            BatchSealed: self._batch_sealed,
            RequestEnded: self._request_ended,
            RetryPlanned: self._retry_planned,
            CallsEnded: self._calls_ended,
            TurnCommitted: self._turn_committed,
            CallsParked: self._calls_parked,
            LimiterWaited: self._limiter_waited,
            LaneChanged: self._lane_changed,
            EventsLost: self._events_lost,
        }

    def observe(self, snapshot: Snapshot) -> None:
        """Read the families that are state from `snapshot` at each scrape."""
        self._state.snapshot = snapshot

    def _begin_at_zero(self) -> None:
        """A counter that first appears with 1 looks unchanged to `rate()`."""
        families = self._families
        for reason in self._reasons.all:
            families.dead_letters.labels(reason)
        for code in self._codes.all:
            families.requests.labels(code)
        for cause in self._retry_causes.all:
            families.retries.labels(cause)
        for cause in self._seal_causes.all:
            families.batches_sealed.labels(cause)
        for outcome in self._outcomes.all:
            families.calls_dispatched.labels(OTHER, outcome)
        # Of a listed flow only what is usual: ten series for each of thousands would be many.
        for flow in self._flows.known:
            families.calls_dispatched.labels(flow, "accepted")

    def _events_read(self, fact: EventsRead) -> None:
        # Parked and overflow bring back events that were counted when they were first read.
        if fact.partition[0] == self._requests_topic:
            self._families.events_consumed.inc(fact.count)

    def _event_refused(self, fact: EventRefusedFact) -> None:
        self._families.dead_letters.labels(self._reasons.of(fact.reason)).inc()

    def _batch_sealed(self, fact: BatchSealed) -> None:
        self._sealed_for(self._seal_causes.of(fact.cause)).inc()
        self._families.batch_calls.observe(fact.calls)
        self._families.batch_bytes.observe(fact.body_bytes)

    def _request_ended(self, fact: RequestEnded) -> None:
        self._requests_of(self._codes.of(fact.code)).inc()
        self._families.request_duration.observe(fact.seconds)

    def _retry_planned(self, fact: RetryPlanned) -> None:
        self._families.retries.labels(self._retry_causes.of(fact.cause)).inc()

    def _calls_ended(self, fact: CallsEnded) -> None:
        flow, outcome = self._flows.of(fact.flow_id), self._outcomes.of(fact.outcome)
        self._dispatched_of(flow, outcome).inc(fact.count)
        self._families.end_to_end.observe(fact.latency_seconds)
        if fact.outcome != "accepted":
            self._families.dead_letters.labels(self._reasons.of(fact.outcome)).inc(fact.count)

    def _calls_parked(self, fact: CallsParked) -> None:
        family = self._families.overflowed if fact.why == Why.OVERFLOW else self._families.parked
        family.inc(fact.count)

    def _turn_committed(self, fact: TurnCommitted) -> None:
        self._families.turn_duration.observe(fact.seconds)

    def _limiter_waited(self, fact: LimiterWaited) -> None:
        self._families.limiter_wait.observe(fact.seconds)

    def _lane_changed(self, fact: LaneChanged) -> None:
        if fact.state == "owned":
            self._families.takeovers.inc()
            self._families.recovered_batches.inc(fact.recovered_batches)

    def _events_lost(self, fact: EventsLost) -> None:
        self._families.events_lost.inc(fact.end - fact.first)
