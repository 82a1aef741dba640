"""The core's stages on batches like those of a backlog: 500 calls of one flow, of 140 bytes each.

Knows nothing of how they are timed. Each stage leaves everything as it was, so that it can be
repeated.
"""

from __future__ import annotations

from bench.load import EVENT
from service.core import checkpoint as checkpoints
from service.core import codec
from service.core.batching import Batcher
from service.core.checkpoint import OpenBatch, pack_sources
from service.core.codec import CODEC_VERSION, Recipe
from service.core.drafts import Bounds
from service.core.history import History, Request
from service.core.intake import Intake, IntakeRules, PlainRecord
from service.core.offsets import Ledger
from service.core.outcomes import Acceptance, Results, template_of
from service.core.rate import WindowGuard
from service.core.verdicts import Response, judge
from service.pipeline.judging import Identifiers

CALLS = 500
OPEN_BATCHES = 20
"""As with the default `concurrency`, and some that wait."""
TOPIC, FLOW, SECRET = "calls.requests", "AbCd1234", "a1" * 32
BODY_BYTES_MAX = 256_000
NOW = 1_700_000_000.0
RECIPE = Recipe(
    codec_version=CODEC_VERSION,
    api_version="1.0",
    fills_start_time=False,
    number_format="digits",
    time_zone="Asia/Kolkata",
    correlation_key=None,
    dummy_number=None,
)
RULES = IntakeRules(
    value_bytes_max=BODY_BYTES_MAX,
    meta_bytes_max=65_536,
    body_bytes_max=BODY_BYTES_MAX,
    number_check="valid",
    foreign_numbers="send",
)
ACCEPTED = b'{"api-response-code":202,"message":"Accepted","request-id":"r-1","call-details":null}'


class CoreStages:
    """One batch, and what each stage does with it."""

    def __init__(self) -> None:
        overhead = codec.overhead_bytes(RECIPE, FLOW, SECRET)
        self._bounds = Bounds(CALLS, BODY_BYTES_MAX - overhead, linger_seconds=1.0)
        self._intake = Intake(RULES, lambda _: RECIPE, lambda _: overhead)
        self._records = [
            PlainRecord(
                (EVENT % (FLOW, number, number, number)).encode(),
                b"customer-%d" % (number // 3),
                topic=TOPIC,
                partition=1,
                offset=number,
                timestamp=int(NOW * 1000) + number,
            )
            for number in range(CALLS)
        ]
        self._calls = [self._intake.accept(record) for record in self._records]
        self._offsets = range(CALLS)
        self._state = self._checkpoint()

    def intake(self) -> None:
        """Decode, check and lay out each event."""
        for record in self._records:
            self._intake.accept(record)

    def ledger(self) -> None:
        """Read, pack for a checkpoint, and finish."""
        ledger = Ledger(TOPIC, 1, 0)
        ledger.read(self._offsets)
        ledger.state()
        ledger.finish(self._offsets)

    def batching(self) -> None:
        """Fill a draft, and take it."""
        batcher = Batcher(lambda _: self._bounds)
        batcher.extend(FLOW, self._calls, NOW)
        batcher.take(NOW, lambda _: True)

    def body(self) -> None:
        """The bytes of the request and their sha256."""
        body = codec.body(RECIPE, FLOW, SECRET, [call.fragment for call in self._calls], None)
        codec.sha256(body)

    def verdict(self) -> None:
        """What an ordinary answer means."""
        request = Request(Identifiers(self._calls), NOW, NOW)
        judge("bulk", History(), request, Response(202, ACCEPTED))

    def outcome(self) -> None:
        """The results of a batch."""
        acceptance = Acceptance("b" * 16, FLOW, "r-1", 202, "response", 1, int(NOW * 1000))
        template = template_of(acceptance)
        list(Results([(template, call, None) for call in self._calls]))

    def checkpoint(self) -> None:
        """Encode the state of a lane with its open batches, twenty times."""
        for _ in range(20):
            checkpoints.encode(self._state)

    def rate(self) -> None:
        """As many grants as one second at 100,000 calls a second needs."""
        guard = WindowGuard(CALLS * 1000, 1000)
        for number in range(200):
            guard.ask(CALLS, NOW + number)
            guard.end(guard.grant(CALLS), NOW + number)

    def _checkpoint(self) -> checkpoints.Checkpoint:
        sources = pack_sources([1] * CALLS, self._offsets)
        batches = [
            OpenBatch(
                f"{number:016x}",
                FLOW,
                CALLS,
                sources,
                mint=0,
                tailed=False,
                sha256=bytes(32),
                recipe=RECIPE,
            )
            for number in range(OPEN_BATCHES)
        ]
        ledger = Ledger(TOPIC, 1, 0)
        ledger.read(range(CALLS * OPEN_BATCHES))
        return checkpoints.Checkpoint(
            version=checkpoints.VERSION,
            lane=0,
            lanes=1,
            owner="o" * 16,
            turn=1,
            lease_seconds=8.0,
            timeout_seconds=30.0,
            released=False,
            partitions=[ledger.state()],
            batches=batches,
            tally=[(second, CALLS, 1) for second in range(60)],
            holds=[],
        )
