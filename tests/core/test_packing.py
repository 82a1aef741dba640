"""Small pieces of a checkpoint, packed."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.packing import STORED_BYTES_MAX, pack

STREAM_BYTES = 11
"""What zlib's format adds to what is stored."""


@given(st.binary(max_size=2 * STORED_BYTES_MAX))
def test_every_zlib_reads_it(content: bytes) -> None:
    """An older release, or any tool, must be able to read a checkpoint."""
    assert zlib.decompress(pack(content)) == content
    assert zlib.decompress(pack(bytearray(content))) == content


@pytest.mark.parametrize("size", [0, 1, STORED_BYTES_MAX])
def test_what_is_small_is_stored(size: int) -> None:
    """To deflate some dozens of positions costs ten times as much."""
    assert len(pack(bytes(size))) == size + STREAM_BYTES


def test_what_is_large_is_deflated() -> None:
    """A checkpoint must fit its record."""
    assert len(pack(bytes(STORED_BYTES_MAX + 1))) < STORED_BYTES_MAX / 4
