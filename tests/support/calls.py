"""Calls for tests that need no intake: an identifier in its fragment, and little else."""

from __future__ import annotations

from service.core.calls import Call, Record
from service.core.codec import IDENTIFIER_AT

_FRAGMENT = b'{"client-identifier":%b,"contact-numbers":%b,"keys":}'
FRAME_BYTES = len(_FRAGMENT % (b"", b""))
"""Of a fragment, whatever its identifier and numbers."""


def call_of(
    record: Record, flow_id: str, identifier: bytes = b'"c1"', numbers: bytes = b"[]"
) -> Call:
    """A call with this client-identifier, and `numbers` in its fragment as they are."""
    fragment = _FRAGMENT % (identifier, numbers)
    return Call(record, flow_id, fragment, IDENTIFIER_AT + len(identifier), 0)
