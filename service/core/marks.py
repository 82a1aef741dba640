"""One byte an offset: what the topics say of each request record.

Knows nothing of where the bytes lie: any buffer will do, so ten million records need ten megabytes
that the system may put on disk.
"""

from __future__ import annotations

from enum import StrEnum
from mmap import mmap

Marks = bytearray | mmap

RESULT = 0b0000_0001
"""Added for each result, up to three."""
DEAD_LETTER = 0b0000_0100
"""Added for each dead letter, up to three."""
BATCH = 0b0001_0000
"""The event is in a batch that its lane has open."""
PARKED = 0b0010_0000
OVERFLOW = 0b0100_0000
"""The event waits in a topic of those set aside."""
SEEN = 0b1000_0000
"""The record exists."""
SAID = 0b0000_1111
"""The bits of both counts."""


class Standing(StrEnum):
    """What a mark says of its record."""

    RESULT = "result"
    DEAD_LETTER = "dead-letter"
    DOUBLED = "doubled"
    BATCH = "batch"
    PARKED = "parked"
    OVERFLOW = "overflow"
    NONE = "none"
    """Nothing: the lane's ledger has to tell."""


def _one_more(unit: int) -> bytes:
    """For each mark the one with one more of `unit`, which never grows into the next bits."""
    mask = 3 * unit
    return bytes(mark if mark & mask == mask else mark + unit for mark in range(256))


ONE_MORE_RESULT = _one_more(RESULT)
ONE_MORE_DEAD_LETTER = _one_more(DEAD_LETTER)


def _standing(mark: int) -> Standing:
    results, dead_letters = mark & 3, (mark >> 2) & 3
    if results + dead_letters > 1:
        return Standing.DOUBLED
    if results:
        return Standing.RESULT
    if dead_letters:
        return Standing.DEAD_LETTER
    # What was sealed out of the parked topic still lies there.
    for bit, standing in (
        (BATCH, Standing.BATCH),
        (PARKED, Standing.PARKED),
        (OVERFLOW, Standing.OVERFLOW),
    ):
        if mark & bit:
            return standing
    return Standing.NONE


STANDINGS = tuple(_standing(mark) for mark in range(256))
"""By mark."""
