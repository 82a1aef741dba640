"""What came of one world. Knows nothing of how it came."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Report:
    """One seed's findings."""

    seed: int
    violations: list[str]
    events: int
    exceptions: dict[str, int]
    unconfirmed: int
    digest: str
    """Of the whole trace: equal for equal runs."""
    trace: list[str]
    virtual_seconds: float
    steps: int
    outcomes: dict[str, int]
