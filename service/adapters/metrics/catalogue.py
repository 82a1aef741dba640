"""Every family that is counted from facts, with what it says in a sentence.

Knows nothing of facts. `state.py` has the families that are read from the state at each scrape.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

PREFIX = "dispatcher_"

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""From a small transaction (6 ms) to the longest request that is usually allowed."""
LATENCY_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)
"""From a lone call's linger to a day's backlog."""
BATCH_CALLS = (1, 2, 5, 10, 25, 50, 100, 200, 300, 400, 490, 500, 1000, 10_000)
"""490: what a batch of 500 is held to while its flow has a backlog."""
BATCH_BYTES = (1_000, 4_000, 16_000, 64_000, 128_000, 192_000, 256_000, 262_144)
"""Up to the two readings of the provider's 256 KB."""


class Catalogue:
    """The counters and histograms of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.events_consumed = self._counter(
            "events_consumed", "Events read from the requests topic."
        )
        self.calls_dispatched = self._counter(
            "calls_dispatched",
            "Calls with a committed outcome: accepted, or the reason of their dead letter.",
            "flow",
            "outcome",
        )
        self.dead_letters = self._counter(
            "dead_letters",
            "Dead letters committed, those of events that never became a call included.",
            "reason",
        )
        self.requests = self._counter(
            "requests",
            "Requests that ended, by the provider's code, else http_ and the status's class "
            "(403, 413 and 429 in full), no_answer or not_sent.",
            "code",
        )
        self.request_duration = self._histogram(
            "request_duration_seconds", "From the start of a request to its end.", SECONDS
        )
        self.batch_calls = self._histogram("batch_calls", "Calls in a sealed batch.", BATCH_CALLS)
        self.batch_bytes = self._histogram(
            "batch_bytes", "Bytes of a sealed batch's body.", BATCH_BYTES
        )
        self.batches_sealed = self._counter(
            "batches_sealed", "Batches whose bytes were decided, by what filled them.", "cause"
        )
        self.limiter_wait = self._histogram(
            "limiter_wait_seconds", "How long a batch waited for its place in the limit.", SECONDS
        )
        self.retries = self._counter(
            "retries", "Batches that will be sent again, by what made it necessary.", "cause"
        )
        self.parked = self._counter(
            "parked",
            "Calls set aside in the parked topic: their flow is held, or not to be called now.",
        )
        self.overflowed = self._counter(
            "overflowed",
            "Calls set aside in the overflow topic: their flow has more than its share of the "
            "window.",
        )
        self.end_to_end = self._histogram(
            "end_to_end_seconds",
            "From an event's timestamp to its committed outcome; one observation a batch and "
            "outcome, of the oldest event.",
            LATENCY_SECONDS,
        )
        self.turn_duration = self._histogram(
            "turn_duration_seconds", "How long a turn's transaction took.", SECONDS
        )
        self.takeovers = self._counter(
            "takeovers", "Lanes taken over by this process, planned or after a crash."
        )
        self.recovered_batches = self._counter(
            "recovered_batches", "Open batches that were taken over from a lane's earlier owner."
        )
        self.events_lost = self._counter(
            "events_lost", "Records that retention removed before they had an outcome."
        )

    def _counter(self, name: str, sentence: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, sentence, labels, registry=self._registry)

    def _histogram(self, name: str, sentence: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(PREFIX + name, sentence, buckets=buckets, registry=self._registry)
