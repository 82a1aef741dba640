"""Tells a tracing observer of a batch's beginning and end; nobody where tracing is off.

Knows nothing of spans. Off, it costs one comparison a batch, and no header is looked at.
"""

from __future__ import annotations

from service.core.facts import BatchOpened
from service.core.traceparent import parents_of
from service.pipeline.batch import Batch
from service.pipeline.state import LaneState


def tell_opened(state: LaneState, batch: Batch) -> None:
    """The batch's calls are together: just sealed, or read again after a takeover."""
    if not state.settings.tracing.enabled:
        return
    batch.traced = True
    state.observer.tell(
        BatchOpened(state.lane, batch.id, batch.flow_id, len(batch.calls), parents_of(batch.calls))
    )
