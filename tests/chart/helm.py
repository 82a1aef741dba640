"""The chart as Helm renders it: its objects, or what it says against the values.

Knows nothing of what the objects must be.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.chart.tools import tools
from tests.chart.written import CHART

Values = Mapping[str, Any]
Object = dict[str, Any]
RELEASE, NAMESPACE = "calls", "calls-prod"
DISPATCHER, TOPICS = "dispatcher", "topics"
"""Components: the pods of the Deployment, and those of the Job."""
MOUNT, TLS_MOUNT = "/etc/call-dispatcher", "/etc/call-dispatcher-tls"


class RefusedError(Exception):
    """Helm rendered nothing; the text is what it said."""


def put_over(below: Values, above: Values) -> dict[str, Any]:
    """Values as Helm puts one file over another: key by key, and null removes what is below."""
    both = dict(below)
    for key, value in above.items():
        if value is None and key in below:
            del both[key]
        elif isinstance(value, Mapping) and isinstance(below.get(key), Mapping):
            both[key] = put_over(below[key], value)
        else:
            both[key] = value
    return both


@dataclass(frozen=True)
class Rendered:
    """One release: the values it was rendered with, defaults included, and its objects."""

    values: dict[str, Any]
    objects: list[Object]

    def all(self, kind: str) -> list[Object]:
        """The objects of this kind."""
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str) -> Object:
        """The only object of this kind that is no hook."""
        (found,) = (one for one in self.all(kind) if not is_hook(one))
        return found

    @cached_property
    def pods(self) -> dict[str, Object]:
        """The pods' templates, by component."""
        found = [one["spec"]["template"] for one in self.objects if one["kind"] in PODS]
        return {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod for pod in found}

    @property
    def spec(self) -> Object:
        """What the dispatcher's pods are."""
        spec: Object = self.pods[DISPATCHER]["spec"]
        return spec

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration file of the pods."""
        (name,) = (
            one["configMap"]["name"]
            for one in self.pods[DISPATCHER]["spec"]["volumes"]
            if "configMap" in one
        )
        (found,) = (one for one in self.all("ConfigMap") if one["metadata"]["name"] == name)
        config: dict[str, Any] = yaml.safe_load(found["data"]["config.yaml"])
        return config


PODS = ("Deployment", "Job")


def is_hook(one: Object) -> bool:
    """Whether Helm makes it before the release."""
    return "helm.sh/hook" in one["metadata"].get("annotations", {})


@dataclass(frozen=True)
class Helm:
    """One version of Helm, on one chart."""

    program: Path
    chart: Path = CHART

    def render(self, values: Values, *options: str) -> Rendered:
        """The release with these values.

        Raises:
            RefusedError: schema or chart are against them.
        """
        said = self._run(["template", RELEASE, str(self.chart), *options], values)
        objects = [one for one in yaml.load_all(said, Loader=yaml.CSafeLoader) if one]
        defaults = yaml.safe_load((CHART / "values.yaml").read_text())
        return Rendered(put_over(defaults, values), objects)

    def notes(self, values: Values) -> str:
        """NOTES.txt as it is shown after an installation; Helm 3 shows it only with a cluster."""
        options = ["install", RELEASE, str(self.chart), "--dry-run=client"]
        return self._run(options, values).partition("\nNOTES:\n")[2]

    def lint(self, values: Values) -> None:
        """What Helm itself holds against a chart.

        Raises:
            RefusedError: it does.
        """
        self._run(["lint", "--strict", str(self.chart)], values)

    def package(self, folder: Path) -> Path:
        """The chart as it is published, in this folder."""
        self._run(["package", str(self.chart), "--destination", str(folder)], None)
        (archive,) = folder.glob("*.tgz")
        return archive

    def _run(self, words: list[str], values: Values | None) -> str:
        given = [] if values is None else ["--namespace", NAMESPACE, "--values", "-"]
        done = subprocess.run(
            [self.program, *words, *given],
            input=json.dumps(values),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RefusedError(done.stdout + done.stderr)
        return done.stdout


def helm(major: int) -> Helm:
    """Helm 3 or 4."""
    return Helm(tools() / f"helm-{major}")
