"""Another release of the program, taken out of the repository's history.

Knows nothing of how it is run.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from service.errors import ConfigurationError

REPOSITORY = Path(__file__).parents[2]


def name_of(revision: str) -> str:
    """The short name of a revision.

    Raises:
        ConfigurationError: it is not in this repository's history.
    """
    return _git("rev-parse", "--short", "--verify", f"{revision}^{{commit}}").decode().strip()


def unpack(revision: str, folder: Path) -> Path:
    """Put the revision's `service` below `folder`, and return the folder.

    Raises:
        ConfigurationError: it is not in this repository's history.
    """
    archive = _git("archive", "--format=tar", revision, "service")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


def _git(*arguments: str) -> bytes:
    git = shutil.which("git") or "git"
    try:
        return subprocess.run(
            (git, "-C", str(REPOSITORY), *arguments), check=True, capture_output=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigurationError(
            f"git {arguments[0]} failed: the release must be in the history of this repository"
        ) from error
