"""What goes wrong in a round: drawn from the seed and the round's number alone.

Pure; knows nothing of how a fault is brought about.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from tests.chaos.proxy import Direction

PROVIDER_SECONDS = 3.0
"""`provider.timeout_seconds` of the replicas."""
SESSION_SECONDS = 6
"""`kafka.session_timeout_seconds` of the replicas."""

Kind = Literal[
    "kill", "freeze", "term", "broker", "cut", "stall-kafka", "stall-provider", "rolling"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
OWNER = 0
"""As a target: whoever owns the lane when the fault begins; replicas count from 1."""
EVERYONE = -1
"""As a target of a stall: no replica reaches the other side."""
SECONDS: Mapping[Kind, tuple[float, float]] = {
    "kill": (0.0, 8.0),
    "freeze": (SESSION_SECONDS + 0.5, SESSION_SECONDS + 6.0),
    "term": (0.0, 8.0),
    "broker": (0.0, 4.0),
    "cut": (2.0, 8.0),
    "stall-kafka": (1.0, SESSION_SECONDS + 4.0),
    "stall-provider": (1.0, PROVIDER_SECONDS + 5.0),
    "rolling": (0.0, 1.0),
}
"""How long each kind lasts, at least and at most."""
BROKER_OF_MANY_SECONDS = (2.0, 15.0)
"""The same of a broker that others can stand in for, once they see after 4 s that it is gone."""
LATE_SECONDS = (0.5, PROVIDER_SECONDS - 0.5)
"""The same where a stalled provider gets requests of senders that have gone. What arrives after its
sender's time limit would be another matter: the window guard counts an attempt for as long as its
sender can wait for it, and no longer."""
NAMED = {OWNER: "the owner", EVERYONE: "everyone"}
FAULTS_MAX = 3
"""At once; with more of them a round mostly waits for the broker."""
BEGIN_SECONDS_MAX = 5.0
RATES = (40, 120, 300)
"""Events a second; the last is twice the limit, so that windows are filled."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `target` is the replica it befalls, where it befalls one."""

    kind: Kind
    at_seconds: float
    """After the round's begin."""
    seconds: float
    """From its begin until it heals; for a restart the time between end and begin."""
    target: int = OWNER
    direction: Direction = "both"
    late: bool = False
    """What a stall held back is delivered although its sender has gone."""
    share: float = 1.0
    """Of the requests that are cut."""
    broker: int = 1
    """Which one it befalls, where it befalls a broker."""

    def __str__(self) -> str:
        """As it is printed: what, where, when, for how long."""
        befallen = NAMED.get(self.target, f"replica {self.target}")
        how = {
            "broker": f" {self.broker}",
            "rolling": "",
            "cut": f" {self.share:.0%}",
            "stall-kafka": f" {befallen} {self.direction}",
            "stall-provider": f" {befallen} {self.direction}",
        }.get(self.kind, f" {befallen}")
        late = " late" if self.late else ""
        return f"{self.kind}{how}{late} at {self.at_seconds:.1f} s for {self.seconds:.1f} s"


@dataclass(frozen=True, slots=True)
class Plan:
    """One round."""

    faults: tuple[Fault, ...]
    events_per_second: int

    def __str__(self) -> str:
        """As it is printed before the round."""
        return f"{'; '.join(map(str, self.faults))}; {self.events_per_second} events/s"


def draw(seed: int, number: int, replicas: int, brokers: int = 1) -> Plan:
    """The plan of round `number`; the same for the same arguments.

    Of more than one broker each round kills one, in turns.
    """
    rng = random.Random(f"{seed}-{number}")
    kinds = rng.sample(KINDS, rng.randint(1, FAULTS_MAX))
    if brokers > 1 and "broker" not in kinds:
        kinds[0] = "broker"
    faults = tuple(_fault(kind, rng, replicas) for kind in kinds)
    if brokers > 1:
        seconds = round(rng.uniform(*BROKER_OF_MANY_SECONDS), 1)
        broker = (number - 1) % brokers + 1
        faults = tuple(
            replace(fault, seconds=seconds, broker=broker) if fault.kind == "broker" else fault
            for fault in faults
        )
    return Plan(faults, rng.choice(RATES))


def _fault(kind: Kind, rng: random.Random, replicas: int) -> Fault:
    late = rng.random() < 0.5
    stall = kind in {"stall-kafka", "stall-provider"}
    return Fault(
        kind,
        at_seconds=round(rng.uniform(0.5, BEGIN_SECONDS_MAX), 1),
        seconds=round(rng.uniform(*_bounds(kind, late=late)), 1),
        # Mostly the owner: what befalls a standby is soon seen through.
        target=rng.choice((EVERYONE if stall else OWNER, OWNER, rng.randint(1, replicas))),
        direction=rng.choice(("requests", "answers", "both")),
        late=late and stall,
        share=round(rng.uniform(0.1, 0.6), 2),
    )


def _bounds(kind: Kind, *, late: bool) -> tuple[float, float]:
    """How long such a fault lasts, at least and at most, in seconds."""
    if kind == "stall-provider" and late:
        return LATE_SECONDS
    return SECONDS[kind]
