"""What an answer of the provider means for each call of the batch it answers.

Knows nothing of batches under way, clocks or connections: `judge` is a pure, total function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

import msgspec

from service.core.answers import (
    Answer,
    Body,
    Entry,
    NoAnswer,
    NotSent,
    Response,
    read,
    readable,
    retry_after_seconds,
)
from service.core.codes import (
    HOLD_TEXTS,
    HOLD_TEXTS_BULK,
    RULES,
    Kind,
    Remedy,
    Rule,
    Scope,
    Settles,
    rule_of_code,
    rule_of_status,
)
from service.core.times import day_of

Profile = Literal["bulk", "realtime", "dialer"]


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


@dataclass(frozen=True, slots=True)
class History:
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


@dataclass(frozen=True, slots=True)
class Request:
    """The request that is answered. Times are seconds since the epoch."""

    identifiers: Sequence[bytes]
    """The exact JSON of each call's client-identifier, in the body's order."""
    sent_at: float
    answered_at: float
    first_start_day: int | None = None
    """Ordinal of the earliest day (+05:30) of a start-time in the body, filled ones included."""
    own_security_id: bool = False
    """Whether the flow has a security-id of its own."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What must stop, and what a person can do about it."""

    scope: Literal["flow", "account"]
    text: str


@dataclass(frozen=True, slots=True)
class Pause:
    """A 429: the budget rests, whatever else the answer means."""

    seconds: float | None
    """None: the provider names no time, back off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What every verdict tells. Nothing in it is secret, or as long as the provider likes."""

    code: int | None
    """The api-response-code, where there is a readable one."""
    message: str
    """One line for logs, headers and people."""
    scope: Scope | None = None
    """Of the trouble; CALL, BATCH and FLOW show that the account is all right."""
    pause: Pause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Said):
    """Every call was accepted."""

    request_id: str | None
    confirmation: Literal["response", "checksum"]
    uuids: tuple[str | None, ...] | None = None
    """The phonon-uuid of each call, in the body's order."""
    strangers: int = 0
    """Entries of the answer whose identifier was not sent."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one call."""

    kind: Literal["accepted", "rejected", "unconfirmed"]
    uuid: str | None = None
    code: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fates(Said):
    """The calls fared differently."""

    request_id: str | None
    fates: tuple[Fate, ...]
    """In the body's order."""
    strangers: int = 0
    """Entries of the answer whose identifier was not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfirmed(Said):
    """Nobody can know whether any call was accepted; nothing is sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate(Said):
    """The provider had received these very bytes before the batch's first attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift(Said):
    """White space does not count for this provider: re-mint by moving the first start-time."""

    attempt: Attempt
    """How this attempt ended, for the count of attempts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySame(Said):
    """The same bytes again, later; if that is no longer possible, `unconfirmed`."""

    attempt: Attempt | None
    """To be added to the history; None: not a byte left, open the account's circuit."""
    counts: bool = True
    """Whether it is taken from the batch's retry budget."""
    retries_max: int | None = None
    """Less than the retry budget, where repeating is of little use."""
    hold: Hold | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Said):
    """Nothing of the batch was accepted, by this attempt or an earlier one; re-mint."""

    attempt: Attempt
    remedy: Remedy
    settled: bool = False
    """Whether earlier ambiguous attempts of this mint are settled as refused by it."""
    hold: Hold | None = None


Verdict = Accepted | Fates | Unconfirmed | Duplicate | Shift | RetrySame | Refused


# judge(profile: Profile, history: History, request: Request, answer: Answer) -> Verdict
