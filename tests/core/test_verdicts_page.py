"""docs/protocol.md is what the code does, and can be found one's way in."""

from __future__ import annotations

import re
from pathlib import Path

from service.core.codes import HOLD_TEXTS, TABLE, Remedy
from service.core.protocol_words import ADVICE, SIGNS, UNNAMED, Meaning
from service.core.reference import meaning_of, protocol_markdown

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"


def test_the_page_is_what_the_table_says() -> None:
    """An operator who acts on a stale page makes it worse.

    To write it anew: python -m service.core.reference > docs/protocol.md
    """
    assert PAGE.read_text() == protocol_markdown()


def test_every_row_is_explained() -> None:
    """A code that is met at night and stands without a word leaves people guessing."""
    assert {meaning_of(rule) for rule in TABLE} == set(Meaning)
    assert set(ADVICE) == {rule.sign for rule in TABLE if rule.remedy is not Remedy.HOLD}
    assert {*SIGNS, *UNNAMED} <= {rule.sign for rule in TABLE}
    text = protocol_markdown()
    for name in HOLD_TEXTS.values():
        assert name[1:] in text


def test_links_lead_somewhere() -> None:
    """A reader follows them in a hurry."""
    text = protocol_markdown()
    headings = re.findall(r"^##? (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in headings}
    links = re.findall(r"\]\(([^)]*)\)", text.replace("\n", " "))
    assert {link[1:] for link in links if link.startswith("#")} <= anchors
    others = {link for link in links if not link.startswith("#")}
    assert all((PAGE.parent / other).is_file() for other in others)
