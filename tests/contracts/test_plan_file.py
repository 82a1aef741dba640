"""A replay's plan on disk: it is what was found, or it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from service.core.replay import Terms
from service.errors import ConfigurationError, DispatcherError
from service.replay.plan_file import VERSION, Header, PlanWriter, read

HEADER = Header(
    VERSION, "2030-01-31T09:00:00.000Z", "asha@host", "letters", "requests", {}, Terms()
)
ROWS = [(0, 3, "0" * 32), (2, 5, "1" * 32), (0, 9, "ab" * 16)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A plan of three dead letters."""
    path = tmp_path / "some.plan"
    writer = PlanWriter(path, HEADER)
    for row in ROWS:
        writer.add(*row, ("rejected", "205", "AbCd1234"))
    writer.leave_out("why")
    assert not path.exists()
    writer.close()
    writer.discard()
    return path


def test_a_plan_is_read_back(path: Path) -> None:
    """What was agreed to is what is done."""
    plan = read(path)
    assert (plan.header, plan.partitions) == (HEADER, [0, 2])
    assert list(plan.of(0)) == [(3, "0" * 32), (9, "ab" * 16)]
    assert (plan.first(0), plan.end(0), plan.first(2), plan.end(2)) == (3, 10, 5, 6)
    assert (plan.found.planned, plan.found.left_out) == (3, {"why": 1})
    assert plan.found.by_kind == [("rejected", "205", "AbCd1234", 3)]
    assert plan.found.by_reason == {"rejected": 3}


def test_another_plan_has_another_id(path: Path, tmp_path: Path) -> None:
    """The id is what tells one replay's events from another's."""
    other = tmp_path / "other.plan"
    writer = PlanWriter(other, HEADER)
    writer.add(*ROWS[0], ("rejected", "205", "AbCd1234"))
    other_id, _ = writer.close()
    assert read(other).id == other_id != read(path).id


CHANGES: dict[str, Callable[[str], str]] = {
    "terms": lambda text: text.replace('"force":false', '"force":true'),
    "a place": lambda text: text.replace("[0,9", "[0,8"),
    "a row more": lambda text: text.replace("[0,9", '[0,8,"' + "0" * 32 + '"]\n[0,9'),
    "a row less": lambda text: "\n".join(
        line for line in text.split("\n") if not line.startswith("[2")
    ),
    "rows in disorder": lambda text: text.replace("[0,3", "[0,30"),
    "no digest": lambda text: text.replace("ab" * 16, "xy" * 16),
    "cut short": lambda text: text[: text.rindex("{")],
    "cut in a line": lambda text: text[:-10],
    "something behind": lambda text: f"{text}{{}}\n",
    "an id of its own": lambda text: text.replace('"sha256":"', '"sha256":"0'),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_plan_that_was_changed_is_refused(path: Path, change: Callable[[str], str]) -> None:
    """Somebody was asked for leave to send these events, and no others."""
    text = path.read_text()
    path.write_text(change(text))
    assert path.read_text() != text
    with pytest.raises(DispatcherError, match="make a new plan"):
        read(path)


@pytest.mark.parametrize("text", ["", "{}\n", "flow-id\n", "\x00"])
def test_what_is_no_plan_is_told(path: Path, text: str) -> None:
    """Any file may be named by mistake."""
    path.write_text(text)
    with pytest.raises(DispatcherError, match="is no plan of a replay"):
        read(path)


def test_a_plan_of_a_newer_release_is_refused(path: Path) -> None:
    """It may mean what this release does not know."""
    path.write_text(path.read_text().replace('"version":1', '"version":2'))
    with pytest.raises(DispatcherError, match="of version 2"):
        read(path)


def test_no_plan_is_written_over_or_left_half(path: Path, tmp_path: Path) -> None:
    """The plan that is there may be under way."""
    with pytest.raises(ConfigurationError, match="is there already"):
        PlanWriter(path, HEADER)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        PlanWriter(tmp_path / "none" / "some.plan", HEADER)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(tmp_path)
    PlanWriter(tmp_path / "half.plan", HEADER).discard()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
