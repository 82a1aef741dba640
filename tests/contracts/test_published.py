"""The schemas that upstream teams fetch from the repository."""

from __future__ import annotations

from tests.support.published import FOLDER, expected


def test_the_published_documents_are_those_of_the_code() -> None:
    """Who validates by a stale schema publishes what is refused, or refuses a true outcome."""
    found = {file.name: file.read_text() for file in FOLDER.iterdir()}
    assert found == expected(), "run make schemas"
