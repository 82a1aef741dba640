"""The bench's own bookkeeping: stages of a profile, and the page with its figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.page import PAGE, written
from bench.stages import REST, STAGES, by_stage

SERVICE = Path(__file__).parents[2] / "service"
OURS = [
    place
    for _, _, places in STAGES
    for place in places
    if place.split("/")[0] in {"core", "pipeline", "adapters"}
]


@pytest.mark.parametrize("place", OURS)
def test_a_place_of_a_stage_exists(place: str) -> None:
    """A module or function that was renamed would count for another stage, unseen by its reader."""
    module, _, function = place.partition(":")
    path = SERVICE / module.removesuffix("/*")
    assert path.exists()
    name = function.rpartition(".")[2]
    assert not name or re.search(rf"def {name}\b", path.read_text())


def test_a_sample_belongs_to_its_innermost_stage() -> None:
    """What a library does would count for the loop, and the table would say nothing."""
    loop = "run (/lib/python3/asyncio/base_events.py)"
    sender = "Sender._fly (/x/service/pipeline/sender.py)"
    library = "dumps (/lib/python3/json/__init__.py)"
    client = "ClientSession._request (/venv/site-packages/aiohttp/client.py)"
    outcome = "results (/x/service/core/outcomes.py)"
    accepted = "LaneState.accepted (/x/service/pipeline/state.py)"
    shares = by_stage(
        [
            f"{loop};{sender};{client} 2",
            f"{loop};{sender};{outcome};{library} 3",
            f"{loop};{accepted} 4",
            f"{loop} 1",
        ]
    )
    assert {name: share for name, share in shares.items() if share} == {
        "POST": 0.2,
        "outcome": 0.7,
        REST: 0.1,
    }


def test_the_page_has_the_kept_figures() -> None:
    """A reader of docs/performance.md would see figures that nobody measured."""
    page = PAGE.read_text()
    assert written(page) == page
