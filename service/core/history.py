"""A request and the attempts before it: what an answer is judged by, beside itself.

Knows nothing of answers. `End` and `Attempt` are part of the checkpoint: numbers stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import msgspec


class End(IntEnum):
    """How an attempt ended that did not settle its batch. Part of the checkpoint."""

    UNANSWERED = 0
    """No answer in protocol: 201 to the same bytes will mean that this one arrived."""
    DOUBTFUL = 1
    """An ambiguous answer: 201 to the same bytes will mean nothing."""
    REFUSED = 2
    """A definite refusal."""


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """One attempt of a mint. Part of the checkpoint."""

    end: End
    code: int | None
    day: int
    """Ordinal of the day at +05:30 on which it was sent."""


class History(msgspec.Struct, frozen=True):
    """What came before the request that is answered."""

    attempts: tuple[Attempt, ...] = ()
    """Earlier attempts of this mint, oldest first; those that were not sent are none."""
    mint: int = 0
    """0 is the batch's first."""
    tailed: bool = False
    """Whether the body ends in a tail of white space."""
    shifted: bool = False
    """Whether this mint was made by moving a start-time."""
    checksum_confirms: bool = True
    """The setting of that name."""


class Request(msgspec.Struct, frozen=True):
    """The request that is answered. Times are seconds since the epoch."""

    identifiers: Sequence[bytes]
    """The exact JSON of each call's client-identifier, in the body's order."""
    sent_at: float
    answered_at: float
    first_start_day: int | None = None
    """Ordinal of the earliest day (+05:30) of a start-time in the body, filled ones included."""
    own_security_id: bool = False
    """Whether the flow has a security-id of its own."""
    previous_security_id: bool = False
    """Whether the body holds one that is no longer the flow's: see decision 020."""
