"""The verdicts there are, and what each one obliges to.

Knows nothing of how a verdict is reached (verdicts.py) or applied.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from service.core.codes import Remedy, Scope
from service.core.history import Attempt


class Hold(msgspec.Struct, frozen=True):
    """What must stop, and what a person can do about it."""

    scope: Literal["flow", "account"]
    text: str


class Pause(msgspec.Struct, frozen=True):
    """A 429: the budget rests, whatever else the answer means."""

    seconds: float | None
    """None: the provider names no time, back off."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What every verdict tells. Nothing in it is secret, or as long as the provider likes."""

    code: int | None
    """The api-response-code, where there is a readable one."""
    message: str
    """One line for logs, headers and people."""
    scope: Scope | None = None
    """Of the trouble; CALL, BATCH and FLOW show that the account is all right."""
    pause: Pause | None = None


class Accepted(Said, frozen=True, kw_only=True):
    """Every call was accepted."""

    request_id: str | None
    confirmation: Literal["response", "checksum"]
    uuids: tuple[str | None, ...] | None = None
    """The phonon-uuid of each call, in the body's order."""
    strangers: int = 0
    """Entries of the answer whose identifier was not sent."""


class Fate(msgspec.Struct, frozen=True, gc=False):
    """What became of one call."""

    kind: Literal["accepted", "rejected", "unconfirmed"]
    uuid: str | None = None
    code: int | None = None
    message: str = ""


class Fates(Said, frozen=True, kw_only=True):
    """The calls fared differently."""

    request_id: str | None
    fates: tuple[Fate, ...]
    """In the body's order."""
    strangers: int = 0
    """Entries of the answer whose identifier was not sent."""


class Unconfirmed(Said, frozen=True, kw_only=True):
    """Nobody can know whether any call was accepted; nothing is sent again."""


class Duplicate(Said, frozen=True, kw_only=True):
    """The provider had received these very bytes before the batch's first attempt."""


class Shift(Said, frozen=True, kw_only=True):
    """White space does not count for this provider: re-mint by moving the first start-time."""

    attempt: Attempt
    """How this attempt ended, for the count of attempts."""


class RetrySame(Said, frozen=True, kw_only=True):
    """The same bytes again, later; if that is no longer possible, `unconfirmed`."""

    attempt: Attempt | None
    """To be added to the history; None: not a byte left, open the account's circuit."""
    counts: bool = True
    """Whether it is taken from the batch's retry budget."""
    retries_max: int | None = None
    """Less than the retry budget, where repeating is of little use."""
    hold: Hold | None = None
    hold_at_end: Hold | None = None
    """What stops when the retry budget is spent, where that is no reason to give the calls up."""


class Refused(Said, frozen=True, kw_only=True):
    """Nothing of the batch was accepted, by this attempt or an earlier one; re-mint."""

    attempt: Attempt
    remedy: Remedy
    settled: bool = False
    """Whether earlier ambiguous attempts of this mint are settled as refused by it."""
    hold: Hold | None = None


Verdict = Accepted | Fates | Unconfirmed | Duplicate | Shift | RetrySame | Refused
