"""How many events a lane keeps in memory, and how large they are.

Knows nothing of where they are kept: whoever keeps or ends some says so here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import attrgetter

from service.core.calls import Call, Record, bytes_of

_size = attrgetter("size")


class Memory:
    """What one lane holds."""

    def __init__(self) -> None:
        """Nothing is held."""
        self.events = 0
        self.bytes = 0
        """Of keys, values and headers."""

    def hold(self, calls: Collection[Call]) -> None:
        """Calls are kept from now on."""
        self.events += len(calls)
        self.bytes += sum(map(_size, calls))

    def let_go(self, calls: Collection[Call]) -> None:
        """They have their outcome, or were set aside."""
        self.events -= len(calls)
        self.bytes -= sum(map(_size, calls))

    def hold_found(self, record: Record) -> None:
        """The same as `hold`, of a record that a recovered batch is made of."""
        self.events += 1
        self.bytes += bytes_of([record])

    def let_go_found(self, records: Sequence[Record]) -> None:
        """Their batch cannot be rebuilt."""
        self.events -= len(records)
        self.bytes -= bytes_of(records)
