"""deploy/prometheus/rules.yaml as it is, and with its times made short for the real chain.

Knows nothing of who evaluates it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/prometheus"
SECONDS = {"s": 1, "m": 60, "h": 3600}
SHORTEST_SECONDS = 6
"""Six scrapes of the chain: `increase` needs two, and a busy machine misses some."""


def alerts() -> Iterator[dict[str, Any]]:
    """Every rule that is an alert."""
    for group in yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"]:
        yield from (rule for rule in group["rules"] if "alert" in rule)


def hastened(times: int) -> str:
    """The same file, with every window and every `for` divided by `times`."""

    def shorter(found: re.Match[str]) -> str:
        before, number, unit, after = found.groups()
        seconds = max(SHORTEST_SECONDS, int(number) * SECONDS[unit] // times)
        return f"{before}{seconds}s{after}"

    return re.sub(r"(\[|for: )(\d+)([smh])(\]|\n)", shorter, (FOLDER / "rules.yaml").read_text())
