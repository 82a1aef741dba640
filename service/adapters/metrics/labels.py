"""The closed sets that label values come from.

Knows nothing of families. What is in no set becomes `other`, so a page never grows by what the
outside sends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

OTHER = "other"

DEAD_LETTER_REASONS = (
    "invalid",
    "oversize",
    "expired",
    "rejected",
    "exhausted",
    "cancelled",
    "duplicate",
    "unconfirmed",
)
"""`dispatch.reason` of the contract."""
OUTCOMES = ("accepted", *DEAD_LETTER_REASONS)

PROVIDER_CODES = (
    *("200", "201", "202", "203", "204", "205", "206", "207", "208", "209", "210", "211"),
    *("212", "213", "301", "302", "303", "304", "400", "401", "402", "500"),
)
"""Codes with a row of their own in provider-api.md."""
HTTP_CODES = ("http_403", "http_413", "http_429")
"""HTTP statuses that mean something of their own there; all others count by their class."""
HTTP_CLASSES = ("http_1xx", "http_2xx", "http_3xx", "http_4xx", "http_5xx")
CODES = (*PROVIDER_CODES, *HTTP_CODES, *HTTP_CLASSES, "no_answer", "not_sent")

RETRY_CAUSES = ("ambiguous", "not_sent", "refused", "held")
"""`RetryPlanned.cause`, as the pipeline names them."""

_HTTP_STATUS = re.compile(r"http_([1-5])[0-9]{2}", re.ASCII)


class Labels:
    """One label's closed set."""

    def __init__(self, known: Iterable[str]) -> None:
        self.known = tuple(known)
        self._set = frozenset(self.known)

    @property
    def all(self) -> tuple[str, ...]:
        """Every value that the label can take."""
        return (*self.known, OTHER)

    def of(self, value: str) -> str:
        """`value` if it is known, else `other`."""
        return value if value in self._set else OTHER


class CodeLabels(Labels):
    """What a request ended with: a provider's code, an HTTP status or class, or no answer."""

    def __init__(self) -> None:
        super().__init__(CODES)

    def of(self, value: str) -> str:
        """A known code as it is, an HTTP status by its class, else `other`."""
        label = super().of(value)
        if label is OTHER and (status := _HTTP_STATUS.fullmatch(value)):
            return f"http_{status[1]}xx"
        return label
