"""Runs the simulator, or what else must notice, on a broken copy of the program.

Knows nothing of which mutations there are.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutations.mutation import Mutation

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 600.0
"""A broken program may also spin."""
TESTS_FAILED = 1
"""What pytest returns then; other numbers are errors of ours."""


@dataclass(frozen=True, slots=True)
class Found:
    """Whether a broken program was noticed, and how."""

    caught: bool
    how: str


def hunt(mutation: Mutation | None, seeds: int) -> Found:
    """Break a copy of the program, and see whether that is noticed; None: the sound program.

    Raises:
        MutationError: the code has changed, and the mutation does not fit it.
        RuntimeError: what should notice could not run.
    """
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        tree = Path(folder)
        for part in ("service", "tests"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        if mutation is None:
            return _simulated(tree, seeds)
        mutation.apply(tree)
        return _tested(tree, mutation.tests) if mutation.tests else _simulated(tree, seeds)


def _simulated(tree: Path, seeds: int) -> Found:
    options = ("--seeds", str(seeds), "--jobs", "1", "--stop")
    done = _run(tree, "tests.simulation", *options)
    if done is None:
        return Found(caught=True, how=f"a world did not end within {SECONDS_MAX:.0f} s")
    lines = done.stdout.splitlines()
    try:
        failed = json.loads(lines[-1])["failed"]
    except (IndexError, ValueError) as error:
        raise RuntimeError(f"the simulator did not run: {done.stderr}") from error
    return Found(caught=failed > 0, how=" ".join(line.strip() for line in lines[:2]))


def _tested(tree: Path, tests: Sequence[str]) -> Found:
    done = _run(tree, "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests)
    if done is None:
        return Found(caught=True, how=f"a test did not end within {SECONDS_MAX:.0f} s")
    lines = done.stdout.splitlines()
    if done.returncode not in {0, TESTS_FAILED}:
        raise RuntimeError(f"the tests did not run: {done.stdout}{done.stderr}")
    failed = [line for line in lines if line.startswith("FAILED")]
    return Found(caught=done.returncode == TESTS_FAILED, how=" ".join(failed))


def _run(tree: Path, module: str, *options: str) -> subprocess.CompletedProcess[str] | None:
    """Run a module on the copy; None if it does not end."""
    command = (sys.executable, "-m", module, *options)
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return subprocess.run(
            command,
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
