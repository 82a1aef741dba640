"""Makes one OpenTelemetry span of each batch: an `Observer`, imported only if tracing is on.

Knows nothing of calls: a span has ids, counts, codes and times, and links to the spans of upstream
that the events came from. The rest is OpenTelemetry's: where to is in its OTEL_… variables, spans
wait in a bounded queue, and a thread of its own exports them.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, TraceFlags

from service.core.facts import (
    BatchClosed,
    BatchOpened,
    BatchSealed,
    LaneChanged,
    RequestEnded,
    RetryPlanned,
)
from service.core.listening import Listening
from service.core.traceparent import Parent
from service.errors import ConfigurationError

CLOSE_SECONDS_MAX = 3.0
"""For the last spans to be exported: a collector that is away must not use up the grace period."""
SPAN_NAME = "calls batch"


class Tracing(Listening):
    """`Observer` that keeps a span for each open batch; there are as many as open batches."""

    def __init__(self, instance: str, links_max: int, exporter: SpanExporter | None = None) -> None:
        """Start exporting.

        Args:
            instance: names this process among the replicas.
            links_max: of a span: the calls of a batch.
            exporter: instead of OTLP over HTTP.

        Raises:
            ConfigurationError: an OTEL_… variable has no meaning.
        """
        program = "call-dispatcher"
        own = {"service.name": program, "service.version": version(program)}
        resource = Resource({**own, "service.instance.id": instance})
        try:
            self._provider = TracerProvider(
                resource=Resource.create().merge(resource).merge(OTELResourceDetector().detect()),
                span_limits=SpanLimits(max_links=links_max),
                shutdown_on_exit=False,
            )
            processor = BatchSpanProcessor(exporter or OTLPSpanExporter())
        except ValueError as error:
            raise ConfigurationError(f"tracing: one of the OTEL_… variables: {error}") from error
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(program, version(program))
        self._open: dict[str, tuple[int, int, Span]] = {}
        """By batch-id: lane, calls and span."""
        self.on = {
            BatchOpened: self._opened,
            BatchSealed: self._sealed,
            RequestEnded: self._request_ended,
            RetryPlanned: self._retry_planned,
            BatchClosed: self._closed,
            LaneChanged: self._lane_changed,
        }

    def close(self) -> None:
        """End what is open, and export what waits, in a bounded time. Nothing is told after it."""
        self._give_up(list(self._open))
        # A thread that may be left behind: the exporter itself waits longer than a pod may.
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(CLOSE_SECONDS_MAX)

    def _opened(self, fact: BatchOpened) -> None:
        sampled = [parent for parent in fact.parents if parent.sampled]
        if fact.parents and not sampled:
            # All that upstream traced of it was left out there: nothing would be found at the end.
            return
        span = self._tracer.start_span(
            SPAN_NAME,
            Context(),
            SpanKind.CONSUMER,
            {
                "messaging.system": "kafka",
                "messaging.batch.message_count": fact.calls,
                "dispatch.batch-id": fact.batch_id,
                "dispatch.flow-id": fact.flow_id,
                "dispatch.lane": fact.lane,
            },
            links=[Link(_context(parent)) for parent in sampled],
        )
        self._open[fact.batch_id] = fact.lane, fact.calls, span

    def _span(self, batch_id: str) -> Span | None:
        found = self._open.get(batch_id)
        return None if found is None else found[2]

    def _sealed(self, fact: BatchSealed) -> None:
        span = self._span(fact.batch_id)
        if span is not None:
            span.set_attribute("dispatch.body-bytes", fact.body_bytes)
            span.set_attribute("dispatch.sealed-by", fact.cause)
            span.add_event("durable")

    def _request_ended(self, fact: RequestEnded) -> None:
        span = self._span(fact.batch_id)
        if span is not None:
            span.set_attribute("dispatch.attempts", fact.attempt)
            span.set_attribute("dispatch.code", fact.code)
            span.add_event("request ended", {"code": fact.code, "seconds": fact.seconds})

    def _retry_planned(self, fact: RetryPlanned) -> None:
        span = self._span(fact.batch_id)
        if span is not None:
            span.add_event("retry planned", {"cause": fact.cause, "seconds": fact.seconds})

    def _closed(self, fact: BatchClosed) -> None:
        found = self._open.pop(fact.batch_id, None)
        if found is None:
            return
        _, calls, span = found
        span.set_attribute("dispatch.calls-accepted", fact.accepted)
        if fact.accepted < calls:
            span.set_status(StatusCode.ERROR, f"{calls - fact.accepted} calls not accepted")
        span.end()

    def _lane_changed(self, fact: LaneChanged) -> None:
        """Whatever ends or begins a lane's life, its batches go on elsewhere or anew."""
        if fact.state == "owned":
            return
        # Whoever is fenced leaves the group, and with it gives up its other lanes.
        every = fact.state == "fenced"
        lanes = [(batch_id, lane) for batch_id, (lane, _, _) in self._open.items()]
        self._give_up([batch_id for batch_id, lane in lanes if every or lane == fact.lane])

    def _give_up(self, batch_ids: Collection[str]) -> None:
        for batch_id in batch_ids:
            _, _, span = self._open.pop(batch_id)
            span.set_attributes({"dispatch.left-open": True})
            span.end()


def _context(parent: Parent) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags)
