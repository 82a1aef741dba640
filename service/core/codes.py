"""The provider's answers as one table: what each means, how far it reaches, what is to be done.

Knows nothing of how an answer is read (answers.py) or of a batch's history (verdicts.py).
Transcribed from provider-api.md, Codes; the order of the rows is free, the first column is unique.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What an answer says of the request that it answers."""

    ACCEPTED = "accepted"
    PARTIAL = "call by call"
    CHECKSUM = "by the batch's history"
    REFUSED = "definite"
    """Nothing of this request was accepted."""
    DOUBTFUL = "ambiguous"
    """It may have been accepted, and 201 to the same bytes would not tell."""
    UNANSWERED = "ambiguous, unanswered"
    """It may have been accepted, and 201 to the same bytes would tell."""
    UNSENT = "not sent"


class Scope(Enum):
    """How far a trouble reaches."""

    CALL = "call"
    BATCH = "batch"
    FLOW = "flow"
    ACCOUNT = "account"


class Remedy(Enum):
    """What is to be done; whatever is sent after a definite refusal is a new mint."""

    BISECT = "bisect"
    """Cut in two until the offending calls stand alone; those are rejected."""
    PROBE = "probe"
    """Split once; if both halves are refused alike, probe one call before going on."""
    HALVE = "halve"
    """Halve, and lower the account's batch bound; one call alone is `oversize`."""
    BACK_OFF = "back off"
    """The same calls later; after the retry budget hold the flow."""
    PAUSE = "pause"
    """The same calls after the pause; never counted."""
    HOLD = "hold"
    """Stop the flow or the account."""
    RESEAL = "reseal"
    """A date in the body went by on the way: its calls expire, the rest goes at once."""


class Settles(Enum):
    """Whether a refusal also tells the fate of earlier attempts of the same bytes."""

    ALWAYS = "always"
    """It depends on the bytes alone."""
    SAME_DAY = "within a day"
    """It depends on the bytes and the date."""
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table."""

    sign: str
    """The api-response-code, or what stands in its place."""
    name: str
    kind: Kind
    scope: Scope | None = None
    remedy: Remedy | None = None
    settles: Settles = Settles.NEVER
    dated: bool = False
    """Whether a start-time whose day has ended may be the cause."""
    retries_max: int | None = None
    """Resends, where less than the retry budget is of use."""


_FLOW = (Kind.REFUSED, Scope.FLOW, Remedy.HOLD)
_ACCOUNT = (Kind.REFUSED, Scope.ACCOUNT, Remedy.HOLD)
_STRANGE = (Kind.DOUBTFUL, Scope.ACCOUNT, Remedy.HOLD)
_FORMAT = (Kind.REFUSED, Scope.CALL, Remedy.PROBE, Settles.SAME_DAY)
_SIZE = (Kind.REFUSED, Scope.BATCH, Remedy.HALVE, Settles.ALWAYS)

TABLE: tuple[Rule, ...] = (
    Rule("200", "SUCCESS", Kind.ACCEPTED),
    Rule("202", "SUCCESS", Kind.ACCEPTED),
    Rule("202 refused", "INVALID_SECURITY_ID", *_ACCOUNT),
    Rule("209", "PARTIAL_SUCCESS", Kind.PARTIAL, Scope.CALL),
    Rule("201", "CHECKSUM_REPEATED", Kind.CHECKSUM, Scope.BATCH),
    Rule("205", "INVALID_CONTACT_NUMBER", Kind.REFUSED, Scope.CALL, Remedy.BISECT, Settles.ALWAYS),
    Rule("402", "PHONE_NOT_WHITELISTED", Kind.REFUSED, Scope.CALL, Remedy.BISECT),
    Rule("400", "INVALID_FORMAT", *_FORMAT, dated=True),
    Rule("210", "INVALID_MANDATORY_PARAMETERS", *_FORMAT, dated=True),
    Rule("303", "MAX_DATA_LIST_SIZE_EXCEEDED", *_SIZE),
    Rule("HTTP 413", "MAX_DATA_LIST_SIZE_EXCEEDED", *_SIZE),
    Rule("302", "EMPTY_CALL_LIST", *_FLOW),
    Rule("301", "INVALID_FLOW_ID", *_FLOW),
    Rule("304", "INVALID_FLOW_VERSION", *_FLOW),
    Rule("203", "INVALID_API_VERSION", *_FLOW),
    Rule("204", "INVALID_GATEWAY_ID", *_FLOW),
    Rule("207", "DID_NOT_MAPPED", *_FLOW),
    Rule("208", "NO_MASK_AVAILABLE", Kind.REFUSED, Scope.BATCH, Remedy.BACK_OFF),
    Rule("401", "IP_NOT_WHITELISTED", *_ACCOUNT),
    Rule("HTTP 403", "IP_NOT_WHITELISTED", *_ACCOUNT),
    Rule("211", "VALIDITY_EXPIRED", *_ACCOUNT, dated=True),
    Rule("212", "INSUFFICIENT_BALANCE", *_ACCOUNT),
    Rule("HTTP 429", "TOO_MANY_REQUESTS", Kind.REFUSED, Scope.ACCOUNT, Remedy.PAUSE),
    Rule("206", "FAILURE_FROM_GATEWAY", Kind.DOUBTFUL, retries_max=2),
    Rule("500", "FAILURE", Kind.DOUBTFUL),
    Rule("213", "NO_DATA_AVAILABLE", Kind.DOUBTFUL),
    Rule("other code", "UNKNOWN_CODE", *_STRANGE),
    Rule("HTTP 3xx", "REDIRECT", *_STRANGE),
    Rule("HTTP 404", "NOT_FOUND", *_STRANGE),
    Rule("HTTP 405", "METHOD_NOT_ALLOWED", *_STRANGE),
    Rule("HTTP 2xx", "UNREADABLE_BODY", Kind.UNANSWERED),
    Rule("HTTP 502", "BAD_GATEWAY", Kind.UNANSWERED),
    Rule("HTTP 503", "SERVICE_UNAVAILABLE", Kind.UNANSWERED),
    Rule("HTTP 504", "GATEWAY_TIMEOUT", Kind.UNANSWERED),
    Rule("other status", "UNEXPECTED_STATUS", Kind.DOUBTFUL),
    Rule("no answer", "NO_ANSWER", Kind.UNANSWERED),
    Rule("not sent", "NOT_SENT", Kind.UNSENT, Scope.ACCOUNT),
)

RULES = {rule.sign: rule for rule in TABLE}

_ENDPOINT = (
    "check that provider.profile and provider.url fit the kind of flow (Dialer or Multicast)"
)
_URL = "check provider.url, and that the provider is up at it"

HOLD_TEXTS = {
    "INVALID_SECURITY_ID": f"correct the security-id; if it is right, {_ENDPOINT}",
    "EMPTY_CALL_LIST": "no call was found in a request, a bug of this program: report it",
    "INVALID_FLOW_ID": f"correct the flow-id upstream; if it is right, {_ENDPOINT}",
    "INVALID_FLOW_VERSION": "put a version of the flow into production at the provider",
    "INVALID_API_VERSION": "correct provider.api_version, or that of the flow",
    "INVALID_GATEWAY_ID": "correct the flow's gateway at the provider",
    "DID_NOT_MAPPED": "map a DID to the flow at the provider",
    "IP_NOT_WHITELISTED": "have this machine's public address added to the provider's allow-list, "
    "by the account manager or in the portal",
    "VALIDITY_EXPIRED": "the account's validity is over: have the provider renew it",
    "INSUFFICIENT_BALANCE": "top up the account's balance at the provider",
    "UNKNOWN_CODE": "ask the provider what this code means; the calls may have been placed",
    "REDIRECT": f"redirects are not followed: {_URL}",
    "NOT_FOUND": _URL,
    "METHOD_NOT_ALLOWED": _URL,
}
"""By name: what the person who reads a hold can do about it."""

HOLD_TEXTS_BULK = {
    "IP_NOT_WHITELISTED": "have this machine's public address added to the allow-list by the "
    "provider's account manager; the portal's list has no effect on this endpoint",
}
"""Where the `bulk` profile differs."""


def rule_of_code(code: int) -> Rule:
    """The row of an api-response-code, whatever it is."""
    return RULES.get(str(code), RULES["other code"])


def rule_of_status(status: int) -> Rule:
    """The row of an HTTP status whose body holds no readable code, whatever it is."""
    rule = RULES.get(f"HTTP {status}") or RULES.get(f"HTTP {status // 100}xx")
    return rule or RULES["other status"]
