"""The ways in which the program is broken, one at a time.

Each takes away what a promise rests on. Knows nothing of how the breaking is done, or who notices.
"""

from __future__ import annotations

from tests.mutations.mutation import Mutation

NO_LAST_LOOK = Mutation(
    "holds are not asked before the first byte",
    "pipeline/review.py",
    "        if state.holds.stopped(batch.flow_id, batch.account):\n",
    "        if False:\n",
)
FORGETFUL = Mutation(
    "a process forgets what it heard",
    "pipeline/heard.py",
    "        return (*attempts, *missing)\n",
    "        return attempts\n",
)

OWNERS = (
    Mutation(
        "fenced only after the last checkpoint was read",
        "pipeline/takeover.py",
        """\
        await writer.start()
        fenced_at = clock.boot()
        stored = await broker.last_checkpoint(lane)
""",
        """\
        stored = await broker.last_checkpoint(lane)
        await writer.start()
        fenced_at = clock.boot()
""",
    ),
    Mutation(
        "another owner's checkpoint passes for the own one",
        "pipeline/turns.py",
        "        if found != self._last:\n",
        "        if found is None:\n",
    ),
    Mutation(
        "a lost commit passes for done",
        "pipeline/turns.py",
        """\
                if known is not None:
                    return known
""",
        "                return known or self._state.now_ms()\n",
    ),
    Mutation(
        "a lost commit passes for not done",
        "pipeline/turns.py",
        "            return stored.timestamp_ms\n",
        "            return None\n",
    ),
    Mutation(
        "answers are forgotten when a commit's answer is lost",
        "pipeline/turns.py",
        "                failures += 1\n",
        "                raise\n",
        also=(FORGETFUL,),
    ),
    Mutation(
        "the lease is skipped",
        "pipeline/turns.py",
        "        return self._clock.boot() - self._began < self._lease\n",
        "        return True\n",
    ),
    Mutation(
        "the lease is not asked before the first byte",
        "pipeline/sender.py",
        "lambda: turns.leased() and self._review.may_begin(batch)\n",
        "lambda: self._review.may_begin(batch)\n",
    ),
    Mutation(
        "a successor does not wait for the lease",
        "pipeline/lane.py",
        "            send_after += predecessor.lease_seconds\n",
        "            send_after += 0.0\n",
    ),
    Mutation(
        "an owner passes on only its own lease",
        "pipeline/lane.py",
        "            loops.turns.inherit(send_after, send_after + predecessor.timeout_seconds)\n",
        "",
    ),
    Mutation(
        "recovered batches do not wait for the time limit",
        "pipeline/loops.py",
        "        batch.due = self.quiet_at\n",
        "        batch.due = 0.0\n",
    ),
    Mutation(
        "a lane is released with requests under way",
        "pipeline/lane.py",
        "released=all_landed and quiet)\n",
        "released=True)\n",
    ),
)

BYTES = (
    Mutation(
        "sent before its turn is committed",
        "pipeline/turns.py",
        "                await self.commit(sealed)\n",
        """\
                for batch in sealed:
                    self._hooks.release(batch)
                await self.commit()
""",
    ),
    Mutation(
        "new bytes are sent before their turn is committed",
        "pipeline/settling.py",
        "        batch.durable_turn = self._state.turn + 1\n",
        "        batch.durable_turn = 0\n",
    ),
    Mutation(
        "a resend in doubt has new bytes",
        "pipeline/settling.py",
        '        self._told_again(batch, "held" if hold else "ambiguous", wait)\n',
        "        self._sealer.mint_anew(batch)\n",
    ),
    Mutation(
        "the sha256 of rebuilt bytes is not compared",
        "pipeline/sealing.py",
        "            if codec.sha256(body) == saved.sha256:\n",
        "            if body:\n",
    ),
    Mutation(
        "earlier security-ids are not tried",
        "pipeline/flows.py",
        "(self.flow(flow_id).security_id, *self._settings.previous_security_ids)",
        "(self.flow(flow_id).security_id,)",
    ),
    Mutation(
        "new bytes without a tail",
        "pipeline/sealing.py",
        "recipe, mint_id(saved.id, mint))\n",
        "recipe, None)\n",
    ),
    Mutation(
        "calls that were refused go out without a tail",
        "pipeline/sealing.py",
        "        tailed = before >= 0\n",
        "        tailed = False\n",
    ),
)

MEMORY = (
    Mutation(
        "open batches are left out of the checkpoint",
        "pipeline/durable.py",
        "        [batch.saved for batch in state.open.values()],\n",
        "        [],\n",
    ),
    Mutation(
        "done ranges are forgotten",
        "core/offsets.py",
        "        ledger._cursor = state.position\n",
        "        ledger._cursor = ledger._end = state.position\n        ledger._maps = {}\n",
    ),
    Mutation(
        "the position moves past open batches",
        "core/offsets.py",
        "self.topic, self.partition, self.began, self.position, self._end, maps, self.lost",
        "self.topic, self.partition, self.began, self._end, self._end, [], self.lost",
    ),
    Mutation(
        "a takeover loses the history of attempts",
        "pipeline/takeover.py",
        "attempts=(*saved.attempts, attempt))\n",
        "attempts=(attempt,))\n",
    ),
    Mutation(
        "a takeover does not count that a batch may have been sent",
        "pipeline/takeover.py",
        "    if released or saved.stage is Stage.REFUSED:\n",
        "    if saved:\n",
    ),
)

LIMITER = (
    Mutation(
        "the limiter starts full",
        "pipeline/lane.py",
        "        count_what_was_sent(taken, stamp, quiet_seconds)\n",
        "",
    ),
    Mutation(
        "the tally is forgotten",
        "pipeline/takeover.py",
        "in predecessor.tally:\n",
        "in ():\n",
    ),
    Mutation(
        "what may be under way does not count",
        "pipeline/takeover.py",
        "state.guard.count_until(saved.calls, 1, now + quiet_seconds + WINDOW_SECONDS)",
        "assert saved",
    ),
    Mutation(
        "attempts leave the window early",
        "core/rate.py",
        "now + WINDOW_SECONDS + MARGIN_SECONDS)",
        "now + WINDOW_SECONDS / 2)",
    ),
)

OPERATORS = (
    Mutation(
        "sealed batches are not cancelled",
        "pipeline/review.py",
        "any(state.cancels.of(c.flow_id, c.record) for c in batch.calls):\n",
        "not batch.calls:\n",
    ),
    Mutation(
        "operators are not asked before the first byte",
        "pipeline/sender.py",
        "lambda: turns.leased() and self._review.may_begin(batch)\n",
        "turns.leased\n",
    ),
    Mutation(
        "a successor forgets cancels",
        "pipeline/takeover.py",
        "Cancels(settings.kafka.topics.requests, predecessor.cancels)",
        "Cancels(settings.kafka.topics.requests, ())",
    ),
    Mutation(
        "an operator's hold has canaries",
        "core/holds.py",
        "NEVER if state.by else now + min(PROBE_SECONDS_MAX, doubled)\n",
        "now + min(PROBE_SECONDS_MAX, doubled)\n",
        also=(NO_LAST_LOOK,),
    ),
    Mutation(
        "a successor forgets holds",
        "pipeline/lane.py",
        "Holds(predecessor.holds if predecessor else (), now)",
        "Holds((), now)",
    ),
    Mutation(
        "calling hours are ignored",
        "pipeline/gate.py",
        "        return None if opening == asked else opening\n",
        "        return None\n",
    ),
    Mutation(
        "a successor forgets that calls are parked",
        "pipeline/takeover.py",
        "            state.parked.waiting = state.parked.unread = predecessor.parked\n",
        "",
    ),
    Mutation(
        "a successor forgets that calls have overflowed",
        "pipeline/takeover.py",
        "            state.overflow.waiting = state.overflow.unread = predecessor.overflow\n",
        "",
    ),
    Mutation(
        "parked records are deleted before their turn is committed",
        "pipeline/shelf.py",
        "        if offset > self._deleted and self._committed() >= turn:\n",
        "        if offset > self._deleted:\n",
    ),
    Mutation(
        "a parked call forgets that it was refused",
        "pipeline/arrivals.py",
        "(not note.attempts and note.first_failed_ms is None):\n",
        "note.attempts >= 0:\n",
    ),
)

PROVIDER = "tests/contracts/test_provider.py"

WIRE = (
    Mutation(
        "a request that was given up is not aborted",
        "adapters/provider.py",
        "            self._transport.abort()\n",
        "            return\n",
        (PROVIDER,),
    ),
    Mutation(
        "the kernel keeps what was given up",
        "adapters/provider.py",
        'struct.pack("ii", 1, 0)',
        'struct.pack("ii", 0, 0)',
        (PROVIDER,),
    ),
    Mutation(
        "the lease is not asked on the wire",
        "adapters/provider.py",
        "        if not self._may_begin():\n",
        "        if not callable(self._may_begin):\n",
        (PROVIDER,),
    ),
)

MUTATIONS = (*OWNERS, *BYTES, *MEMORY, *LIMITER, *OPERATORS, *WIRE)
