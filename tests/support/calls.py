"""Calls for tests that need no intake: an identifier in its fragment, and little else."""

from __future__ import annotations

from service.core.calls import Call, Record
from service.core.codec import IDENTIFIER_AT, lay_out

FRAME_BYTES = len(lay_out(b"", None, b"", b""))
"""Of a fragment, whatever its identifier and numbers."""


def call_of(
    record: Record, flow_id: str, identifier: bytes = b'"c1"', numbers: bytes = b"[]"
) -> Call:
    """A call with this client-identifier, and `numbers` in its fragment as they are."""
    fragment = lay_out(identifier, None, numbers, b"")
    return Call(record, flow_id, fragment, IDENTIFIER_AT + len(identifier), 0)
