"""The families that are state: read from the process's status at each scrape, never kept here.

Knows nothing of facts. Sums and maxima are over this process's lanes, so that adding up replicas
gives the whole dispatcher.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.adapters.metrics.catalogue import PREFIX
from service.adapters.metrics.labels import Labels
from service.core.status import LaneStatus, Status

Snapshot = Callable[[], Status]

STANDINGS = ("lane", "shared", "even", "alone", "silent")
"""`LaneStatus.standing`."""


class StateCollector(Collector):
    """Gauges of the status that `snapshot` returns; zero, or no sample, while there is none."""

    def __init__(self, requests_topic: str, flows: Labels) -> None:
        self.snapshot: Snapshot | None = None
        self._requests_topic = requests_topic
        self._flows = flows
        self._lanes_seen: set[int] = set()

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families without a sample; asking for the status may be too early."""
        return self._families(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families as of now."""
        lanes = () if self.snapshot is None else self.snapshot().lanes
        self._lanes_seen.update(lane.lane for lane in lanes)
        return self._families(lanes)

    def _families(self, lanes: tuple[LaneStatus, ...]) -> Iterator[GaugeMetricFamily]:
        limit = sum(lane.calls_per_minute for lane in lanes)
        used = sum(lane.calls_in_window for lane in lanes)
        yield _gauge(
            "limit_calls_per_minute", "The share of the limit of this process's lanes.", limit
        )
        yield _gauge(
            "limiter_utilisation_ratio",
            "Calls that count in the sliding minute, as a part of limit_calls_per_minute.",
            used / limit if limit else 0.0,
        )
        yield _gauge(
            "requests_in_flight", "Requests under way.", sum(lane.in_flight for lane in lanes)
        )
        yield _gauge(
            "oldest_event_age_seconds",
            "Age of the oldest event without an outcome; 0 when nothing waits.",
            max((lane.oldest_event_age_seconds or 0.0 for lane in lanes), default=0.0),
        )
        yield _gauge(
            "parked_calls",
            "Calls that wait in the parked topic.",
            sum(lane.parked_calls for lane in lanes),
        )
        yield _gauge(
            "parked_oldest_age_seconds",
            "Age of the oldest event in the parked topic, as of the last look at it; 0 when none "
            "waits.",
            max((lane.parked_oldest_age_seconds or 0.0 for lane in lanes), default=0.0),
        )
        yield _gauge(
            "overflow_calls",
            "Calls that wait in the overflow topic.",
            sum(lane.overflow_calls for lane in lanes),
        )
        yield _gauge(
            "checkpoint_bytes",
            "Size of the last checkpoint, the largest of this process's lanes.",
            max((lane.checkpoint_bytes for lane in lanes), default=0),
        )
        yield _gauge(
            "until_drained_seconds",
            "Until this process's lanes have worked their backlog off at the pace of the last "
            "minute, the longest of them; NaN while nothing is sent or a lag is not known.",
            max((_until_drained(lane) for lane in lanes), default=0.0, key=_nan_first),
        )
        yield self._lag(lanes)
        yield self._standings(lanes)
        yield self._lane_owned(lanes)
        yield self._holds(lanes)

    def _lag(self, lanes: tuple[LaneStatus, ...]) -> GaugeMetricFamily:
        family = _labelled(
            "lag_records",
            "Records of the requests topic that are not read yet, or have no outcome.",
            "partition",
        )
        for lane in lanes:
            for each in lane.partitions:
                if each.topic == self._requests_topic and each.lag is not None:
                    family.add_metric([str(each.partition)], each.lag)
        return family

    @staticmethod
    def _standings(lanes: tuple[LaneStatus, ...]) -> GaugeMetricFamily:
        family = _labelled(
            "limit_standing",
            "Lanes of this process by what they send by: an own share (lane), the window of all "
            "lanes (shared), an even share of it (even), the same without it (alone), or nothing "
            "(silent).",
            "standing",
        )
        found = Counter(lane.standing for lane in lanes if lane.state == "owned")
        for standing in STANDINGS:
            family.add_metric([standing], float(found[standing]))
        return family

    def _lane_owned(self, lanes: tuple[LaneStatus, ...]) -> GaugeMetricFamily:
        family = _labelled(
            "lane_owned",
            "1 while this process owns the lane; 0 for one that it takes over or had before.",
            "lane",
        )
        owned = {lane.lane for lane in lanes if lane.state == "owned"}
        for lane in sorted(self._lanes_seen):
            family.add_metric([str(lane)], float(lane in owned))
        return family

    def _holds(self, lanes: tuple[LaneStatus, ...]) -> GaugeMetricFamily:
        family = _labelled(
            "hold_active",
            "Holds in force: of accounts (flow is empty), of a configured flow, of all others.",
            "scope",
            "flow",
        )
        # Each lane holds an account by itself; it is one hold for the operator.
        held = {(hold.scope, hold.name) for lane in lanes for hold in lane.holds}
        counts = Counter(
            (scope, "" if scope == "account" else self._flows.of(name)) for scope, name in held
        )
        for key in [("account", ""), *(("flow", flow) for flow in self._flows.all)]:
            family.add_metric(key, counts[key])
        return family


def _gauge(name: str, sentence: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, sentence, value=value)


def _labelled(name: str, sentence: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, sentence, labels=labels)


def _until_drained(lane: LaneStatus) -> float:
    minutes = lane.minutes_until_drained
    return math.nan if minutes is None else minutes * 60


def _nan_first(seconds: float) -> float:
    """What is not known is not small."""
    return math.inf if math.isnan(seconds) else seconds
