"""The metrics page as a scraper reads it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from service.adapters.metrics import Metrics, ReplayStandings
from service.core.facts import (
    BatchSealed,
    CallsEnded,
    EventRefusedFact,
    EventsLost,
    EventsRead,
    Fact,
    HoldChanged,
    LaneChanged,
    LimiterWaited,
    RequestEnded,
    RetryPlanned,
    Trouble,
    TurnCommitted,
)
from service.core.replay_words import Replay, State
from service.core.status import PartitionStatus, Status
from service.errors import BrokerUnavailable
from tests.contracts.seen import SECURITY_ID, hold_of, lane_of, settings_of, status_of

LISTED = "AbCd1234"
CONTRACT = {
    "events_consumed_total": set[str](),
    "calls_dispatched_total": {"flow", "outcome"},
    "dead_letters_total": {"reason"},
    "requests_total": {"code"},
    "request_duration_seconds": set(),
    "batch_calls": set(),
    "batch_bytes": set(),
    "batches_sealed_total": {"cause"},
    "limit_calls_per_minute": set(),
    "limiter_wait_seconds": set(),
    "limiter_utilisation_ratio": set(),
    "requests_in_flight": set(),
    "retries_total": {"cause"},
    "hold_active": {"scope", "flow"},
    "parked_total": set(),
    "lag_records": {"partition"},
    "oldest_event_age_seconds": set(),
    "end_to_end_seconds": set(),
    "turn_duration_seconds": set(),
    "lane_owned": {"lane"},
    "takeovers_total": set(),
    "recovered_batches_total": set(),
    "checkpoint_bytes": set(),
    "events_lost_total": set(),
    "build_info": {"version", "python", "profile"},
}
"""The list in the public contract, with the labels of each family."""

Page = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scraped:
    """A registry with metrics in it, read as Prometheus does."""

    def __init__(self, **sections: Any) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, settings_of(**sections))

    def tell(self, *facts: Fact) -> Scraped:
        """Tell these facts."""
        for fact in facts:
            self.metrics.tell(fact)
        return self

    def families(self) -> list[Metric]:
        """The page as Prometheus understands it."""
        return list(text_string_to_metric_families(self.text()))

    def text(self) -> str:
        """The page as it is served."""
        return generate_latest(self.registry).decode()

    def page(self) -> Page:
        """Every sample."""
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families()
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """One sample's value."""
        return self.page()["dispatcher_" + name, frozenset(labels.items())]


def request(code: str) -> RequestEnded:
    """A request that ended so."""
    return RequestEnded("0123456789abcdef", LISTED, 500, 1, code, 0.2, "")


def ended(flow_id: str, outcome: str, count: int) -> CallsEnded:
    """Calls of one batch that ended so."""
    return CallsEnded(flow_id, outcome, count, 1.5)


EVERY_FACT: list[Fact] = [
    EventsRead(("calls.requests", 0), 10),
    EventRefusedFact(("calls.requests", 0, 7), "invalid", "keys", "wrong"),
    BatchSealed("0123456789abcdef", LISTED, 500, 90_000, "count"),
    request("202"),
    RetryPlanned("0123456789abcdef", LISTED, "ambiguous", 1.0),
    ended(LISTED, "accepted", 500),
    TurnCommitted(0, 7, 0.01, 4000, 2),
    LimiterWaited(0.5),
    HoldChanged("flow", LISTED, active=True, reason="wrong", code=301),
    LaneChanged(0, "owned", recovered_batches=3),
    EventsLost(("calls.requests", 0), 10, 15),
    Trouble("commit", "the broker is away"),
]


def test_every_family_of_the_contract_is_there_before_anything_happened() -> None:
    """A dashboard or an alert must not miss its metric because nothing went wrong yet."""
    families = {family.name: family for family in text_string_to_metric_families(Scraped().text())}
    assert {"dispatcher_" + name.removesuffix("_total") for name in CONTRACT} <= {
        name.removesuffix("_total") for name in families
    }
    assert all(family.documentation for family in families.values())


def test_labels_are_those_of_the_contract() -> None:
    """Somebody's query by a label would match nothing after a rename."""
    scraped = Scraped(flows={LISTED: {}}).tell(*EVERY_FACT)
    scraped.metrics.observe(lambda: status_of(lane_of(holds=(hold_of(),))))
    found: dict[str, set[str]] = {}
    for name, labels in scraped.page():
        base = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        found.setdefault(base, set()).update({label for label, _ in labels} - {"le"})
    assert {name: found["dispatcher_" + name] for name in CONTRACT} == CONTRACT


def test_the_openmetrics_form_is_valid() -> None:
    """Prometheus asks for OpenMetrics first; a page that it cannot parse is no page."""
    scraped = Scraped().tell(*EVERY_FACT)
    scraped.metrics.observe(lambda: status_of(lane_of(), lane_of(1)))
    text = generate_openmetrics(scraped.registry).decode()  # type: ignore[no-untyped-call]
    families = openmetrics_families(text)  # type: ignore[no-untyped-call]
    names = {family.name for family in families}
    assert {"dispatcher_events_consumed", "dispatcher_lane_owned", "dispatcher_build"} <= names


@pytest.mark.parametrize(
    ("fact", "name", "labels", "value"),
    [
        (EVERY_FACT[0], "events_consumed_total", {}, 10),
        (EVERY_FACT[1], "dead_letters_total", {"reason": "invalid"}, 1),
        (EVERY_FACT[2], "batches_sealed_total", {"cause": "count"}, 1),
        (EVERY_FACT[2], "batch_calls_sum", {}, 500),
        (EVERY_FACT[2], "batch_bytes_sum", {}, 90_000),
        (EVERY_FACT[3], "requests_total", {"code": "202"}, 1),
        (EVERY_FACT[3], "request_duration_seconds_sum", {}, 0.2),
        (EVERY_FACT[4], "retries_total", {"cause": "ambiguous"}, 1),
        (EVERY_FACT[5], "calls_dispatched_total", {"flow": LISTED, "outcome": "accepted"}, 500),
        (EVERY_FACT[5], "end_to_end_seconds_sum", {}, 1.5),
        (EVERY_FACT[6], "turn_duration_seconds_sum", {}, 0.01),
        (EVERY_FACT[7], "limiter_wait_seconds_sum", {}, 0.5),
        (EVERY_FACT[9], "takeovers_total", {}, 1),
        (EVERY_FACT[9], "recovered_batches_total", {}, 3),
        (EVERY_FACT[10], "events_lost_total", {}, 5),
        (ended("Zz999999", "rejected", 2), "dead_letters_total", {"reason": "rejected"}, 2),
        (
            ended("Zz999999", "rejected", 2),
            "calls_dispatched_total",
            {"flow": "other", "outcome": "rejected"},
            2,
        ),
        (LaneChanged(0, "taking"), "takeovers_total", {}, 0),
    ],
)
def test_a_fact_is_counted(fact: Fact, name: str, labels: dict[str, str], value: float) -> None:
    """A fact that is told and not counted is invisible to whoever is on call."""
    assert Scraped(flows={LISTED: {}}).tell(fact).value(name, **labels) == value


@pytest.mark.parametrize(
    ("code", "label"),
    [
        ("209", "209"),
        ("999", "other"),
        ("http_429", "http_429"),
        ("http_404", "http_4xx"),
        ("http_503", "http_5xx"),
        ("http_999", "other"),
        ("http_4\u0660\u0664", "other"),
        ("no_answer", "no_answer"),
        ("not_sent", "not_sent"),
        (SECURITY_ID, "other"),
    ],
)
def test_a_code_becomes_one_of_a_closed_set(code: str, label: str) -> None:
    """A provider that answers nonsense must not grow the page with it."""
    assert Scraped().tell(request(code)).value("requests_total", code=label) == 1


def test_ten_thousand_flows_add_no_series() -> None:
    """Upstream invents flows at will; each new series would cost the monitoring for months."""
    scraped = Scraped(flows={LISTED: {}})
    scraped.tell(ended(LISTED, "accepted", 1))
    lane = lane_of(holds=(hold_of(),))
    scraped.metrics.observe(lambda: status_of(lane))
    before = scraped.page().keys()
    facts = [ended(f"{n:08}", "accepted", 2) for n in range(10_000)]
    scraped.tell(*facts, *(RetryPlanned("b", f"{n}", f"why {n}", 1.0) for n in range(100)))
    held = tuple(hold_of(name=f"{n:08}") for n in range(10_000))
    scraped.metrics.observe(lambda: status_of(replace(lane, holds=(hold_of(), *held))))
    assert scraped.page().keys() == before
    assert scraped.value("calls_dispatched_total", flow="other", outcome="accepted") == 20_000
    assert scraped.value("calls_dispatched_total", flow=LISTED, outcome="accepted") == 1
    assert scraped.value("hold_active", scope="flow", flow="other") == 10_000
    assert scraped.value("hold_active", scope="flow", flow=LISTED) == 1


def test_events_set_aside_are_consumed_once() -> None:
    """Reading a parked call back is not another event: consumed must equal published."""
    scraped = Scraped().tell(EVERY_FACT[0], EventsRead(("calls.parked", 0), 7))
    assert scraped.value("events_consumed_total") == 10


def test_state_is_that_of_the_scrape() -> None:
    """A gauge that is only as new as the last event would be stale in just the idle hour."""
    status: Status = status_of()
    scraped = Scraped()
    scraped.metrics.observe(lambda: status)
    assert scraped.value("limiter_utilisation_ratio") == 0
    assert scraped.value("oldest_event_age_seconds") == 0
    second = lane_of(
        1,
        calls_in_window=0,
        oldest_event_age_seconds=99.0,
        checkpoint_bytes=7,
        parked_oldest_age_seconds=72_001.0,
    )
    status = status_of(lane_of(), second)
    assert scraped.value("limit_calls_per_minute") == 30_000
    assert scraped.value("limiter_utilisation_ratio") == pytest.approx(0.25)
    assert scraped.value("requests_in_flight") == 4
    assert scraped.value("oldest_event_age_seconds") == 99
    assert scraped.value("parked_oldest_age_seconds") == 72_001
    assert scraped.value("checkpoint_bytes") == 4321
    assert scraped.value("lag_records", partition="1") == 42
    assert scraped.value("lane_owned", lane="1") == 1
    status = status_of(lane_of(), replace(second, state="taking"))
    assert scraped.value("lane_owned", lane="1") == 0
    status = status_of()
    assert scraped.value("lane_owned", lane="0") == 0
    assert scraped.value("limit_calls_per_minute") == 0


def test_how_long_a_backlog_lasts_is_that_of_the_slowest_lane() -> None:
    """An alert would be quiet while the one lane that stands still has calls that wait."""
    scraped, lanes = Scraped(), [lane_of(minutes_until_drained=0.5), lane_of(1, standing="shared")]
    scraped.metrics.observe(lambda: status_of(*lanes))
    assert math.isnan(scraped.value("until_drained_seconds"))
    lanes[1] = lane_of(1, standing="silent", minutes_until_drained=2.0)
    assert scraped.value("until_drained_seconds") == 120
    assert scraped.value("limit_standing", standing="silent") == 1
    assert scraped.value("limit_standing", standing="lane") == 1
    assert scraped.value("limit_standing", standing="shared") == 0


def test_only_partitions_of_the_requests_topic_count_as_lag() -> None:
    """A parked partition of the same number would make the page invalid, or the lag wrong."""
    partitions = (
        PartitionStatus("calls.requests", 0, 1, 4, 3),
        PartitionStatus("calls.parked", 0, 1, 9, 8),
        PartitionStatus("calls.requests", 2, 1, None, None),
    )
    scraped = Scraped()
    scraped.metrics.observe(lambda: status_of(lane_of(partitions=partitions)))
    lags = {key: value for key, value in scraped.page().items() if "lag_records" in key[0]}
    assert lags == {("dispatcher_lag_records", frozenset({("partition", "0")})): 3}


def test_an_account_held_by_two_lanes_is_one_hold() -> None:
    """The page would tell of two accounts where the operator has one to repair."""
    held = (hold_of("account", "default"),)
    scraped = Scraped()
    scraped.metrics.observe(lambda: status_of(lane_of(holds=held), lane_of(1, holds=held)))
    assert scraped.value("hold_active", scope="account", flow="") == 1


def test_no_secret_is_on_the_page() -> None:
    """Metrics are read by more people than may know the security-id."""
    scraped = Scraped(flows={LISTED: {"security_id": "Cd2" * 21 + "y"}}).tell(*EVERY_FACT)
    text = scraped.text()
    assert SECURITY_ID not in text
    assert "Cd2Cd2" not in text


async def test_a_replay_that_stopped_is_told_for_a_day() -> None:
    """Whoever ran it has gone to bed; without the gauge nobody would see that it stopped."""
    registry, now = CollectorRegistry(), time.time()
    found = [_replay(State.ABORTED, now - 60), _replay(State.DONE, now - 60)]
    old = [_replay(State.ABORTED, now - 90_000)]
    looks: Iterator[list[Replay] | None] = iter([found, None, old])

    async def standings() -> list[tuple[Replay, State]]:
        look = next(looks)
        if look is None:
            raise BrokerUnavailable("Kafka is away")
        return [(each, each.state) for each in look]

    standing = ReplayStandings(registry, standings)

    def aborted() -> float | None:
        return registry.get_sample_value("dispatcher_replays", {"state": "aborted"})

    assert aborted() == 0
    await standing.look()
    assert aborted() == 1
    await standing.look()
    assert aborted() == 1, "while Kafka is away, what was last seen stands"
    await standing.look()
    assert aborted() == 0


def _replay(state: State, at: float) -> Replay:
    stamp = datetime.fromtimestamp(at, UTC).isoformat()
    return Replay(
        id="r",
        state=state,
        by="asha",
        run_by="asha",
        made_at=stamp,
        started_at=stamp,
        updated_at=stamp,
        plan_sha256="",
        filter={},
        options={},
        planned=1,
        by_reason={},
        done=0,
        sent=0,
        left_out={},
        accepted=0,
        failed=0,
    )
