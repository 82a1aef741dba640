"""What the demo found: a table for people and a line of JSON for programs.

Knows nothing of how it was found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.table import Table

from service.demo.oracle import Verification
from service.twin.ledger import RequestSeen, Summary

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "invalid": "malformed on purpose",
        "rejected": "by the provider, one by one",
        "unconfirmed": "their fate is unknown",
        "duplicate": "the provider had them already",
    }
)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is told at the end."""

    verification: Verification
    summary: Summary
    requests: Sequence[RequestSeen]
    seconds: float

    @property
    def limit_held(self) -> bool:
        """Whether no sliding minute at the provider was above its limit, in calls or requests."""
        summary = self.summary
        above = summary.calls_per_sliding_minute_max > summary.calls_limit
        return not above and summary.windows_above_limit == 0

    @property
    def ok(self) -> bool:
        """Whether all promises were kept."""
        return self.verification.ok and self.limit_held

    def as_json(self) -> str:
        """One line; `calls_per_request_backlogged` is null if no flow ever had such a backlog."""
        found, summary = self.verification, self.summary
        backlogged = found.calls_per_request_backlogged
        values: dict[str, Any] = {
            "events": found.events,
            "accepted": found.accepted,
            "dead_letters": found.dead_letters,
            "lost": found.lost,
            "doubled": found.doubled,
            "wrong": found.wrong,
            "requests": summary.requests,
            "calls_per_request_max": summary.calls_per_request_max,
            "calls_per_request_backlogged": None if backlogged is None else round(backlogged, 1),
            "body_bytes_max": summary.body_bytes_max,
            "calls_per_sliding_minute_max": summary.calls_per_sliding_minute_max,
            "limit_per_minute": summary.calls_limit,
            "seconds": round(self.seconds, 1),
        }
        return json.dumps(values)

    def offenders(self) -> list[str]:
        """The first events that broke a promise, a line each."""
        found = self.verification
        kinds = (
            ("lost", found.lost_first),
            ("doubled", found.doubled_first),
            ("wrong", found.wrong_first),
        )
        return [f"{kind}: {line}" for kind, lines in kinds for line in lines]

    def show(self, console: Console) -> None:
        """Print the table."""
        table = Table(title="What became of the events", title_justify="left", show_header=False)
        table.add_column(justify="left")
        table.add_column(justify="right")
        table.add_column(justify="left")
        for row in self._rows():
            table.add_row(*row)
        console.print(table)

    def _rows(self) -> list[tuple[str, str, str]]:
        found, summary = self.verification, self.summary
        hit = sum(1 for request in self.requests if request.fault is not None)
        rows = [
            ("events published", f"{found.events:,}", ""),
            ("calls accepted", f"{found.accepted:,}", "by the provider, one result each"),
        ]
        rows += [
            (f"dead letters, {reason}", f"{count:,}", MEANINGS.get(reason, ""))
            for reason, count in found.dead_letters.items()
        ]
        rows += [
            ("lost", f"{found.lost:,}", "events without an outcome"),
            ("doubled", f"{found.doubled:,}", "calls placed twice, outcomes twice"),
            ("wrong", f"{found.wrong:,}", "outcomes that are not true"),
            ("requests", f"{summary.requests:,}", f"{hit:,} hit by the outage"),
            ("calls in the largest", f"{summary.calls_per_request_max:,}", self._mean()),
            ("bytes in the largest", f"{summary.body_bytes_max:,}", ""),
            (
                "calls in the busiest minute",
                f"{summary.calls_per_sliding_minute_max:,}",
                f"the provider's limit is {summary.calls_limit:,}",
            ),
            ("seconds", f"{self.seconds:.1f}", ""),
        ]
        return rows

    def _mean(self) -> str:
        mean = self.verification.calls_per_request_backlogged
        return "" if mean is None else f"{mean:.1f} on average under a backlog"
