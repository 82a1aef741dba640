"""Watches a world and says what is wrong with it: the three promises, and their limits.

It knows what upstream wrote, what was committed, what reached the provider and what that took;
never the dispatcher's own counters. What a case of provider-api.md ("Where the promise ends")
explains is counted by its letter, where the world draws that case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from service.core import checkpoint as checkpoints
from service.core.checkpoint import Checkpoint
from service.twin.behaviour import Decision, Twin
from tests.simulation.bodies import Bodies
from tests.simulation.log import SimRecord, Transaction
from tests.simulation.orders import Orders
from tests.simulation.plan import CORRELATION_KEY, STANDSTILLS, Plan
from tests.simulation.provider import Wire
from tests.simulation.upstream import Event

Source = tuple[str, int, int]
Identity = tuple[str, tuple[bytes, str | None]]

UNCONFIRMED_SHARE_MAX = 0.05
CASES = {
    "overlap": "a",
    "forgotten": "b",
    "stored-unplaced": "c",
    "partly-accepted": "d",
    "values-alike": "e",
}
"""The twin's names of the cases, and their letters."""
LIE = 205
"""The refusal that the script of case (d) puts in the place of a success."""


class _Source(msgspec.Struct):
    topic: str
    partition: int
    offset: int


class _Result(msgspec.Struct, rename="kebab"):
    source: _Source
    batch_id: str
    confirmation: str


_decode_result = msgspec.json.Decoder(_Result).decode


@dataclass(slots=True)
class Findings:
    """What is wrong, and what is excused."""

    violations: list[str] = field(default_factory=list)
    exceptions: Counter[str] = field(default_factory=Counter)
    unconfirmed: int = 0
    outcomes: int = 0


class Oracle:
    """One world's judge."""

    def __init__(self, plan: Plan, twin: Twin, names: dict[str, str]) -> None:
        self.findings = Findings()
        self.events: dict[Source, Event] = {}
        self.outcomes: dict[Source, str] = {}
        self.lost: set[Source] = set()
        """What retention took before it was read, by the last checkpoints."""
        self.late: set[Identity] = set()
        """Calls in requests that arrived by case (g)."""
        self.lied: set[Identity] = set()
        """Calls that were taken though the answer was a refusal: case (d)."""
        self._plan = plan
        self._twin = twin
        self._names = names
        self._identity_key = CORRELATION_KEY if "correlation" in plan.kinds else None
        self.bodies = Bodies(
            self.wrong,
            alike="f" in plan.cases,
            half_written="g" in plan.cases,
        )
        self.orders = Orders(self.events, self.wrong, plan)

    def wrong(self, what: str) -> None:
        """Note a violation."""
        if what not in self.findings.violations:
            self.findings.violations.append(what)

    # While the world runs

    def written(self, record: SimRecord, event: Event) -> None:
        """Upstream wrote an event."""
        self.events[record.topic, record.partition, record.offset] = event

    @property
    def missing(self) -> list[Source]:
        """Events without an outcome."""
        return [s for s in self.events if s not in self.outcomes and s not in self.lost]

    def committed(self, transaction: Transaction) -> None:
        """A lane's transaction is decided."""
        names, owner = self._names, ""
        # The checkpoint is the last record, but says who wrote the others.
        for record in reversed(transaction.records):
            if record.topic == names["checkpoints"]:
                state = checkpoints.decode(record.value)
                owner = state.owner
                self._checkpoint(state)
            elif record.topic == names["results"]:
                result = _decode_result(record.value or b"")
                source = result.source
                self._outcome((source.topic, source.partition, source.offset), "accepted")
                if result.confirmation == "checksum":
                    self.bodies.believed(result.batch_id, owner)
            elif record.topic == names["dead_letters"]:
                self._dead_letter({name: value.decode() for name, value in record.headers})

    def _dead_letter(self, headers: dict[str, str]) -> None:
        where = "__dlq.errors."
        source = (
            headers[f"{where}topic"],
            int(headers[f"{where}partition"]),
            int(headers[f"{where}offset"]),
        )
        self._outcome(source, headers["dispatch.reason"])
        if headers["dispatch.reason"] == "cancelled":
            self.orders.cancelled(source)

    def _outcome(self, source: Source, outcome: str) -> None:
        if source not in self.events:
            self.wrong(f"outcome `{outcome}` for {source}, which was never published")
        elif source in self.outcomes:
            self.wrong(f"second outcome for {source}: {self.outcomes[source]}, then {outcome}")
        self.outcomes[source] = outcome

    def _checkpoint(self, state: Checkpoint) -> None:
        self.bodies.checkpoint(state)
        self.orders.checkpoint(state)
        for partition in state.partitions:
            before = (0, partition.began if "retention" in self._plan.kinds else 0)
            for first, end in (before, *partition.lost):
                self.lost.update(
                    (partition.topic, partition.partition, offset) for offset in range(first, end)
                )

    def launched(self, body: bytes, owner: str, wall: float, *, twins: int) -> None:
        """The first byte of a request leaves; `twins` with these very bytes may still arrive."""
        lane = self.bodies.launched(body, owner, twins=twins)
        if lane is not None:
            self.orders.launched(body, lane, wall)

    def arrived(self, wire: Wire, decision: Decision) -> None:
        """A request reached the provider."""
        if wire.late:
            self.late.update((decision.flow_id, identity) for identity in decision.accepts)
        if decision.accepts and decision.answer.code == LIE:
            self.lied.update((decision.flow_id, identity) for identity in decision.accepts)
        above = self._twin.ledger.windows_above_limit
        if above and "g" in self._plan.cases and self.late:
            self.findings.exceptions["g"] += 1
        elif above:
            self.wrong("a sliding minute at the provider is above the limit")

    # At the end

    def judge(self) -> Findings:
        """All that is wrong, once the world has come to its end."""
        # Where a topic was lost the lanes rightly stand still.
        for source in () if self._plan.kinds & STANDSTILLS else self.missing:
            self.wrong(f"no outcome for {source} (event {self.events[source].number})")
        groups: dict[Identity, list[Source]] = {}
        for source, event in self.events.items():
            if event.valid:
                groups.setdefault(self._identity(source, event), []).append(source)
            elif self.outcomes.get(source) not in {"invalid", None}:
                self.wrong(f"event {event.number} is invalid but ended {self.outcomes[source]}")
        for identity, sources in groups.items():
            self._judge_call(identity, sources)
        self._judge_doubt()
        self.findings.outcomes = len(self.outcomes)
        return self.findings

    def _identity(self, source: Source, event: Event) -> Identity:
        value = str(event.number)
        if self._identity_key is not None:
            value = "{}-{}-{}".format(*source)
        return event.flow_id, (event.identifier, value)

    def _judge_call(self, identity: Identity, sources: Sequence[Source]) -> None:
        """Compare what the provider took with the outcomes of the events with this identity."""
        flow_id, (identifier, key) = identity
        taken = self._twin.ledger.times_accepted(flow_id, identifier, key)
        ended = Counter(self.outcomes.get(source, "") for source in sources)
        accepted, unsure = ended["accepted"], ended["unconfirmed"] + ended[""]
        what = f"call {key} of {flow_id}: taken {taken} times, its events ended {dict(ended)}"
        if taken > len(sources):
            self._doubtful(identity, sources, f"placed twice: {what}")
        elif accepted > taken:
            self._doubtful(identity, sources, f"`accepted` but never taken: {what}")
        elif taken > accepted + unsure + ended["duplicate"]:
            self._doubtful(identity, sources, f"`not placed` but taken: {what}")
        elif ended["duplicate"]:
            self._doubtful(identity, sources, f"`duplicate` though never sent before: {what}")

    def _doubtful(self, identity: Identity, sources: Sequence[Source], what: str) -> None:
        """A promise is broken for a call: by a case that the world draws, or by us."""
        ledger, cases = self._twin.ledger, self._plan.cases
        for name, letter in CASES.items():
            if letter in cases and identity in ledger.exceptions.get(name, ()):
                self.findings.exceptions[letter] += 1
                return
        if "d" in cases and identity in self.lied:
            self.findings.exceptions["d"] += 1
        elif cases.intersection("cd") and b"bad" in identity[1][0]:
            # One of a batch whose other calls were taken, and the answer that said so is lost.
            self.findings.exceptions["c" if "c" in cases else "d"] += 1
        elif "f" in cases and len(sources) > 1:
            self.findings.exceptions["f"] += 1
        elif "g" in cases and identity in self.late:
            self.findings.exceptions["g"] += 1
        else:
            self.wrong(what)

    def _judge_doubt(self) -> None:
        ended = Counter(self.outcomes.values())
        self.findings.unconfirmed = ended["unconfirmed"]
        share = ended["unconfirmed"] / max(1, len(self.outcomes))
        if self._plan.heals and share > UNCONFIRMED_SHARE_MAX:
            self.wrong(f"{ended['unconfirmed']} of {len(self.outcomes)} ended `unconfirmed`")
