"""Whether the program takes the configuration that its pods would read.

Knows nothing of how it is rendered.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.chart.helm import Rendered
from tests.chart.rules import TLS_MOUNT
from tests.chart.value_sets import ID, REDIS, SECURITY_ID

EXISTING = {SECURITY_ID: ID, REDIS: "redis://redis/0"}
"""What stands in a Secret that the chart does not make."""


def refusals(release: Rendered, folder: Path) -> Iterator[str]:
    """What `check` says in each pod, if it does not take file and environment together."""
    file = folder / "config.yaml"
    file.write_text(_on_this_machine(release, folder))
    for component, pod in release.pods.items():
        (container,) = pod["spec"]["containers"]
        variables = {one["name"]: one["value"] for one in container["env"]}
        done = subprocess.run(
            [sys.executable, "-m", "service", "check", "--config", str(file)],
            env=variables | _secret(release) | {"DISPATCHER_CONFIG": str(file)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            yield f"{component}: {done.stderr}"


def _on_this_machine(release: Rendered, folder: Path) -> str:
    """The file, with the certificates where they are here: empty ones do."""
    for key in ("ca.crt", "tls.crt", "tls.key"):
        (folder / key).touch()
    return yaml.safe_dump(release.config).replace(TLS_MOUNT, str(folder))


def _secret(release: Rendered) -> dict[str, str]:
    """The variables that all pods have from their Secret."""
    if release.values["existingSecret"]:
        return EXISTING
    found: dict[str, str] = release.all("Secret")[0]["stringData"]
    return found
