"""Histories and answers that the tests of verdicts share, and a verdict in words."""

from __future__ import annotations

import json
from typing import Any, get_args

from msgspec.structs import replace

from service.core.times import day_of
from service.core.verdicts import (
    Accepted,
    Attempt,
    Duplicate,
    End,
    Fates,
    History,
    Profile,
    Refused,
    Request,
    RetrySame,
    Shift,
    Unconfirmed,
    Verdict,
)

PROFILES: tuple[Profile, ...] = get_args(Profile)
NOON = 1_900_000_000.0 - 1_900_000_000.0 % 86_400 + 6.5 * 3600
"""Noon at +05:30."""
TODAY = day_of(NOON)
ASKED = Request([b'"a"', b"7"], NOON - 1, NOON)
REQUEST_ID = "8f0c-request"

FIRST = History()
TIMED_OUT = History((Attempt(End.UNANSWERED, None, TODAY),))
TIMED_OUT_YESTERDAY = History((Attempt(End.UNANSWERED, None, TODAY - 1),))
AFTER_500 = History((Attempt(End.DOUBTFUL, 500, TODAY),))
TIMED_OUT_THEN_500 = History((*TIMED_OUT.attempts, *AFTER_500.attempts))
TIMED_OUT_THEN_429 = History((*TIMED_OUT.attempts, Attempt(End.REFUSED, None, TODAY)))
REMINTED = History(mint=1, tailed=True)
TAILED = History(tailed=True)
SHIFTED = History(mint=2, tailed=True, shifted=True)
SHIFTED_TIMED_OUT = replace(SHIFTED, attempts=TIMED_OUT.attempts)
UNTRUSTED = replace(TIMED_OUT, checksum_confirms=False)


def body(code: Any, message: str = "Some Words", **more: Any) -> bytes:
    """An answer in the provider's form."""
    fields = {name.replace("_", "-"): value for name, value in more.items()}
    return json.dumps(
        {"api-response-code": code, "api-response-message": message, **fields}
    ).encode()


def told(verdict: Verdict) -> str:  # noqa: PLR0911 - one line a kind
    """A verdict as the words of the tables."""
    match verdict:
        case Accepted(confirmation=confirmation):
            return f"accepted by {confirmation}"
        case Fates(fates=fates):
            return " ".join(fate.kind for fate in fates)
        case Unconfirmed():
            return "unconfirmed"
        case Duplicate():
            return "duplicate"
        case Shift():
            return "shift"
        case Refused(remedy=remedy, hold=hold, settled=settled):
            words = ["new mint", remedy.value, f"the {hold.scope}" if hold else ""]
            return " ".join(filter(None, [*words, "and settled" if settled else ""]))
        case RetrySame(attempt=None, counts=False):
            return "same bytes, free"
        case RetrySame(attempt=attempt, hold=hold, counts=counts, retries_max=retries_max):
            assert attempt is not None
            words = ["same bytes", attempt.end.name.lower()]
            words += [f"hold the {hold.scope}"] if hold else []
            words += ["few"] if retries_max else []
            return ", ".join(words if counts else [*words, "uncounted"])


KNOWN_CODES = [200, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 212, 213]
KNOWN_CODES += [301, 302, 303, 304, 400, 401, 402, 500]
"""The 22 of provider-api.md."""
