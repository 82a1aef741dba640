"""Decides the exact bytes of batches: sealing drafts, minting anew, cutting, rebuilding.

Knows nothing of when they are sent: only after a turn has made durable what it decided.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import msgspec

from service.core import codec
from service.core.aside import by_partition, columns_of
from service.core.calls import PLAIN, Call, Extra, Record, bytes_of, special_of
from service.core.checkpoint import OpenBatch, Stage, pack_sources
from service.core.codec import Recipe
from service.core.drafts import Cause, Draft
from service.core.facts import BatchSealed
from service.core.outcomes import Failure
from service.core.times import day_of, moved, start_time_at
from service.errors import EventRefused
from service.pipeline.batch import Batch, mint_id
from service.pipeline.bodies import fragment, fragments, unshifted
from service.pipeline.endings import expiry, with_history
from service.pipeline.flows import Flows
from service.pipeline.gate import Gate
from service.pipeline.state import LaneState
from service.pipeline.tracing import tell_opened
from service.ports import Clock


class Sealer:
    """Makes batches of one lane."""

    def __init__(
        self,
        state: LaneState,
        flows: Flows,
        clock: Clock,
        rng: random.Random,
        gate: Gate,
    ) -> None:
        self._state = state
        self._flows = flows
        self._gate = gate
        self._clock = clock
        self._rng = rng

    def seal(self, draft: Draft) -> Batch | None:
        """A batch of the draft's calls that may still be sent; the others end, or wait apart."""
        wall = self._clock.wall()
        today = day_of(wall)
        calls: Sequence[Call] = draft.calls
        special = special_of(calls)
        late = [call for call in special if call.extra.expired(wall, today)]
        if late:
            self._state.failed(draft.flow_id, late, expiry(self._state.now_ms(), draft.flow_id))
            calls = [call for call in calls if not call.extra.expired(wall, today)]
        if self._flows.hours(draft.flow_id) is not None:
            calls = self._gate.park_closed(calls)
        if not calls:
            return None
        recipe = self._filled_now(self._flows.recipe(draft.flow_id), calls)
        again = special if calls is draft.calls else special_of(calls)
        failed = [ms for call in again if (ms := call.extra.first_failed_ms) is not None]
        return self._make(
            draft.flow_id,
            calls,
            recipe,
            draft.cause,
            before=max(map(self._sent_before, again), default=-1),
            first_failed_ms=min(failed, default=None),
        )

    def _sent_before(self, call: Call) -> int:
        """How often the call was in a body, in this life or an earlier one; -1 if it never was."""
        if call.extra.attempts:
            return call.extra.attempts
        return 0 if self._state.is_replayed(call) else -1

    def _filled_now(self, recipe: Recipe, calls: Sequence[Call]) -> Recipe:
        """The recipe with the time of sealing, if a call needs one."""
        if not recipe.fills_start_time or all(call.fill_at < 0 for call in calls):
            return recipe
        return msgspec.structs.replace(recipe, fill_time=start_time_at(self._clock.wall()))

    def _make(
        self,
        flow_id: str,
        calls: Sequence[Call],
        recipe: Recipe,
        cause: Cause,
        *,
        before: int = -1,
        first_failed_ms: int | None = None,
        search: str | None = None,
        stage: Stage = Stage.NONE,
    ) -> Batch:
        """`before`: attempts of the batches its calls were in, or -1 for fresh calls."""
        batch_id = f"{self._rng.getrandbits(64):016x}"
        tailed = before >= 0
        if tailed:
            recipe = self._shifted_if_needed(flow_id, calls[0], recipe)
        body = self._body(flow_id, calls, recipe, mint_id(batch_id, 0) if tailed else None)
        digest = codec.sha256(body)
        if digest in self._state.bodies:
            # The same calls are in an open batch: the provider must not take this for a repeat.
            tailed = True
            recipe = self._shifted_if_needed(flow_id, calls[0], recipe)
            body = self._body(flow_id, calls, recipe, mint_id(batch_id, 0))
            digest = codec.sha256(body)
        partitions, offsets = columns_of([call.record for call in calls])
        indices = map(self._state.index_of().__getitem__, partitions)
        saved = OpenBatch(
            batch_id,
            flow_id,
            len(calls),
            pack_sources(indices, offsets),
            0,
            tailed,
            digest,
            recipe,
            attempts_before=max(0, before),
            first_failed_ms=first_failed_ms,
            search=search,
            stage=stage,
        )
        account, lie_at = self._flows.account(flow_id), by_partition(partitions, offsets)
        batch = Batch(saved, account, lie_at, calls, body)
        self._state.open_batch(batch)
        tell_opened(self._state, batch)
        self._state.outbox.facts.append(
            BatchSealed(batch_id, flow_id, len(calls), len(body), cause)
        )
        return batch

    def _shifted_if_needed(self, flow_id: str, first: Call, recipe: Recipe) -> Recipe:
        """The recipe of new bytes: a moved start-time too, where a tail is not enough."""
        if self._flows.account(flow_id) not in self._state.shifting:
            return recipe
        before = recipe.shift_time or codec.start_time_in(fragment(first, recipe), first.identifier)
        now = start_time_at(self._clock.wall())
        return msgspec.structs.replace(recipe, shift_time=moved(before) if before else now)

    def _body(self, flow_id: str, calls: Sequence[Call], recipe: Recipe, tail: int | None) -> bytes:
        security_id = self._flows.flow(flow_id).security_id
        return codec.body(recipe, flow_id, security_id, fragments(calls, recipe), tail)

    def mint_anew(self, batch: Batch) -> None:
        """Other bytes with the same meaning, for a provider that may remember these."""
        saved = batch.saved
        mint = saved.mint + 1
        recipe = self._shifted_if_needed(saved.flow_id, batch.calls[0], saved.recipe)
        body = self._body(saved.flow_id, batch.calls, recipe, mint_id(saved.id, mint))
        self._state.bodies.discard(saved.sha256)
        batch.body = body
        batch.previous_security_id = False
        batch.sent = False
        batch.saved = msgspec.structs.replace(
            saved,
            mint=mint,
            tailed=True,
            sha256=codec.sha256(body),
            recipe=recipe,
            attempts=(),
            attempts_before=batch.attempts_made,
            refused_code=saved.attempts[-1].code if saved.attempts else saved.refused_code,
            first_possible_ms=None,
        )
        self._state.bodies.add(batch.saved.sha256)

    def cut(
        self, batch: Batch, first: int, *, search: str | None = None, stage: Stage = Stage.NONE
    ) -> tuple[Batch, Batch]:
        """The batch's first calls and the others, in the place of one that was refused whole."""
        self._state.close_batch(batch)
        some, others = batch.calls[:first], batch.calls[first:]
        return (
            self._part(batch, some, search=search, stage=stage),
            self._part(batch, others, search=search, stage=stage),
        )

    def _part(
        self,
        batch: Batch,
        calls: Sequence[Call],
        *,
        search: str | None = None,
        stage: Stage = Stage.NONE,
    ) -> Batch:
        """Some calls of a batch that was refused and is closed by now, to be sent on their own."""
        today = day_of(self._clock.wall())
        made = self._make(
            batch.flow_id,
            calls,
            self._filled_now(unshifted(batch, calls[0], today), calls),
            Cause.CUT,
            before=batch.attempts_made,
            first_failed_ms=batch.saved.first_failed_ms,
            search=search,
            stage=stage,
        )
        made.durable_turn, made.due = self._state.turn + 1, batch.due
        return made

    def shed(
        self, batch: Batch, end_of: Callable[[Call], Failure | None] | None = None
    ) -> Batch | None:
        """A batch that is in no doubt and has calls that must not be sent: those end.

        Args:
            batch: it is closed.
            end_of: how a call ends, or None if it goes on; left out: those expire whose time
                went by.

        Returns:
            A batch of the others if they were in a body before, to be sent after the next turn;
            else None: they are batched afresh.
        """
        state, wall = self._state, self._clock.wall()
        today, now_ms = day_of(wall), state.now_ms()

        def expires(call: Call) -> Failure | None:
            late = call.extra.expired(wall, today)
            return expiry(now_ms, batch.flow_id) if late else None

        state.close_batch(batch)
        rest = []
        for call in batch.calls:
            failure = (end_of or expires)(call)
            if failure is None:
                rest.append(call)
            else:
                state.failed(batch.flow_id, [call], with_history(failure, batch))
        if not rest:
            return None
        if batch.attempts_made:
            return self._part(batch, rest)
        self._gate.admit(rest)
        return None

    def set_aside(self, batch: Batch, *, canary: bool) -> Batch | None:
        """A batch of a held flow that is in no doubt makes room.

        Returns:
            If `canary` is wanted and its calls were sent before: a batch of one of them.
        """
        self._state.close_batch(batch)
        if not batch.attempts_made:
            self._gate.admit(batch.calls)
            return None
        kept = 1 if canary else 0
        self._gate.park_refused(batch, batch.calls[kept:])
        return self._part(batch, batch.calls[:1]) if canary else None

    def close_hours(self, batch: Batch) -> Batch | None:
        """A batch in no doubt, of a flow that must not be called now, waits apart."""
        self._state.close_batch(batch)
        if not batch.attempts_made:
            self._gate.admit(batch.calls)
            return None
        rest = self._gate.park_closed(batch.calls, batch)
        return self._part(batch, rest) if rest else None

    def rebuild(self, batch: Batch) -> bool:
        """Give a recovered batch its calls and the bytes it had; False if they cannot be had."""
        saved = batch.saved
        tail = mint_id(saved.id, saved.mint) if saved.tailed else None
        try:
            calls = [self._rebuilt(batch.found[source], saved.recipe) for source in batch.sources]
        except EventRefused:
            return False
        elements = fragments(calls, saved.recipe)
        for place, security_id in enumerate(self._flows.security_ids(saved.flow_id)):
            body = codec.body(saved.recipe, saved.flow_id, security_id, elements, tail)
            if codec.sha256(body) == saved.sha256:
                batch.set_calls(calls, body)
                batch.previous_security_id = place > 0
                batch.found = {}
                tell_opened(self._state, batch)
                return True
        return False

    @staticmethod
    def _rebuilt(record: Record, recipe: Recipe) -> Call:
        source = (record.topic, record.partition, record.offset)
        rebuilt = codec.rebuild(record.value or b"", recipe, source)
        extra = Extra(rebuilt.start_day, rebuilt.expires_at)
        return Call(
            record,
            rebuilt.flow_id,
            rebuilt.fragment,
            rebuilt.identifier_end,
            bytes_of([record]),
            PLAIN if extra == PLAIN else extra,
        )
