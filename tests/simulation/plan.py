"""What one seed draws: the size of the world, its configurations, its faults.

Swarm testing (Groce, 2012): each seed turns whole kinds of fault on and off, because a mix of
everything hides what only a few kinds together show. Knows nothing of how a fault is done.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from service.twin.faults import Script
from tests.simulation import scenes, troubles
from tests.simulation.link import Weather
from tests.simulation.provider import Network

SECURITY_IDS = ("Old" + "0123456789" * 6 + "a", "New" + "0123456789" * 6 + "b")
URL = "http://127.0.0.1:9/kairos-apis/outbound/create"
DIALER_URL = "http://127.0.0.1:9/kairos-apis/outbounddialer/create"
EVENT_KEY = "$flow.key.Event"
"""Tells events apart at the provider, whatever else they share."""
CORRELATION_KEY = "$flow.key.Source"
STANDSTILL_SECONDS = 60.0
HOLD_SECONDS = 3900.0
"""A hold's canaries may be a quarter of an hour apart, and the first ones may fail."""
NOON = 1_899_961_200.0
"""2030-03-17 at 12:30 (+05:30), in seconds since the epoch."""
MIDNIGHT = NOON + 11.5 * 3600

PROCESS_FAULTS = (
    "return",
    "crash",
    "storm",
    "freeze",
    "suspend",
    "restart",
    "reconfigure",
    "clock",
)
KAFKA_FAULTS = ("outage", "partition", "deaf", "commit", "slow", "compaction", "short", "open")
NETWORK_FAULTS = ("unsent", "lost-before", "lost-after", "slow-way", "slow-answer", "down")
HEALING = (*PROCESS_FAULTS, *KAFKA_FAULTS, *NETWORK_FAULTS, "unanswered")
"""Faults after which no call may be left in doubt, but for rare chains of them."""
DOUBTING = (
    *("doubtful", "details", "expiring", "midnight", "retention", "strange", "outright"),
    *("definite", "operators"),
)
"""Faults that rightly leave doubt: a refusal among the attempts does, where an answer is lost."""
STANDSTILLS = {"deleted", "recreated"}
"""Faults after which lanes must stop and nobody may be called again."""
OTHER = ("refusing", "grow", "hours", "parked")

LOSING = (
    *("crash", "storm", "freeze", "suspend", "restart", "reconfigure", "lost-after", "slow-way"),
    *(
        "unsent",
        "slow-answer",
        "unanswered",
        "doubtful",
        "partition",
        "deaf",
        "outage",
        "commit",
        "slow",
    ),
)
"""Kinds after which a request may have been answered and nobody knows."""

SWITCHES = ("a", "b", "c", "d", "e", "f", "g")
"""The cases of provider-api.md, "Where the promise ends"."""


@dataclass(slots=True)
class Plan:
    """One world."""

    seed: int
    kinds: frozenset[str]
    """Kinds of fault that are on."""
    cases: frozenset[str]
    """Cases of "Where the promise ends" that are drawn; none in half of the seeds."""
    replicas: int
    lanes: int
    partitions: int
    events: int
    flows: int
    fault_seconds: float
    """After this every fault has healed."""
    wall_base: float
    settings: dict[str, dict[str, Any]]
    switches: dict[str, Any]
    script: Script
    weather: Weather = field(default_factory=Weather)
    network: Network = field(default_factory=Network)
    other_settings: dict[str, dict[str, Any]] | None = None
    """Of all replicas but the first; None: as the first."""
    head_start_seconds: float = 0.0
    """Of the first replica before the others."""
    patience_seconds: float = 0.0
    """From the last fault until every event must have its outcome."""
    quiet_seconds: float | None = None
    """Before the first event; None: drawn."""
    spread: float | None = None
    """Share of the faulty time over which the events come; None: drawn."""
    often: dict[str, int] = field(default_factory=dict)
    """How often some faults befall the world; others as often as is drawn."""
    opens_at: dict[str, float] = field(default_factory=dict)
    """By flow, the wall time at which its calling hours begin."""

    @property
    def heals(self) -> bool:
        """Whether at most 5 % may end `unconfirmed`; 402 settles no earlier doubt."""
        vague = "refusing" in self.kinds and self.switches["refused"][0].startswith("402")
        return not (self.cases or vague or self.kinds.intersection((*DOUBTING, "broken")))

    def settings_of(self, replica: int) -> dict[str, dict[str, Any]]:
        """With which a replica is started first."""
        return self.settings if not replica else self.other_settings or self.settings

    def rng(self, name: str) -> random.Random:
        """Chance for one part of the world, which others do not disturb."""
        return random.Random(f"{self.seed}/{name}")


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    rng = random.Random(f"{seed}/plan")
    share = rng.choice((0.15, 0.35, 0.6))
    kinds = {kind for kind in (*HEALING, *OTHER) if rng.random() < share}
    kinds |= {kind for kind in DOUBTING if rng.random() < share * 0.5}
    cases: set[str] = set()
    if seed % 2:
        cases = {case for case in SWITCHES if rng.random() < 0.3} or {rng.choice(SWITCHES)}
    if "f" not in cases and rng.random() < 0.3:
        kinds.add("correlation")
    scene = scenes.draw(rng)
    kinds |= scene.kinds
    lanes = rng.choice(scene.lanes)
    calls_max = rng.choice(scene.calls_max)
    limit = 10 * calls_max * lanes * rng.choice(scene.limits)
    plan = Plan(
        seed,
        frozenset(kinds),
        frozenset(cases),
        replicas=rng.choice((1, 2, 2, 2, 3)),
        lanes=lanes,
        partitions=rng.randint(1, 4),
        events=rng.randint(10, max(15, min(100, 3 * limit))),
        flows=rng.randint(1, 5),
        fault_seconds=rng.choice((10.0, 30.0, 60.0, 60.0)),
        wall_base=MIDNIGHT - rng.uniform(5, 40) if "midnight" in kinds else NOON,
        settings=_settings(rng, kinds, calls_max, limit),
        switches=_switches(rng, kinds, cases, limit),
        script=troubles.draw(rng, kinds, cases),
    )
    _weather(plan, rng)
    if "hours" in kinds and "midnight" not in kinds:
        _open_late(plan, rng)
    scene.set(plan, rng)
    plan.switches["profile"] = plan.settings["provider"]["profile"]
    # At worst every call goes alone through one lane, and some go more than once.
    requests = plan.settings["provider"]["requests_per_minute"] or limit
    plan.patience_seconds = HOLD_SECONDS + 90.0 * plan.events * (lanes + 2) / requests
    if plan.kinds & STANDSTILLS:
        plan.patience_seconds = STANDSTILL_SECONDS
    return plan


def share_limit(plan: Plan) -> None:
    """Let the lanes of a plan draw on one window in Redis, which fails too."""
    rng = plan.rng("shared")
    plan.settings["provider"] |= {
        "limit_scope": "redis",
        "redis_url": "redis://127.0.0.1:9",
        "redis_down": rng.choice(("share", "share", "stop")),
    }
    plan.fault_seconds = rng.choice((60.0, 200.0, 400.0))
    # What waits for Redis ends within a minute when it is back; that must not look like a flood.
    plan.settings["dead_letters"] = {"flood_events_min": 1_000}


def _settings(
    rng: random.Random, kinds: set[str], calls_max: int, limit: int
) -> dict[str, dict[str, Any]]:
    profile = rng.choice(("bulk", "bulk", "realtime", "dialer"))
    return {
        "kafka": {"session_timeout_seconds": rng.choice((3, 3, 6, 10))},
        "provider": {
            "profile": profile,
            "url": DIALER_URL if profile == "dialer" else URL,
            "security_id": SECURITY_IDS[0],
            # Replicas of both configurations run side by side, so all must know both secrets.
            "previous_security_ids": [SECURITY_IDS[1]],
            "timeout_seconds": rng.choice((2, 5, 20, 20)),
            "concurrency": rng.choice((1, 2, 4, 16)),
            "calls_per_minute": limit,
            "requests_per_minute": rng.choice((None, max(10, limit // calls_max))),
            "correlation_key": CORRELATION_KEY if "correlation" in kinds else None,
        },
        "batching": {"calls_max": calls_max, "linger_seconds": rng.choice((0.0, 0.2, 1.0))},
        "retry": {
            "backoff_seconds": rng.choice((0.5, 1.0, 2.0)),
            **({"park_seconds": rng.choice((1, 5, 20))} if "parked" in kinds else {}),
            **({"park_max_seconds": rng.choice((60, 86_400))} if "parked" in kinds else {}),
        },
        "dead_letters": {"flood_events_min": rng.choice((10, 100)), "flood_share": 0.2}
        if "operators" in kinds
        # Nobody is there to release a flow that the flood breaker holds.
        else {"flood_events_min": 1_000},
        "events": {"window_events_max": rng.choice((2 * calls_max, 50, 1000, 1000))}
        if calls_max <= 25
        else {},
        "shutdown": {"drain_seconds": rng.choice((0.5, 5.0, 15.0))},
    }


def _open_late(plan: Plan, rng: random.Random) -> None:
    """One flow must not be called for the first minutes."""
    minute = rng.randint(31, 34)
    plan.settings["flows"] = {"Flow0000": {"calling_hours": [f"12:{minute}-24:00"]}}
    plan.opens_at["Flow0000"] = NOON + (minute - 30) * 60.0


def reconfigured(settings: dict[str, dict[str, Any]], rng: random.Random) -> dict[str, Any]:
    """The same dispatcher, restarted with another configuration."""
    changed = {name: dict(section) for name, section in settings.items()}
    new = rng.choice(SECURITY_IDS)
    changed["provider"] |= {
        "security_id": new,
        "previous_security_ids": [one for one in SECURITY_IDS if one != new],
        "number_format": rng.choice(("digits", "e164")),
        # Calling hours are in this zone.
        "time_zone": rng.choice(("Asia/Kolkata", "UTC", "America/New_York"))
        if "flows" not in settings
        else "Asia/Kolkata",
        "timeout_seconds": rng.choice((2, 5, 20)),
        "concurrency": rng.choice((1, 4)),
    }
    changed["kafka"] |= {"session_timeout_seconds": rng.choice((3, 6, 10))}
    calls_max = rng.randint(1, settings["batching"]["calls_max"])
    changed["batching"] |= {"calls_max": calls_max}
    return changed


def _switches(rng: random.Random, kinds: set[str], cases: set[str], limit: int) -> dict[str, Any]:
    """The twin's switches, by their names."""
    switches: dict[str, Any] = {
        "calls-per-minute": limit,
        "requests-per-minute": limit,
        "identity-key": CORRELATION_KEY if "correlation" in kinds else EVENT_KEY,
        "latency-ms-min": rng.choice((0, 20)),
        "latency-ms-max": rng.choice((50, 500, 1500)),
        "repeats": "201",
        "code-as-text": rng.random() < 0.2,
        # A broken body beside another status would be an answer that leaves a doubt.
        "body-status": "200" if "unanswered" in kinds else rng.choice(("200", "mirrored", "4xx")),
    }
    if "refusing" in kinds:
        switches["refused"] = [rng.choice(("205:", "402:")) + r"identifier-pattern=bad"]
        # An answer 209 that is lost is answered 201 later, which says nothing of single calls.
        whole = "c" not in cases and ("a" in cases or kinds.intersection(LOSING))
        switches["refuse-as"] = "batch" if whole else rng.choice(("batch", "entries"))
    if "details" in kinds:
        switches["details"] = [rng.choice(("shuffled", "missing", "extra", "repeated", "null"))]
        switches["success"] = "details"
    elif rng.random() < 0.3:
        switches["success"] = rng.choice(("accepted", "details"))
    if "a" in cases:
        switches |= {"act-at": "end", "latency-ms-max": 1800}
    if "b" in cases:
        switches["checksum-memory-seconds"] = rng.choice((1.0, 5.0, 20.0))
    if "c" in cases:
        switches["checksum-at"] = rng.choice(("receipt", "validation"))
    if "d" in cases:
        switches["rejection"] = "partly"
    if "e" in cases:
        switches["checksum-over"] = "values"
    return switches


def _weather(plan: Plan, rng: random.Random) -> None:
    """The networks: shares are drawn even where they are not used, so that kinds are apart."""
    kinds = plan.kinds

    def share() -> float:
        return rng.choice((0.03, 0.1, 0.3))

    plan.weather = Weather(
        slow_share=share() if "slow" in kinds else 0.0,
        slow_seconds=rng.choice((0.5, 3.0)),
        commit_lost_share=share() if "commit" in kinds else 0.0,
        short_reads="short" in kinds,
    )
    plan.network = Network(
        not_sent_share=share() if "unsent" in kinds else 0.0,
        lost_before_share=share() if "lost-before" in kinds else 0.0,
        lost_after_share=share() if "lost-after" in kinds else 0.0,
        slow_way_share=2 * share() if "slow-way" in kinds else 0.0,
        slow_answer_share=share() if "slow-answer" in kinds else 0.0,
        finishes_half_written="g" in plan.cases,
    )
