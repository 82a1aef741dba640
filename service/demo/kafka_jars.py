"""Kafka's jars, fetched once through Maven into a cache outside the tree.

Knows nothing of running Kafka (kafka.py), nor of where Maven finds its packages.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from service.errors import ConfigurationError

FILES = Path(__file__).with_name("kafka_files")
POM = FILES / "pom.xml"
JAVA_VERSION_MIN = 17
"""The oldest Java that Kafka 4 brokers run on."""
INSTEAD = "or name a running broker in KAFKA_BOOTSTRAP"


def ensure_jars() -> Path:
    """Return the directory of the jars, fetched if they are not there yet.

    The directory appears whole or not at all, and holds a copy of the pom that it was made from;
    with another pom it is made anew. Processes that start together fetch once.

    Raises:
        ConfigurationError: Maven is missing or could not fetch; the text says what to do.
    """
    jars = _cache_home() / f"kafka-{_kafka_version()}"
    if not _is_whole(jars):
        jars.parent.mkdir(parents=True, exist_ok=True)
        with _locked(jars.with_name(f"{jars.name}.lock")):
            if not _is_whole(jars):
                _fetch(jars)
    return jars


def find_java() -> str:
    """Return the path of a Java that is new enough.

    Raises:
        ConfigurationError: there is none; the text says what to install.
    """
    advice = f"install openjdk-{JAVA_VERSION_MIN}-jre-headless or newer, {INSTEAD}"
    java = shutil.which("java")
    if java is None:
        raise ConfigurationError(f"a local Kafka needs Java: {advice}")
    said = _run([java, "-version"]).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < JAVA_VERSION_MIN:
        raise ConfigurationError(f"a local Kafka needs Java {JAVA_VERSION_MIN}: {advice}")
    return java


def _cache_home() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "call-dispatcher"


def _kafka_version() -> str:
    version = re.search("<kafka.version>(.+)</kafka.version>", POM.read_text())
    assert version is not None, "the pom names Kafka's version"
    return version[1]


def _is_whole(jars: Path) -> bool:
    stamp = jars / POM.name
    return stamp.exists() and stamp.read_bytes() == POM.read_bytes()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError(f"a local Kafka comes through Maven: install maven, {INSTEAD}")
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="fetching-") as directory:
        target = Path(directory) / jars.name
        options = [f"-DoutputDirectory={target}", "-DincludeScope=runtime"]
        fetched = _run(
            [maven, "-B", "-q", "-f", str(POM), "dependency:copy-dependencies", *options]
        )
        if fetched.returncode != 0:
            raise ConfigurationError(f"Maven could not fetch Kafka: {_first_error(fetched.stdout)}")
        shutil.copy(POM, target)
        shutil.rmtree(jars, ignore_errors=True)
        target.rename(jars)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 -- the program was found on PATH, its arguments are ours
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _first_error(output: str) -> str:
    errors = (line for line in output.splitlines() if line.startswith("[ERROR]"))
    return next(errors, "[ERROR] it gave no reason").removeprefix("[ERROR]").strip()


def main() -> None:
    """Fetch the jars, as `make setup` does, and say where they are."""
    try:
        find_java()
        click.echo(ensure_jars())
    except ConfigurationError as error:
        click.echo(f"call-dispatcher: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
