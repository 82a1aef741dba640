"""Which spans of upstream's a batch is linked to."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.calls import Call, Header
from service.core.traceparent import Parent, parents_of, parse
from tests.support.calls import call_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALUE = f"00-{TRACE}-{SPAN}-01".encode()
PARENT = Parent(int(TRACE, 16), int(SPAN, 16), sampled=True)


@dataclass(frozen=True)
class Plain:
    """A record with headers and nothing else of interest."""

    headers: tuple[Header, ...]
    topic: str = "calls.requests"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = field(default=b"")


def call_with(*headers: Header) -> Call:
    """A call whose event had these headers."""
    return call_of(Plain(headers), "Flow0000")


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (VALUE, True),
        (VALUE[:-2] + b"00", False),
        (VALUE[:-2] + b"02", False),
        (VALUE[:-2] + b"ff", True),
        (b"01" + VALUE[2:], True),
        (b"cc" + VALUE[2:] + b"-what-may-come", True),
    ],
)
def test_a_span_is_read_with_its_sampled_flag_alone(value: bytes, *, sampled: bool) -> None:
    """A later version's traceparent, or a flag of its, must not cost upstream its links."""
    assert parse(value) == PARENT._replace(sampled=sampled)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"00-aa-bb-01",
        VALUE.upper(),
        VALUE + b"\n",
        VALUE + b"-more",
        b" " + VALUE,
        b"ff" + VALUE[2:],
        b"01" + VALUE[2:] + b"more",
        VALUE.replace(TRACE.encode(), b"0" * 32),
        VALUE.replace(SPAN.encode(), b"0" * 16),
        VALUE.replace(b"-", b"_"),
        VALUE.decode().encode("utf-16"),
    ],
)
def test_what_is_malformed_counts_as_absent(value: bytes | None) -> None:
    """A link to a span that cannot be would be refused by the collector, with all of its batch."""
    assert parse(value) is None


@given(st.binary(max_size=80) | st.from_regex(rb"[0-9a-f-]{50,60}", fullmatch=True))
def test_no_header_stops_a_lane(value: bytes) -> None:
    """Headers are free for upstream: whatever they hold, its calls are placed."""
    parent = parse(value)
    assert parent is None or (parent.trace_id > 0 and parent.span_id > 0)


def test_a_span_is_linked_once_and_two_headers_count_as_none() -> None:
    """Calls of one request of upstream's are one link; of two headers neither is believed."""
    other = VALUE.replace(SPAN.encode(), b"00000000000000aa")
    calls = [
        call_with(("traceparent", VALUE), ("tracestate", b"x=1")),
        call_with(),
        call_with(("Traceparent", other)),
        call_with(("traceparent", VALUE)),
        call_with(("traceparent", VALUE), ("traceparent", other)),
        call_with(("a", b""), ("traceparent", other)),
    ]
    assert parents_of(calls) == (PARENT, PARENT._replace(span_id=0xAA))
