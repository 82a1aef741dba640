"""Decides the exact bytes of batches: sealing drafts, minting anew, cutting, rebuilding.

Knows nothing of when they are sent: only after a turn has made durable what it decided.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from service.core import codec
from service.core.batching import Cause, Draft
from service.core.calls import Call, Record
from service.core.checkpoint import OpenBatch, pack_sources
from service.core.codec import Recipe
from service.core.facts import BatchSealed
from service.core.outcomes import Failure
from service.core.times import day_of, moved, start_time_at
from service.errors import EventRefused
from service.pipeline.batch import Batch, mint_id
from service.pipeline.flows import Flows
from service.pipeline.state import LaneState
from service.ports import Clock


class Sealer:
    """Makes batches of one lane."""

    def __init__(
        self,
        state: LaneState,
        flows: Flows,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._state = state
        self._flows = flows
        self._clock = clock
        self._rng = rng

    def seal(self, draft: Draft) -> Batch | None:
        """A batch of the draft's calls that may still be sent; the others end as `expired`."""
        wall = self._clock.wall()
        today = day_of(wall)
        calls: Sequence[Call] = draft.calls
        expired = [call for call in calls if call.expired(wall, today)]
        if expired:
            self._state.failed(draft.flow_id, expired, expiry(self._state.now_ms(), draft.flow_id))
            calls = [call for call in calls if not call.expired(wall, today)]
        if not calls:
            return None
        recipe = self._filled_now(self._flows.recipe(draft.flow_id), calls)
        return self._make(draft.flow_id, calls, recipe, draft.cause)

    def _filled_now(self, recipe: Recipe, calls: Sequence[Call]) -> Recipe:
        """The recipe with the time of sealing, if a call needs one."""
        if all(call.fill_at < 0 for call in calls):
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
    ) -> Batch:
        """`before`: attempts of the batch it is cut from, or -1 for fresh calls."""
        batch_id = f"{self._rng.getrandbits(64):016x}"
        tailed = before >= 0
        if tailed:
            recipe = self._shifted_if_needed(flow_id, calls[0], recipe)
        body = self._body(flow_id, calls, recipe, mint_id(batch_id, 0) if tailed else None)
        if codec.sha256(body) in self._state.bodies:
            # The same calls are in an open batch: the provider must not take this for a repeat.
            tailed = True
            recipe = self._shifted_if_needed(flow_id, calls[0], recipe)
            body = self._body(flow_id, calls, recipe, mint_id(batch_id, 0))
        index_of = self._state.index_of()
        sources = [(c.record.topic, c.record.partition, c.record.offset) for c in calls]
        saved = OpenBatch(
            batch_id,
            flow_id,
            len(calls),
            pack_sources([(index_of[s[0], s[1]], s[2]) for s in sources]),
            0,
            tailed,
            codec.sha256(body),
            recipe,
            attempts_before=max(0, before),
            first_failed_ms=first_failed_ms,
        )
        batch = Batch(saved, sources, self._flows.account(flow_id), calls, body)
        self._state.open_batch(batch)
        self._state.outbox.facts.append(
            BatchSealed(batch_id, flow_id, len(calls), len(body), cause)
        )
        return batch

    def _shifted_if_needed(self, flow_id: str, first: Call, recipe: Recipe) -> Recipe:
        """The recipe of new bytes: a moved start-time too, where a tail is not enough."""
        if self._flows.account(flow_id) not in self._state.shifting:
            return recipe
        before = recipe.shift_time or codec.start_time_in(
            _fragment(first, recipe), first.identifier
        )
        now = start_time_at(self._clock.wall())
        return msgspec.structs.replace(recipe, shift_time=moved(before) if before else now)

    def _body(self, flow_id: str, calls: Sequence[Call], recipe: Recipe, tail: int | None) -> bytes:
        security_id = self._flows.flow(flow_id).security_id
        return codec.body(recipe, flow_id, security_id, _fragments(calls, recipe), tail)

    def mint_anew(self, batch: Batch) -> None:
        """Other bytes with the same meaning, for a provider that may remember these."""
        saved = batch.saved
        mint = saved.mint + 1
        recipe = self._shifted_if_needed(saved.flow_id, batch.calls[0], saved.recipe)
        body = self._body(saved.flow_id, batch.calls, recipe, mint_id(saved.id, mint))
        self._state.bodies.discard(saved.sha256)
        batch.body = body
        batch.sent = False
        batch.saved = msgspec.structs.replace(
            saved,
            mint=mint,
            tailed=True,
            sha256=codec.sha256(body),
            recipe=recipe,
            attempts=(),
            attempts_before=batch.attempts_made,
            first_possible_ms=None,
        )
        self._state.bodies.add(batch.saved.sha256)

    def cut(self, batch: Batch) -> list[Batch]:
        """Two halves in the place of a batch that was refused whole."""
        middle = (len(batch.calls) + 1) // 2
        self._state.close_batch(batch)
        return [
            self._make(
                batch.flow_id,
                part,
                _unshifted(batch, part[0], day_of(self._clock.wall())),
                Cause.CUT,
                before=batch.attempts_made,
                first_failed_ms=batch.saved.first_failed_ms,
            )
            for part in (batch.calls[:middle], batch.calls[middle:])
        ]

    def shed(self, batch: Batch) -> Batch | None:
        """A batch that is in no doubt and has calls whose time went by: those end `expired`.

        Returns:
            A batch of the others if they were in a body before, to be sent after the next turn;
            else None: they are batched afresh.
        """
        state, wall = self._state, self._clock.wall()
        today, now_ms = day_of(wall), state.now_ms()
        state.close_batch(batch)
        expired = [call for call in batch.calls if call.expired(wall, today)]
        rest = [call for call in batch.calls if not call.expired(wall, today)]
        state.failed(batch.flow_id, expired, with_history(expiry(now_ms, batch.flow_id), batch))
        if not rest:
            return None
        if batch.attempts_made:
            recipe = self._filled_now(_unshifted(batch, rest[0], today), rest)
            before = batch.attempts_made
            made = self._make(
                batch.flow_id,
                rest,
                recipe,
                Cause.CUT,
                before=before,
                first_failed_ms=batch.saved.first_failed_ms,
            )
            made.durable_turn, made.due = state.turn + 1, batch.due
            return made
        now = asyncio.get_running_loop().time()
        for call in rest:
            state.batcher.add(call, now)
        return None

    def rebuild(self, batch: Batch) -> bool:
        """Give a recovered batch its calls and the bytes it had; False if they cannot be had."""
        saved = batch.saved
        tail = mint_id(saved.id, saved.mint) if saved.tailed else None
        try:
            calls = [self._rebuilt(batch.found[source], saved.recipe) for source in batch.sources]
        except EventRefused:
            return False
        fragments = _fragments(calls, saved.recipe)
        for security_id in self._flows.security_ids(saved.flow_id):
            body = codec.body(saved.recipe, saved.flow_id, security_id, fragments, tail)
            if codec.sha256(body) == saved.sha256:
                batch.calls, batch.body = calls, body
                batch.found = {}
                return True
        return False

    @staticmethod
    def _rebuilt(record: Record, recipe: Recipe) -> Call:
        source = (record.topic, record.partition, record.offset)
        rebuilt = codec.rebuild(record.value or b"", recipe, source)
        return Call(
            record,
            rebuilt.flow_id,
            rebuilt.identifier,
            rebuilt.identity,
            rebuilt.fragment,
            fill_at=rebuilt.fill_at,
            start_day=rebuilt.start_day,
            expires_at=rebuilt.expires_at,
        )


def _unshifted(batch: Batch, first: Call, today: int) -> Recipe:
    """The batch's recipe for other calls: a moved start-time is its first call's, on its day."""
    recipe, day = batch.saved.recipe, batch.shift_day
    if first is batch.calls[0] and (day is None or day >= today):
        return recipe
    return msgspec.structs.replace(recipe, shift_time=None)


def _fragment(call: Call, recipe: Recipe) -> bytes:
    if call.fill_at < 0:
        return call.fragment
    return codec.filled(call.fragment, call.fill_at, recipe.fill_time or "")


def _fragments(calls: Sequence[Call], recipe: Recipe) -> list[bytes]:
    """The exact elements of a body."""
    if recipe.fill_time is None:
        fragments = [call.fragment for call in calls]
    else:
        fragments = [_fragment(call, recipe) for call in calls]
    if recipe.shift_time is not None:
        fragments[0] = codec.shifted(fragments[0], calls[0].identifier, recipe.shift_time)
    return fragments


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
