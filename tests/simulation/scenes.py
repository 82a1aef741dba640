"""Worlds that are set up for what chance alone seldom brings about.

Knows nothing of how a fault is done, nor of what it should lead to.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from service.twin.faults import Rule, Script
from tests.simulation.link import Weather
from tests.simulation.provider import Network

if TYPE_CHECKING:
    from tests.simulation.plan import Plan


@dataclass(frozen=True, slots=True)
class Scene:
    """What a plan is drawn from, and what is changed in it at the end."""

    kinds: frozenset[str] = frozenset()
    """Kinds of fault that are on, besides those that are drawn."""
    lanes: tuple[int, ...] = (1, 1, 1, 2, 3)
    calls_max: tuple[int, ...] = (1, 2, 3, 5, 10)
    limits: tuple[int, ...] = (1, 2, 20, 100)
    """Of ten full batches a minute and lane."""
    set: Callable[[Plan, random.Random], None] = lambda _plan, _rng: None


def _hand_over(plan: Plan, rng: random.Random) -> None:
    """An owner that is busy and does not hear that it was replaced, while its lease lasts."""
    plan.replicas = max(2, plan.replicas)
    plan.events, plan.fault_seconds = 100, 60.0
    plan.settings["kafka"]["session_timeout_seconds"] = rng.choice((3, 10))
    plan.settings["provider"] |= {"concurrency": 2, "requests_per_minute": None}
    plan.switches |= {"latency-ms-min": 300, "latency-ms-max": 1500}
    plan.quiet_seconds, plan.spread = 0.0, 0.8
    plan.often["deaf"] = 6


def _connect_late(plan: Plan, rng: random.Random) -> None:
    """As before, and connections may take longer than the lease."""
    _hand_over(plan, rng)
    plan.settings["kafka"]["session_timeout_seconds"] = 3
    plan.settings["provider"] |= {"timeout_seconds": 20, "concurrency": 6}
    plan.network.not_sent_share = 0.4


def _take_over_slowly(plan: Plan, rng: random.Random) -> None:
    """As before, and the steps of a takeover may lie far apart."""
    _hand_over(plan, rng)
    plan.settings["kafka"]["session_timeout_seconds"] = 3
    plan.weather.slow_share, plan.weather.slow_seconds = 0.4, 1.0


def _doubt(plan: Plan, rng: random.Random) -> None:
    """First answers that leave a doubt, commits of whose answers many are lost, and little else."""
    plan.events, plan.fault_seconds = 100, 200.0
    plan.settings["kafka"]["session_timeout_seconds"] = 3
    plan.settings["provider"] |= {
        "concurrency": 4,
        "requests_per_minute": None,
        "timeout_seconds": 2,
    }
    plan.weather, plan.network = Weather(commit_lost_share=0.25), Network()
    doubt = Rule(fault=rng.choice(DOUBTS), share=0.3, attempt=1)
    plan.script = Script(rules=(doubt,))


def _orphan(plan: Plan, _: random.Random) -> None:
    """Requests are long on their way, and who sent them is gone before they arrive."""
    plan.replicas = max(2, plan.replicas)
    plan.events, plan.fault_seconds = 60, 60.0
    plan.settings["kafka"]["session_timeout_seconds"] = 3
    plan.settings["provider"] |= {
        "concurrency": 4,
        "requests_per_minute": None,
        "timeout_seconds": 20,
    }
    plan.network.slow_way_share = 0.5


def _tighten(plan: Plan, rng: random.Random) -> None:
    """A backlog of minutes at a low limit, after an idle time, while the lane changes hands."""
    provider = plan.settings["provider"]
    plan.replicas = max(2, plan.replicas)
    plan.events, plan.fault_seconds = 60, 60.0
    plan.quiet_seconds = 15.0
    provider |= {"timeout_seconds": 20, "concurrency": 16, "requests_per_minute": None}
    plan.settings["kafka"]["session_timeout_seconds"] = 3
    plan.settings["events"] = {}
    if rng.random() < 0.5:
        plan.network.slow_way_share = 0.5


def _return(plan: Plan, _: random.Random) -> None:
    """An owner is away until a successor has come and gone, with a commit under way."""
    plan.replicas = 2
    plan.events, plan.fault_seconds = 60, 60.0
    plan.settings["kafka"]["session_timeout_seconds"] = 3
    plan.switches |= {"latency-ms-min": 300, "latency-ms-max": 1500}


def _relay(plan: Plan, _: random.Random) -> None:
    """An owner with a long lease, a short-lived successor with a short one, and nothing else."""
    plan.kinds -= OTHER_ENDS
    plan.weather, plan.network, plan.script = Weather(), Network(), Script()
    plan.replicas = 3
    plan.events, plan.fault_seconds = 60, 90.0
    plan.settings["kafka"]["session_timeout_seconds"] = 20
    plan.settings["provider"] |= {
        "concurrency": 1,
        "requests_per_minute": None,
        "timeout_seconds": 7,
    }
    plan.other_settings = {name: dict(section) for name, section in plan.settings.items()}
    plan.head_start_seconds = 3.0
    plan.other_settings["kafka"]["session_timeout_seconds"] = 3
    plan.switches |= {"latency-ms-min": 3500, "latency-ms-max": 5500}
    plan.quiet_seconds, plan.spread = 0.0, 0.2


def _crowd(plan: Plan, rng: random.Random) -> None:
    """Few flows and small windows: what exceeds a flow's share of one waits apart."""
    plan.flows = rng.choice((1, 2))
    plan.events, plan.fault_seconds = 100, 60.0
    plan.settings["events"] = {"window_events_max": rng.choice((8, 16, 32))}
    plan.quiet_seconds, plan.spread = 0.0, rng.choice((0.0, 0.5))


def _command(plan: Plan, _: random.Random) -> None:
    """Operators hold and cancel, some for minutes, what is busy and slow to connect."""
    plan.events, plan.fault_seconds = 150, 400.0
    plan.settings["provider"] |= {
        "concurrency": 6,
        "requests_per_minute": None,
        "timeout_seconds": 20,
    }
    plan.switches |= {"latency-ms-min": 300, "latency-ms-max": 1500}
    plan.network.not_sent_share = 0.4
    plan.quiet_seconds, plan.spread = 0.0, 0.9


def _break(plan: Plan, rng: random.Random) -> None:
    """A flow, now and then its account too, is refused for many minutes; its calls wait apart."""
    plan.fault_seconds = 300.0
    plan.settings["retry"] |= {
        "park_seconds": rng.choice((1, 10, 60)),
        "park_max_seconds": rng.choice((120, 86_400, 86_400)),
    }
    calls_max = plan.settings["batching"]["calls_max"]
    plan.settings["events"] = {"window_events_max": rng.choice((4 * calls_max, 30, 1000))}
    began = rng.uniform(0.0, 60.0)
    rules = [
        Rule(
            fault=rng.choice(FLOW_FAULTS),
            flow="Flow0000",
            from_second=began,
            to_second=began + rng.uniform(30.0, 230.0),
        )
    ]
    if rng.random() < 0.3:
        began = rng.uniform(0.0, 200.0)
        fault = rng.choice(ACCOUNT_FAULTS)
        rules.append(
            Rule(fault=fault, from_second=began, to_second=began + rng.uniform(5.0, 200.0))
        )
    plan.script = replace(plan.script, rules=(*rules, *plan.script.rules))


OTHER_ENDS = frozenset(
    {"crash", "deaf", "freeze", "outage", "partition", "reconfigure", "restart", "return", "storm"}
)
"""Faults by which lanes change hands at other times than a scene needs."""
DOUBTS = ("code-500-after", "code-206-after", "code-213-after")
FLOW_FAULTS = (
    *("code-301-inside", "code-304-inside", "code-203-inside", "code-204-inside"),
    *("code-207-inside", "code-208-inside", "code-302-inside"),
)
ACCOUNT_FAULTS = ("code-401-inside", "code-212-inside", "http-403-before")

SCENES = (
    (0.26, Scene()),
    (0.06, Scene(frozenset({"operators", "unsent"}), (1, 2), (1, 2), (20, 100), _command)),
    (0.04, Scene(frozenset({"crash", "restart"}), (1, 2), (1, 2), (2, 20), _crowd)),
    (0.04, Scene(frozenset({"relay"}), (1,), (1, 2), (100,), _relay)),
    (0.04, Scene(frozenset({"migrate"}))),
    (0.015, Scene(frozenset({"deleted", "restart"}))),
    (0.015, Scene(frozenset({"recreated", "restart"}))),
    (0.06, Scene(frozenset({"deaf", "freeze"}), (1,), (1, 2), (100,), _hand_over)),
    (0.07, Scene(frozenset({"deaf", "unsent"}), (1,), (1,), (1000,), _connect_late)),
    (0.05, Scene(frozenset({"deaf"}), (1,), (1, 2), (100,), _take_over_slowly)),
    (0.04, Scene(frozenset({"commit", "doubtful"}), (1,), (1, 2), (100,), _doubt)),
    (0.05, Scene(frozenset({"crash", "restart"}), (1,), (1, 2), (20, 100), _orphan)),
    (0.06, Scene(frozenset({"restart"}), (1,), (1, 2, 3), (1,), _tighten)),
    (0.06, Scene(frozenset({"crash"}), (1,), (1, 2, 3), (1,), _tighten)),
    (0.06, Scene(frozenset({"return"}), (1,), (1, 2), (20, 100), _return)),
    (0.08, Scene(frozenset({"broken"}), calls_max=(1, 2, 5), limits=(20, 100), set=_break)),
)
"""Each with its share of all worlds."""


def draw(rng: random.Random) -> Scene:
    """Most worlds have none."""
    [(_, scene)] = rng.choices(SCENES, [share for share, _ in SCENES])
    return scene
