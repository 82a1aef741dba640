"""Reads the traceparent of events: the span of upstream's that each of them came from.

Knows nothing of any tracing library. The rule is W3C's Trace Context, section 3.2.2: whatever is
not of that form counts as absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from service.core.calls import Call, Header

HEADER = "traceparent"
FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
"""version, trace-id, parent-id, flags, and what only later versions may add"""


class Parent(NamedTuple):
    """A span of upstream's."""

    trace_id: int
    span_id: int
    sampled: bool
    """Whether upstream may have recorded it."""


def parse(value: bytes | None) -> Parent | None:
    """The span that a header's value names, or None if it names none."""
    found = FORM.fullmatch(value or b"")
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    parent = Parent(int(trace_id, 16), int(span_id, 16), sampled=bool(int(flags, 16) & 1))
    return parent if parent.trace_id and parent.span_id else None


def parents_of(calls: Iterable[Call]) -> tuple[Parent, ...]:
    """The spans that calls came from, each once, in the order of the calls."""
    found = (_parent(call.record.headers) for call in calls if call.record.headers)
    return tuple(dict.fromkeys(parent for parent in found if parent is not None))


def _parent(headers: Iterable[Header]) -> Parent | None:
    values = [value for name, value in headers if name == HEADER]
    return parse(values[0]) if len(values) == 1 else None
