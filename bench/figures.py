"""Figures that are kept in the repository: docs/performance.md is written anew from them.

Knows nothing of how they were measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bench.process import HOME

Figures = dict[str, dict[str, float]]
"""Row to column to number."""
KEPT = HOME / "bench/figures"


def keep(name: str, figures: Mapping[str, Any]) -> None:
    """Write the figures of one measurement in the place of those before."""
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{name}.json").write_text(f"{json.dumps(figures, indent=1)}\n")


def kept_before(name: str) -> dict[str, Any]:
    """The figures of one measurement as they are kept; nothing if there are none."""
    file = KEPT / f"{name}.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found
