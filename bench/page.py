"""`python -m bench.page`: writes the tables of docs/performance.md anew from the kept figures.

Knows nothing of measuring. A table stands between `<!-- figures: NAME -->` and `<!-- end -->`; the
words around them are people's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bench.figures import KEPT
from bench.process import HOME
from bench.stages import STAGES

PAGE = HOME / "docs/performance.md"
_BLOCK = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
COLUMNS: Mapping[str, tuple[str, str]] = {
    "value": ("", ",.0f"),
    "cpu_us_per_call": ("CPU, µs a call", ".1f"),
    "peak_rss_mb": ("peak memory, MB", ".0f"),
    "turn_ms": ("turn, ms", ".0f"),
    "takeover_seconds": ("takeover, s", ".1f"),
    "calls_per_second": ("calls a second", ",.0f"),
    "calls_per_request": ("calls a request", ".0f"),
    "events": ("events measured", ",.0f"),
    "missing": ("events without a result", ",.0f"),
    "repeats": ("results twice", ",.0f"),
}
ORDER = (
    *("cpu_us_per_call", "calls_per_second", "peak_rss_mb", "calls_per_request"),
    *("events", "missing", "repeats"),
)

Rows = Iterator[Sequence[str]]


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(written(PAGE.read_text()))


def written(page: str) -> str:
    """The page with each table for which there are figures made anew."""
    return _BLOCK.sub(_table, page)


def _table(block: re.Match[str]) -> str:
    name = block[2]
    make = MAKERS.get(name, _curve)
    file = KEPT / f"{name if name in MAKERS else 'growth'}.json"
    if not file.exists():
        return block[0]
    figures = json.loads(file.read_text())
    if name not in MAKERS:
        figures = {name: figures.get(name.replace("-", " "), [])}
        if not figures[name]:
            return block[0]
    rows = list(make(figures))
    head, *rest = (f"| {' | '.join(row)} |\n" for row in rows)
    rule = f"|{'|'.join([' --- ', *[' ---: '] * (len(rows[0]) - 1)])}|\n"
    return f"{block[1]}{head}{rule}{''.join(rest)}{block[3]}"


def _contenders(figures: Mapping[str, Any]) -> Rows:
    yield "", *(COLUMNS[field][0] for field in ORDER)
    for name, row in figures["contenders"].items():
        yield name, *(format(row[field], COLUMNS[field][1]) for field in ORDER)


def _stages(figures: Mapping[str, Any]) -> Rows:
    what = {name: text for name, text, _ in STAGES}
    yield "stage", "µs a call", "share", "bare operation, µs", "what it is"
    for name, row in figures["stages"].items():
        least = f"{row['least_us']:.2f}" if name in what else ""
        text = what.get(name, "what no stage claims: the loop itself, sockets")
        yield name, f"{row['us']:.2f}", f"{row['share']:.0%}", least, text
    total = [sum(row[field] for row in figures["stages"].values()) for field in ("us", "least_us")]
    events = figures["summary"]["events"]
    yield "all", f"{total[0]:.2f}", "", f"{total[1]:.2f}", f"over {events:,} events"


def _curve(figures: Mapping[str, Sequence[Mapping[str, float]]]) -> Rows:
    ((name, rows),) = figures.items()
    fields = [field for field in COLUMNS if any(field in row for row in rows)]
    yield name.replace("-", " "), *(COLUMNS[field][0] for field in fields[1:])
    for row in rows:
        yield tuple(format(row[f], COLUMNS[f][1]) if f in row else "" for f in fields)


MAKERS: Mapping[str, Callable[[Mapping[str, Any]], Rows]] = {
    "bench": _contenders,
    "peers": _contenders,
    "profile": _stages,
    "profile-many": _stages,
}

if __name__ == "__main__":
    main()
