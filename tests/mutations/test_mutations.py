"""The catalogue fits the code, and a few mutations are noticed; `make mutations` tries all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.mutations.catalogue import MUTATIONS
from tests.mutations.hunt import ROOT, hunt
from tests.mutations.mutation import Mutation, MutationError

SEEDS = 60
QUICK = (
    "sent before its turn is committed",
    "a resend in doubt has new bytes",
    "a takeover does not count that a batch may have been sent",
    "a lost commit passes for not done",
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name)
def test_the_mutation_fits_the_code(mutation: Mutation, tmp_path: Path) -> None:
    """A mutation of code that has moved on would break nothing, and prove nothing."""
    shutil.copytree(ROOT / "service", tmp_path / "service")
    mutation.apply(tmp_path)
    for each in (mutation, *mutation.also):
        broken = (tmp_path / "service" / each.file).read_text()
        assert broken != (ROOT / "service" / each.file).read_text()
        compile(broken, each.file, "exec")


def test_a_mutation_that_does_not_fit_says_so(tmp_path: Path) -> None:
    """Silence would look like a mutation that was noticed."""
    shutil.copytree(ROOT / "service" / "core", tmp_path / "service" / "core")
    with pytest.raises(MutationError, match="no such text"):
        Mutation("odd", "core/rate.py", "no such text", "").apply(tmp_path)


@pytest.mark.parametrize("name", QUICK)
def test_the_simulator_notices(name: str) -> None:
    """A simulator that finds nothing in broken code proves nothing of sound code."""
    [mutation] = [each for each in MUTATIONS if each.name == name]
    found = hunt(mutation, SEEDS)
    assert found.caught, found.how
