"""Why calls end without the provider having said so: texts for dead letters, and what is known.

Knows nothing of when these ends come.
"""

from __future__ import annotations

from dataclasses import replace

from service.core.calls import Call
from service.core.cancels import Cancel
from service.core.holds import HoldState
from service.core.outcomes import Failure
from service.pipeline.batch import Batch


def expiry(now_ms: int, flow_id: str) -> Failure:
    """Of calls whose time went by before they were sent."""
    return Failure(
        "expired",
        "start-time's day or expires-at has passed; publish it again with a new time",
        now_ms,
        flow_id=flow_id,
    )


def with_history(failure: Failure, batch: Batch) -> Failure:
    """The failure with what is known of its batch."""
    return replace(
        failure,
        flow_id=batch.flow_id,
        batch_id=batch.id,
        attempts=batch.attempts_made,
        first_failed_ms=batch.saved.first_failed_ms,
    )


def cancelled(cancel: Cancel, now_ms: int, call: Call) -> Failure:
    """Of calls that an operator does not want to be sent."""
    why = f": {cancel.reason}" if cancel.reason else ""
    return Failure(
        "cancelled",
        f"cancelled by an operator before it was sent (command {cancel.id}){why}",
        now_ms,
        flow_id=cancel.flow_id,
        attempts=call.extra.attempts,
        first_failed_ms=call.extra.first_failed_ms,
    )


def exhausted(hold: HoldState, now_ms: int, call: Call) -> Failure:
    """Of calls whose flow was held for too long."""
    return Failure(
        "exhausted",
        f"its flow was held for retry.park_max_seconds; {hold.reason}",
        now_ms,
        hold.code,
        flow_id=call.flow_id,
        attempts=call.extra.attempts,
        first_failed_ms=call.extra.first_failed_ms,
    )
