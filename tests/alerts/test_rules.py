"""The words of the alerts. promtool and the real chain are in `make alerts`."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry

from service.adapters.metrics import Metrics, ReplayStandings
from service.core.replay_words import Replay, State
from tests.alerts.rules import FOLDER, ROOT, alerts
from tests.support.kafka import Names
from tests.support.settings import settings_for

RUNBOOKS = ROOT / "docs/runbooks"
OF_THE_PROCESS = ("process_start_time_seconds",)


def test_each_alert_tells_a_tired_person_what_to_do() -> None:
    """An alert without words or page is a number at night."""
    for rule in alerts():
        notes = rule["annotations"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert notes["summary"].endswith(".")
        page = ROOT / notes["runbook_url"]
        assert page.read_text().startswith(f"# {rule['alert']}\n")


def test_each_runbook_belongs_to_an_alert() -> None:
    """A page that no alert leads to is read by nobody and goes stale."""
    linked = {Path(rule["annotations"]["runbook_url"]).name for rule in alerts()}
    linked.add("replay.md")  # What a person does who was not called.
    assert {page.name for page in RUNBOOKS.iterdir()} == linked | {"README.md"}
    index = (RUNBOOKS / "README.md").read_text()
    assert set(re.findall(r"\]\(([a-z-]+\.md)\)", index)) == linked


def test_the_links_of_runbooks_lead_somewhere() -> None:
    """At night nobody searches for a page that moved."""
    for page in RUNBOOKS.iterdir():
        for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_each_alert_is_shown_to_fire_and_to_clear() -> None:
    """An alert that was never seen firing is a hope."""
    tests = yaml.safe_load((FOLDER / "tests.yaml").read_text())["tests"]
    for name in {rule["alert"] for rule in alerts()}:
        assert any(_fires_and_clears(test, name) for test in tests), name


def _fires_and_clears(test: dict[str, list[dict[str, list[dict[str, str]]]]], name: str) -> bool:
    fired = [
        any(name in sample["labels"] for sample in at["exp_samples"])
        for at in test["promql_expr_test"]
    ]
    return fired == [False, True, False]


async def _no_replays() -> list[tuple[Replay, State]]:
    return []


def test_the_rules_ask_only_for_metrics_that_there_are() -> None:
    """A renamed metric would silence its alert, and nobody would notice."""
    registry = CollectorRegistry()
    Metrics(registry, settings_for("127.0.0.1:9092", Names()))
    ReplayStandings(registry, _no_replays)
    exported = {
        sample
        for family in registry.collect()
        for sample in (family.name, *(f"{family.name}_{end}" for end in ("total", "info")))
    }
    asked = chain.from_iterable(
        re.findall(r"\b(?:dispatcher|process)_[a-z_]+", str(rule["expr"])) for rule in alerts()
    )
    assert set(asked) - exported <= set(OF_THE_PROCESS)
