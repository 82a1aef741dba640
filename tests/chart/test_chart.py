"""The chart by one Helm, for one Kubernetes, over a few values. `make chart` tries all of them."""

from __future__ import annotations

import json
import re
import tarfile
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from service.cli import cli
from tests.chart.breakages import VALUES, unnoticed
from tests.chart.containers import refusals
from tests.chart.helm import DISPATCHER, Helm, RefusedError, Rendered, helm, put_over
from tests.chart.rules import broken
from tests.chart.schemas import faults, versions
from tests.chart.value_sets import ALL_OFF, REFUSALS, SETS, whole
from tests.chart.written import CHART, expected

CHOSEN: dict[str, Any] = {"least": {}, "all": VALUES, "none": ALL_OFF}


@cache
def _release(name: str) -> Rendered:
    return helm(4).render(whole(CHOSEN[name]))


@pytest.mark.parametrize("name", CHOSEN)
def test_the_rules_hold(name: str) -> None:
    """Somebody's installation would be open, unwatched, or without what it names."""
    assert broken(_release(name)) == []


@pytest.mark.parametrize("name", CHOSEN)
def test_kubernetes_takes_the_objects(name: str) -> None:
    """`helm install` would fail in the middle."""
    assert [one for each in _release(name).objects for one in faults(each, versions()[-1])] == []


def test_the_schemas_refuse_what_is_misspelt() -> None:
    """A field that Kubernetes drops silently would look as if it were set."""
    for kind in ("Deployment", "NetworkPolicy", "PodMonitor", "PrometheusRule"):
        one = put_over(_release("all").one(kind), {"spec": {"misspelt": 1}})
        assert any("misspelt" in fault for fault in faults(one, versions()[0]))


def test_the_program_takes_the_configuration(tmp_path: Path) -> None:
    """All pods would exit with 2 as soon as they start."""
    assert list(refusals(_release("all"), tmp_path)) == []


def test_the_program_refuses_another_configuration(tmp_path: Path) -> None:
    """The test above would pass on anything."""
    release = helm(4).render(whole({"config": {"retry": {"backoff_seconds": 100}}}))
    assert "backoff_max_seconds" in next(refusals(release, tmp_path))


@pytest.mark.parametrize("name", ["drain longer than grace", "two secrets", "misspelt field"])
def test_what_cannot_work_is_refused_with_a_sentence(name: str) -> None:
    """Somebody would find out from pods that restart."""
    values, words = REFUSALS[name]
    with pytest.raises(RefusedError, match=re.escape(words)):
        helm(4).render(whole(values))


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Somebody who tries it first would be sent back three times."""
    with pytest.raises(RefusedError) as refused:
        helm(4).render({})
    said = str(refused.value)
    assert all(words in said for words in ("bootstrap_servers", "provider.url", "no security-id"))


def test_pods_change_with_what_they_read() -> None:
    """A new configuration or secret would be in force only after somebody restarts by hand."""
    before = _release("least").pods[DISPATCHER]
    for values in (SETS["long drain"], SETS["all secrets"]):
        after = helm(4).render(whole(values)).pods[DISPATCHER]
        assert after["metadata"]["annotations"] != before["metadata"]["annotations"]


def test_the_package_holds_rules_and_dashboards(tmp_path: Path) -> None:
    """They are links in the checkout: who installs the package would have no alerts."""
    archive = helm(4).package(tmp_path)
    with tarfile.open(archive) as package:
        files = {one.name.partition("/")[2]: one.isfile() for one in package}
    boards = [f"dashboards/{one.name}" for one in (CHART / "dashboards").glob("*.json")]
    assert all(files[name] for name in ["rules.yaml", "values.schema.json", *boards])
    assert Helm(helm(4).program, archive).render(VALUES).objects == _release("all").objects


def test_the_notes_name_commands_that_exist() -> None:
    """Whoever has just installed it would be told to run what there is not."""
    notes = helm(4).notes(VALUES)
    commands = re.findall(r"call-dispatcher ((?:check|holds|topics)[^\n`]*)", notes)
    assert len(commands) >= 3
    for command in commands:
        words = re.match(r"[a-z ]*[a-z]", command)
        assert words is not None
        said = CliRunner().invoke(cli, [*words[0].split(), "--help"]).output
        assert all(option in said for option in re.findall(r"--\w+", command)), said


def test_some_breakages_are_noticed(tmp_path: Path) -> None:
    """The rules would hold of any chart."""
    assert list(unnoticed(helm(4).program, tmp_path, every=5)) == []


@pytest.mark.parametrize("name", ["values.schema.json", "README.md"])
def test_what_is_made_from_elsewhere_is_current(name: str) -> None:
    """A new field of the configuration would be refused, or a value undocumented: `make chart`."""
    assert (CHART / name).read_text() == expected()[name]


def test_the_chart_names_the_release() -> None:
    """Without a tag of one's own another version's image would be run."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == version("call-dispatcher")


def test_every_value_is_explained() -> None:
    """Somebody would have to read templates to learn what a value does."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    explained = {
        line.split("`")[1]
        for line in (CHART / "README.md").read_text().splitlines()
        if line.startswith("| `")
    }

    def keys(at: dict[str, Any], path: str) -> set[str]:
        if path in explained:
            return {path}
        below = at.get("properties", {})
        return {
            found for key, one in below.items() for found in keys(one, f"{path}.{key}".strip("."))
        } or {path}

    assert keys(schema, "") - {"global"} == explained
