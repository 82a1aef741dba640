"""The dashboards that are kept. That each panel shows something is in `make dashboards`."""

from __future__ import annotations

import re

import promql_parser
from prometheus_client import CollectorRegistry

from service.adapters.metrics import Metrics
from tests.dashboards.boards import BOARDS
from tests.dashboards.grafana import FOLDER, files
from tests.dashboards.model import Panel
from tests.dashboards.prometheus import plain
from tests.support.kafka import Names
from tests.support.settings import settings_for

OF_THE_PROCESS = {
    "process_start_time_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
}


def _panels() -> list[Panel]:
    return [panel for board in BOARDS for panel in board.panels]


def test_the_dashboards_are_those_of_the_code() -> None:
    """What was changed in Grafana's file alone is lost at the next `make dashboards`."""
    assert {file: file.read_text() for file in FOLDER.iterdir()} == files()


def test_each_query_can_be_parsed() -> None:
    """A query with an error is an empty panel at the moment when it is needed."""
    for panel in _panels():
        for expression in panel.expressions:
            promql_parser.parse(plain(expression))


def test_the_queries_ask_only_for_metrics_that_there_are() -> None:
    """A renamed metric would empty its panel, and nobody would notice."""
    registry = CollectorRegistry()
    Metrics(registry, settings_for("127.0.0.1:9092", Names()))
    exported = {
        f"{family.name}{end}"
        for family in registry.collect()
        for end in ("", "_total", "_info", "_bucket", "_count", "_sum")
    }
    asked = {
        name
        for panel in _panels()
        for expression in panel.expressions
        for name in re.findall(r"\b(?:dispatcher|process)_[a-z_]+", expression)
    }
    assert asked - exported <= OF_THE_PROCESS


def test_each_panel_says_what_it_means() -> None:
    """At three in the morning nobody guesses what a curve is."""
    titles = [(board.name, panel.title) for board in BOARDS for panel in board.panels]
    assert len(set(titles)) == len(titles)
    assert all(panel.meaning.endswith(".") for panel in _panels())
