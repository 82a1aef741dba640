"""What is shipped is what is locked, may be given on, and is told on the page of dependencies."""

from __future__ import annotations

import re

from tests.supply.licences import given_on, licence
from tests.supply.lock import DEV, FOLDER, ROOT, RUNTIME, asked, locked
from tests.supply.page import PAGE, expected, instead_of


def test_the_page_of_dependencies_says_what_is_locked() -> None:
    """An auditor would judge versions and licences that are not shipped."""
    assert PAGE.read_text() == expected(), "run python -m tests.supply.page"


def test_each_dependency_says_what_was_rejected() -> None:
    """Who wants to replace one would weigh the same things again."""
    kept = instead_of()
    assert [one.name for one in asked() if not kept.get(one.name)] == []


def test_what_runs_may_be_given_on() -> None:
    """Whoever ships the image would owe more than a notice, and not know it."""
    licences = {name: licence(name) for name in locked(RUNTIME)}
    assert {name: said for name, said in licences.items() if not given_on(said)} == {}


def test_copyleft_is_not_given_on() -> None:
    """The test above would let anything through."""
    assert not given_on("GPL-3.0-or-later")
    assert not given_on("MIT AND MPL-2.0")
    assert given_on("MIT OR GPL-2.0-only")


def test_both_locks_hold_the_same_versions() -> None:
    """The tests would try other code than what is shipped."""
    tried = locked(DEV)
    shipped = locked(RUNTIME)
    assert {name: tried[name].version for name in shipped} == {
        name: one.version for name, one in shipped.items()
    }


def test_each_locked_package_has_its_hashes() -> None:
    """A package that was swapped on its way would be installed."""
    for path in FOLDER.glob("*.txt"):
        named = re.findall(r"^[\w.-]+==\S+", path.read_text(), re.MULTILINE)
        hashed = [one for one in locked(path).values() if one.sha256s]
        assert named
        assert len(hashed) == len(named), path.name


def test_the_locks_name_no_index() -> None:
    """An address of one company's mirror would break every other machine, or tell of it."""
    files = [*FOLDER.iterdir(), ROOT / "pyproject.toml", *ROOT.glob("bench/**/requirements.txt")]
    for path in files:
        text = path.read_text()
        assert not re.search(
            r"://|^\s*-(?:i|f)\s|--(?:extra-)?index-url|@ file", text, re.MULTILINE
        ), path


def test_ci_runs_what_people_run_from_hashes() -> None:
    """CI would judge other code than what was tried here."""
    assert "--require-hashes" in (ROOT / "scripts/venv.sh").read_text()
    ran = re.findall(r"^make (\w+)", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert ran == ["check", "test"]
