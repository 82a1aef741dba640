"""What the provider does with one request: accept, refuse, remember, or fail.

Pure: no asyncio, no clock; chance comes from one `random.Random`, times are arguments, all state is
the instance's. So the same requests at the same times give the same answers, in a server and in a
simulator alike. Must not know how an answer reaches its client.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from service.twin import answers, spoilt
from service.twin.answers import Answer
from service.twin.checksums import Checksums, Remembered
from service.twin.faults import Fault, Faults, Script
from service.twin.gate import Gate
from service.twin.ledger import Identity, Ledger, RequestSeen
from service.twin.options import PATHS, Options, with_switches
from service.twin.requests import INDIA, CallRules, Request, envelope_code, identities, read

TOO_MANY_CALLS = 303
CALL_MARK = b'"client-identifier":'


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request.

    The caller waits `act_after_seconds`, calls `Twin.act`, waits `answer_after_seconds` more, and
    delivers `answer`. It acts even if the client has gone.
    """

    answer: Answer
    act_after_seconds: float = 0.0
    answer_after_seconds: float = 0.0
    flow_id: str = ""
    accepts: Sequence[Identity] = ()
    """The calls that `act` accepts."""
    request_id: str | None = None
    checksum: bytes = b""
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request on its way through the provider."""

    request: Request
    body: bytes
    digest: bytes
    now: float
    wall: float
    fault: Fault | None


class Twin:
    """The provider's twin. `security_ids` empty: any of the right form is known.

    `now` is monotonic seconds, `wall` seconds since the epoch; both are the caller's.
    """

    def __init__(
        self,
        options: Options,
        rng: random.Random,
        *,
        security_ids: frozenset[str] = frozenset(),
        script: Script | None = None,
        started: float = 0.0,
    ) -> None:
        script = script or Script()
        self._initial = (with_switches(options, script.switches), script)
        self._rng = rng
        self._security_ids = security_ids
        self.reset(started)

    def reset(self, now: float) -> None:
        """Forgets everything: ledger, checksums, and what was programmed since the start."""
        self.options, script = self._initial
        self.ledger = Ledger(self.options.calls_limit, self.options.requests_limit)
        self.checksums = Checksums(self.options)
        self._rules = CallRules(self.options)
        self._faults = Faults(script, now, self._rng)
        self._gate = Gate()
        self._under_way: Counter[bytes] = Counter()

    @property
    def script(self) -> Script:
        """The script in force."""
        return self._faults.script

    @property
    def busy(self) -> bool:
        """Whether calls of a request that arrived are still to be accepted."""
        return bool(self._under_way)

    def program(self, script: Script | None, now: float) -> None:
        """Puts another script in force from `now` on; None: no faults, the switches of the start.

        A script's switches are put over those in force; ledger and checksums stay. Raises
        ConfigurationError, and then changes nothing.
        """
        options = self._initial[0]
        if script is not None:
            options = with_switches(self.options, script.switches)
        rules = CallRules(options)
        self._faults = Faults(script or Script(), now, self._rng)
        self._rules, self.options = rules, options
        self.checksums.options = options
        self.ledger.calls_limit = options.calls_limit
        self.ledger.requests_limit = options.requests_limit

    def arrive(self, body: bytes, path: str, now: float, wall: float) -> Decision:
        """One POST whose body was read to its end at `now`. Decides all; accepts nothing yet."""
        if self.options.sink:
            return self._sink(body, now)
        request = read(body)
        calls = body.count(CALL_MARK) if request.envelope is None else len(request.calls)
        self.ledger.arrived(now, calls, len(body))
        digest = hashlib.sha256(body).digest()
        attempt = self.ledger.attempt(digest)
        fault, delay = self._faults.pick(request.flow_id, attempt, now)
        arrival = Arrival(request, body, digest, now, wall, fault)
        decision = self._front(arrival, path, calls) or self._work(arrival)
        if fault is not None and fault.moment == "inside" and decision.checksum:
            decision = Decision(spoilt.broken(fault, answers.bare(500), self.options))
        self._foresee(decision)
        if fault is not None and fault.moment == "after":
            broken = spoilt.broken(fault, decision.answer, self.options)
            decision = replace(decision, answer=broken)
        self._note(arrival, calls, attempt, decision)
        return self._timed(decision, delay)

    def turn_away(self, body_bytes: int, now: float, wall: float) -> Answer | None:
        """The answer to a request by its stated length alone, or None: its body is to be read."""
        options = self.options
        if options.oversize != "413-early" or body_bytes <= options.body_bytes_max or options.sink:
            return None
        self.ledger.arrived(now, 0, body_bytes)
        answer = spoilt.hung_up(answers.bare(413))
        arrival = Arrival(Request(None, ()), b"", b"", now, wall, None)
        self._note(arrival, 0, 1, Decision(answer))
        return answer

    def act(self, decision: Decision, now: float, wall: float) -> None:
        """Accepts the decision's calls; called once for every decision, when it is due."""
        if not decision.accepts:
            return
        self._under_way -= Counter((decision.checksum,))
        self.checksums.record(decision.checksum, decision.digest, now)
        self.checksums.placed(decision.checksum)
        self.ledger.accept(decision.flow_id, decision.accepts, decision.request_id or "", wall)

    def _sink(self, body: bytes, now: float) -> Decision:
        self.ledger.arrived(now, body.count(CALL_MARK), len(body))
        ids = answers.draw_ids(self._rng)
        return Decision(answers.accepted(self.options, ids), request_id=answers.uuid_text(ids))

    def _front(self, arrival: Arrival, path: str, calls: int) -> Decision | None:
        """What stands before the provider's own work, or None if the request comes through."""
        options, fault = self.options, arrival.fault
        if fault is not None and fault.moment == "before":
            return Decision(spoilt.broken(fault, answers.bare(502), options))
        if path != options.path:
            known = path in PATHS.values()
            return Decision(answers.refusal(301, options) if known else answers.bare(404))
        answer = self._gate.excess(options, calls, arrival.now, arrival.wall)
        answer = answer or self._gate.oversize(options, len(arrival.body))
        return None if answer is None else Decision(answer)

    def _work(self, arrival: Arrival) -> Decision:
        """The provider's own work on a request that came through."""
        options = self.options
        checksum = self.checksums.of(arrival.body, arrival.digest)
        known = self.checksums.find(checksum, arrival.now)
        if known is not None:
            return self._repeat(arrival, checksum, known)
        if options.checksum_at == "receipt":
            self.checksums.record(checksum, arrival.digest, arrival.now)
        code = envelope_code(arrival.request, options, self._security_ids)
        if code is not None:
            return self._refuse(arrival, checksum, code, frozenset())
        refused = self._refused(arrival)
        calls = arrival.request.calls
        if refused and (options.refuse_as == "batch" or len(refused) == len(calls)):
            return self._refuse(arrival, checksum, next(iter(refused.values())), refused.keys())
        if options.checksum_at == "validation":
            self.checksums.record(checksum, arrival.digest, arrival.now)
        return self._accept(arrival, checksum, refused)

    def _refused(self, arrival: Arrival) -> dict[int, int]:
        """The code of each call that is refused, by its index."""
        if self._rules.idle:
            return {}
        today = dt.datetime.fromtimestamp(arrival.wall, INDIA).date()
        codes = ((n, self._rules.code(c, today)) for n, c in enumerate(arrival.request.calls))
        return {index: code for index, code in codes if code is not None}

    def _accept(self, arrival: Arrival, checksum: bytes, refused: dict[int, int]) -> Decision:
        options, ids = self.options, answers.draw_ids(self._rng)
        calls = identities(arrival.request.calls, options.identity_key)
        names = [identifier for identifier, _ in calls]
        if refused:
            answer = answers.partial(options, ids, names, refused, self._rng)
            calls = [call for index, call in enumerate(calls) if index not in refused]
        else:
            answer = answers.success(options, ids, names, self._rng)
        return self._decision(arrival, checksum, answer, calls, ids)

    def _refuse(
        self, arrival: Arrival, checksum: bytes, code: int, refused: Collection[int]
    ) -> Decision:
        """A whole refusal; all the same its good calls are placed if `rejection` is `partly`."""
        options, request = self.options, arrival.request
        answer = answers.refusal(code, options)
        if options.rejection == "whole" or not (refused or code == TOO_MANY_CALLS):
            return Decision(answer, checksum=checksum, digest=arrival.digest)
        good = [call for index, call in enumerate(request.calls) if index not in refused]
        calls = identities(good[: options.calls_max], options.identity_key)
        return self._decision(arrival, checksum, answer, calls, answers.draw_ids(self._rng))

    def _decision(
        self, arrival: Arrival, checksum: bytes, answer: Answer, calls: list[Identity], ids: int
    ) -> Decision:
        return Decision(
            answer,
            flow_id=arrival.request.flow_id or "",
            accepts=calls,
            request_id=answers.uuid_text(ids),
            checksum=checksum,
            digest=arrival.digest,
        )

    def _repeat(self, arrival: Arrival, checksum: bytes, known: Remembered) -> Decision:
        """A checksum that is known: answered with 201, or as success and dropped."""
        options, flow_id = self.options, arrival.request.flow_id or ""
        self.ledger.repeats_answered += 1
        calls = identities(arrival.request.calls, options.identity_key)
        if known.digest != arrival.digest:
            self.ledger.excuse("values-alike", flow_id, calls)
        elif not known.placed and not self._under_way[checksum]:
            self.ledger.excuse("stored-unplaced", flow_id, calls)
        if options.repeats == "201":
            answer = answers.refusal(201, options)
        else:
            names, ids = [identifier for identifier, _ in calls], answers.draw_ids(self._rng)
            answer = answers.success(options, ids, names, self._rng)
        return Decision(answer, checksum=checksum, digest=arrival.digest)

    def _foresee(self, decision: Decision) -> None:
        """Names the cases in which even a faultless client cannot keep the promise."""
        if not decision.accepts:
            return
        if decision.answer.code not in (200, 202, 209):
            self.ledger.excuse("partly-accepted", decision.flow_id, decision.accepts)
        if self._under_way[decision.checksum]:
            self.ledger.excuse("overlap", decision.flow_id, decision.accepts)
        if self.checksums.forgotten(decision.checksum):
            self.ledger.excuse("forgotten", decision.flow_id, decision.accepts)
        self._under_way[decision.checksum] += 1

    def _note(self, arrival: Arrival, calls: int, attempt: int, decision: Decision) -> None:
        answer = decision.answer
        seen = RequestSeen(
            number=self.ledger.requests_received,
            at=arrival.wall,
            second=arrival.now,
            flow_id=arrival.request.flow_id,
            calls=calls,
            bytes=len(arrival.body),
            sha256=arrival.digest.hex(),
            attempt=attempt,
            fault=None if arrival.fault is None else arrival.fault.name,
            answer=answer.delivery,
            status=answer.status or None,
            code=answer.code,
            request_id=decision.request_id,
            accepted=len(decision.accepts),
        )
        self.ledger.requests.append(seen)

    def _timed(self, decision: Decision, delay_seconds: float) -> Decision:
        options = self.options
        seconds = options.latency_ms_min / 1000 + delay_seconds
        if options.latency_ms_max > options.latency_ms_min:
            spread = options.latency_ms_max - options.latency_ms_min
            seconds += self._rng.random() * spread / 1000
        if options.act_at == "end":
            return replace(decision, act_after_seconds=seconds)
        return replace(decision, answer_after_seconds=seconds)
