"""Rules of what watches the release: scraping, alerts and dashboards.

Knows nothing of the dispatcher.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.chart.helm import Rendered

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy/prometheus/rules.yaml"
DASHBOARDS = ROOT / "deploy/grafana/dashboards"


def prometheus_finds_them(release: Rendered) -> Iterator[str]:
    """A Prometheus that chooses by labels would watch nobody."""
    for kind, given in (("PodMonitor", "podMonitor"), ("PrometheusRule", "alerts")):
        for one in release.all(kind):
            if not release.values[given]["labels"].items() <= one["metadata"]["labels"].items():
                yield kind
    for one in release.all("PodMonitor"):
        interval = release.values["podMonitor"]["interval"]
        wanted = {"port": "http", "path": "/metrics", "interval": interval}
        if one["spec"]["podMetricsEndpoints"] != [wanted]:
            yield f"{one['spec']}"


def alerts_are_those_of_the_file(release: Rendered) -> Iterator[str]:
    """Promtool and `make alerts` have judged the file, not a copy that drifted."""
    values = release.values["alerts"]
    text = RULES.read_text()
    for rule in release.all("PrometheusRule"):
        text = text.replace("vector(600)", f"vector({values['lateAfterSeconds']})")
        text = text.replace("vector(604800)", f"vector({values['requestsRetentionSeconds']})")
        text = text.replace("runbook_url: ", f"runbook_url: {values['runbooksBase']}/")
        if rule["spec"] != yaml.safe_load(text):
            yield "they differ"
        said = json.dumps(rule)
        if f"vector({values['lateAfterSeconds']})" not in said:
            yield "lateAfterSeconds is not used"
        if f"vector({values['requestsRetentionSeconds']})" not in said:
            yield "requestsRetentionSeconds is not used"
        pages = set(re.findall(rf"{re.escape(values['runbooksBase'])}/([^\"]+)", said))
        yield from (f"no page {page}" for page in pages if not (ROOT / page).is_file())


def dashboards_are_those_of_the_folder(release: Rendered) -> Iterator[str]:
    """One for each file, whole, with the label by which Grafana's sidecar finds it."""
    label = release.values["dashboards"]["labels"].items()
    maps = [one for one in release.all("ConfigMap") if label <= one["metadata"]["labels"].items()]
    found = {name: json.loads(text) for one in maps for name, text in one["data"].items()}
    wanted = {
        f"call-dispatcher-{one.name}": json.loads(one.read_text()) for one in _boards(release)
    }
    if found != wanted:
        yield f"{sorted(found)} instead of {sorted(wanted)}"


def _boards(release: Rendered) -> list[Path]:
    return sorted(DASHBOARDS.glob("*.json")) if release.values["dashboards"]["enabled"] else []
