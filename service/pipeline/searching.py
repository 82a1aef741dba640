"""The search after a 400 or 210, which names no call: is it a call's fault, or the flow's?

Knows nothing of other answers. A refused batch is cut in two once. If one half passes, the other is
cut on, until the bad calls stand alone. If both are refused, one single call is sent as a probe: if
it passes, both halves are cut on; if it is refused too, the flow is held (provider-api.md, Codes).
When another call of a flow so held passes, the first is sent once more, and ends if refused again.
Each batch's stage is in the checkpoint, and a half that waits is never sent meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from service.core.checkpoint import Stage
from service.core.verdicts import Hold, Refused
from service.pipeline.batch import Batch
from service.pipeline.sealing import Sealer
from service.pipeline.state import LaneState

MALFORMED_ADVICE = (
    "every call of the flow is refused alike: look for a field that this flow does not take, or "
    "lacks"
)


PASSED = "400 or 210 to this call, while others of its flow passed"


class Search:
    """The searches of one lane."""

    def __init__(
        self,
        state: LaneState,
        sealer: Sealer,
        *,
        requeue: Callable[[Batch], None],
        unqueue: Callable[[Batch], bool],
        reject: Callable[[Batch, str, int | None], None],
        hold: Callable[[Batch, Hold, int | None], None],
    ) -> None:
        """Nothing is searched for.

        Args:
            state: of the lane.
            sealer: cuts and mints.
            requeue: sends a batch after the next turn.
            unqueue: takes a batch out of the queue; False if it is under way.
            reject: ends a single call, with a text and the provider's code.
            hold: stops the batch's flow.
        """
        self._state = state
        self._sealer = sealer
        self._requeue = requeue
        self._reject = reject
        self._hold = hold
        self._unqueue = unqueue

    def refused(self, batch: Batch, verdict: Refused) -> None:
        """A batch was refused so; the attempt is noted already."""
        single, stage = len(batch.calls) == 1, batch.saved.stage
        if stage is Stage.CUTTING:
            self._cut_or_reject(batch, verdict.message, verdict.code)
        elif stage is Stage.NONE and not single:
            self._cut(batch, Stage.HALF)
        elif stage is Stage.HALF:
            self._mark(batch, Stage.REFUSED)
            self._requeue(batch)
            self.look()
        else:
            self._doubt_flow(batch, verdict)

    def _doubt_flow(self, batch: Batch, verdict: Refused) -> None:
        """A single call was refused: the flow's fault, unless another of its calls passes."""
        held = self._state.holds.flow(batch.flow_id)
        self._hold(batch, Hold("flow", f"{verdict.message}; {MALFORMED_ADVICE}"), verdict.code)
        # While the flow is held already, this was another call that was tried, or the same again.
        suspect = held is None or batch.saved.stage is Stage.SUSPECT
        if not suspect and self._state.batcher.has(batch.flow_id):
            # It may be bad itself: the next canary is a call that was not tried yet.
            self._sealer.set_aside(batch, canary=False)
            return
        self._mark(batch, Stage.SUSPECT if suspect else Stage.NONE)
        self._requeue(batch)

    def _mark(self, batch: Batch, stage: Stage) -> None:
        """New bytes, and the next stage."""
        self._sealer.mint_anew(batch)
        self._set_stage(batch, stage)

    def _set_stage(self, batch: Batch, stage: Stage) -> None:
        batch.saved = msgspec.structs.replace(batch.saved, stage=stage)
        self._state.outbox.wanted = True

    def _cut(self, batch: Batch, stage: Stage) -> None:
        family = batch.saved.search or batch.id
        for part in self._sealer.cut(
            batch, (len(batch.calls) + 1) // 2, search=family, stage=stage
        ):
            self._requeue(part)

    def _cut_or_reject(self, batch: Batch, message: str, code: int | None) -> None:
        if len(batch.calls) == 1:
            self._reject(batch, message, code)
        else:
            self._cut(batch, Stage.CUTTING)

    def passed(self, batch: Batch) -> None:
        """A batch got an answer that shows that its flow takes calls."""
        flow_id, open_batches = batch.flow_id, self._state.open.values()
        if not self._state.has_others(batch):
            return
        for other in [o for o in open_batches if o.flow_id == flow_id and o is not batch]:
            stage = other.saved.stage
            family = batch.saved.search is not None and other.saved.search == batch.saved.search
            if stage is Stage.SUSPECT:
                # Sent once more: it may be the flow that was repaired meanwhile.
                self._set_stage(other, Stage.CUTTING)
            elif family and stage is Stage.HALF:
                self._set_stage(other, Stage.CUTTING)
            elif family and stage is Stage.REFUSED and self._unqueue(other):
                self._cut_or_reject(other, PASSED, other.saved.refused_code)

    def look(self) -> None:
        """Probe for families of which nothing is left but what was refused."""
        members: dict[str, list[Batch]] = {}
        for batch in self._state.open.values():
            if batch.saved.search is not None:
                members.setdefault(batch.saved.search, []).append(batch)
        for batches in members.values():
            stages = {batch.saved.stage for batch in batches}
            if Stage.REFUSED in stages and not stages & {Stage.HALF, Stage.PROBE}:
                self._probe(next(b for b in batches if b.saved.stage is Stage.REFUSED))

    def _probe(self, batch: Batch) -> None:
        """Send one call alone."""
        self._unqueue(batch)
        if len(batch.calls) == 1:
            self._set_stage(batch, Stage.PROBE)
            self._requeue(batch)
            return
        parts = self._sealer.cut(batch, 1, search=batch.saved.search, stage=Stage.REFUSED)
        self._set_stage(parts[0], Stage.PROBE)
        for part in parts:
            part.saved = msgspec.structs.replace(part.saved, refused_code=batch.saved.refused_code)
            self._requeue(part)
