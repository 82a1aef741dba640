"""`python -m bench.draw`: the kept curves of growth as SVG, one picture a dimension.

Knows nothing of how they were measured, and measures nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.figures import KEPT
from bench.process import HOME

IMAGES = HOME / "docs/images"
PANELS: Mapping[str, str] = {
    "cpu_us_per_call": "CPU, µs a call",
    "peak_rss_mb": "peak memory, MB",
    "turn_ms": "turn, ms",
    "takeover_seconds": "takeover, s",
    "calls_per_second": "calls a second",
}
RATES = ("lanes", "open batches", "answer ms")
"""Curves that show calls a second too: with the others it is what CPU leaves."""
INCHES_WIDE, INCHES_HIGH = 3.0, 2.6
HEADROOM = 1.15


def main() -> None:
    """Draw all."""
    mpl.rcParams.update({"svg.hashsalt": "growth", "svg.fonttype": "path", "font.size": 9})
    for name, rows in json.loads((KEPT / "growth.json").read_text()).items():
        drawn = [
            field
            for field in PANELS
            if any(field in row for row in rows) and (field != "calls_per_second" or name in RATES)
        ]
        file = IMAGES / f"growth-{name.replace(' ', '-')}.svg"
        _picture(name, rows, drawn).savefig(file, metadata={"Date": None}, bbox_inches="tight")
        lines = (line.rstrip() for line in file.read_text().splitlines())
        file.write_text("".join(f"{line}\n" for line in lines))


def _picture(name: str, rows: Sequence[Mapping[str, float]], fields: Sequence[str]) -> Figure:
    figure = Figure(figsize=(INCHES_WIDE * len(fields), INCHES_HIGH), layout="constrained")
    figure.patch.set_facecolor("white")
    for axes, field in zip(figure.subplots(1, len(fields), squeeze=False)[0], fields, strict=True):
        found = [(row["value"], row[field]) for row in rows if field in row]
        axes.plot(*zip(*found, strict=True), marker="o", color="#1f6f8b")
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks([value for value, _ in found], [_short(value) for value, _ in found])
        axes.set_ylim(0, HEADROOM * max(figure for _, figure in found))
        axes.set_title(PANELS[field], fontsize=9)
        axes.set_xlabel(name)
        axes.grid(visible=True, axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _short(value: float) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


if __name__ == "__main__":
    main()
