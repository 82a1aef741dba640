"""The pods' program on this machine: with their file and environment, without a cluster.

Knows nothing of how they are rendered.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.chart.helm import MOUNT, TLS_MOUNT, Rendered
from tests.chart.value_sets import ID, REDIS, SECURITY_ID

EXISTING = {SECURITY_ID: ID, REDIS: "redis://redis/0"}
"""What stands in a Secret that the chart does not make."""


@dataclass(frozen=True)
class Container:
    """What a container starts: the words behind the program's name, and its variables."""

    words: list[str]
    environment: dict[str, str]


def container(release: Rendered, component: str, folder: Path) -> Container:
    """This component's, its files in the folder: its configuration, and empty certificates."""
    (found,) = release.pods[component]["spec"]["containers"]
    for key in ("ca.crt", "tls.crt", "tls.key"):
        (folder / key).touch()
    text = yaml.safe_dump(release.config).replace(TLS_MOUNT, str(folder))
    (folder / "config.yaml").write_text(text)
    variables = {one["name"]: one["value"].replace(MOUNT, str(folder)) for one in found["env"]}
    # The image's own command, where the pod names none.
    return Container(found.get("args", ["run"]), variables | _secret(release))


def refusals(release: Rendered, folder: Path) -> Iterator[str]:
    """What `check` says in each pod, if it does not take file and environment together."""
    for component in release.pods:
        done = subprocess.run(
            [sys.executable, "-m", "service", "check"],
            env=container(release, component, folder).environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            yield f"{component}: {done.stderr}"


def readiness(release: Rendered) -> str:
    """The path that Kubernetes asks."""
    (found,) = release.spec["containers"]
    path: str = found["readinessProbe"]["httpGet"]["path"]
    return path


def _secret(release: Rendered) -> dict[str, str]:
    """The variables that all pods have from their Secret."""
    if release.values["existingSecret"]:
        return EXISTING
    found: dict[str, str] = release.all("Secret")[0]["stringData"]
    return found
