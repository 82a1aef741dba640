"""The checkpoint: what a successor reads is what the owner wrote."""

from __future__ import annotations

import contextlib
import zlib
from base64 import b64decode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.cancels import Cancel
from service.core.checkpoint import (
    VERSION,
    Checkpoint,
    OpenBatch,
    Stage,
    decode,
    encode,
    pack_sources,
    unpack_sources,
)
from service.core.codec import CODEC_VERSION, Recipe
from service.core.history import Attempt, End
from service.core.holds import HoldState
from service.core.learned import Learned
from service.core.offsets import Ledger
from service.errors import CheckpointUnreadable

WRITTEN_BY_AN_EARLIER_RELEASE = """
3AAUAQECpW93bmVyB8tAIAAAAAAAAMtAPgAAAAAAAMKRl65jYWxscy5yZXF1ZXN0cwMKDBCRkgDEQXgB7dAxDQAwDMCwlD/p
9SuGSY6CwHVN7SJAgAABAgQIECBAgAABAgQIECBAgAABAgQIECBAgAABAgR+E3hf5QADkZIKDJHcABCwMDBmZjAwZmYwMGZm
MDBmZqhBYkNkMTIzNALEEHgBY2CAAB4ozQylAQDwABABw8QgAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQGZAaMx
LjDCpmRpZ2l0c6xBc2lhL0tvbGthdGHAwMDAkZMAwM4ACq5gAgEFBqM0MDAEzNKRkzzNAfQBkZenYWNjb3VudKdkZWZhdWx0
o3doeQHNAZECq2FzaGFAanVtcC0xkadkZWZhdWx0wwiRlaJjMahBYkNkMTIzNIEDD4GsY2FsbHMucGFya2VkBKp3cm9uZyBs
aXN0kZOnZGVmYXVsdMz6Cc0XcAoL
"""
"""`a_checkpoint()` as revision bbb6c15 wrote it. Another one is added with a release that appends
fields; this one goes only together with a new `VERSION`."""

sources = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 2**62)), min_size=1, max_size=50, unique=True
)


@given(sources)
def test_positions_come_back_in_order(positions: list[tuple[int, int]]) -> None:
    """A batch whose calls changed places would have other bytes, and end unconfirmed."""
    partitions, offsets = zip(*positions, strict=True)
    assert unpack_sources(pack_sources(partitions, offsets), len(positions)) == positions


@given(st.binary(max_size=60), st.integers(0, 5))
def test_damaged_positions_are_refused(packed: bytes, calls: int) -> None:
    """A batch must not be rebuilt from positions that nobody wrote."""
    with contextlib.suppress(CheckpointUnreadable):
        assert len(unpack_sources(packed, calls)) == calls


def a_checkpoint() -> Checkpoint:
    """One with something in every field."""
    ledger = Ledger("calls.requests", 3, 10)
    ledger.lose(10, 12)
    ledger.read([12, 13, 15])
    ledger.finish([13])
    batch = OpenBatch(
        "00ff00ff00ff00ff",
        "AbCd1234",
        2,
        pack_sources([0, 0], [12, 15]),
        1,
        tailed=True,
        sha256=b"\1" * 32,
        recipe=Recipe(
            CODEC_VERSION,
            "1.0",
            fills_start_time=False,
            number_format="digits",
            time_zone="Asia/Kolkata",
            correlation_key=None,
            dummy_number=None,
        ),
        attempts=(Attempt(End.UNANSWERED, None, 700_000),),
        attempts_before=2,
        spent=1,
        first_failed_ms=5,
        first_possible_ms=6,
        search="400",
        stage=Stage.CUTTING,
        refused_code=210,
    )
    return Checkpoint(
        VERSION,
        1,
        2,
        "owner",
        7,
        8.0,
        30.0,
        released=False,
        partitions=[ledger.state()],
        batches=[batch],
        tally=[(60, 500, 1)],
        holds=[HoldState("account", "default", "why", 1, 401, 2, "asha@jump-1")],
        shifting=["default"],
        migrating=True,
        control=8,
        cancels=[Cancel("c1", "AbCd1234", {3: 15}, {"calls.parked": 4}, "wrong list")],
        bounds=[Learned("default", 250, 9)],
        limit=6000,
        parked=10,
        overflow=11,
    )


def test_everything_comes_back() -> None:
    """Whatever a checkpoint forgets is lost at the next takeover."""
    assert decode(encode(a_checkpoint())) == a_checkpoint()


def test_what_an_earlier_release_wrote_is_read() -> None:
    """An upgrade would stop every lane, or call people again whose batches were under way."""
    assert plain(decode(b64decode(WRITTEN_BY_AN_EARLIER_RELEASE))) == plain(a_checkpoint())


def test_an_older_release_passes_over_what_it_does_not_know() -> None:
    """A rollback over an appended field would stop every lane, although nothing else changed."""
    newer = msgspec.msgpack.encode([*msgspec.msgpack.decode(encode(a_checkpoint())), "appended"])
    assert decode(newer) == a_checkpoint()


def plain(checkpoint: Checkpoint) -> Checkpoint:
    """Without zlib, whose bytes differ from one build of it to the next."""
    replace = msgspec.structs.replace
    partitions = [
        replace(each, open_maps=[(at, zlib.decompress(packed)) for at, packed in each.open_maps])
        for each in checkpoint.partitions
    ]
    batches = [replace(each, sources=zlib.decompress(each.sources)) for each in checkpoint.batches]
    return replace(checkpoint, partitions=partitions, batches=batches)


def test_it_holds_neither_bodies_nor_secrets() -> None:
    """The topic is read by more people than the security-id is for."""
    assert {field.name for field in msgspec.structs.fields(OpenBatch)}.isdisjoint(
        {"body", "security_id"}
    )


@pytest.mark.parametrize(
    "value", [None, b"", b"garbage", b"\x91\x01", msgspec.msgpack.encode({"version": 1})]
)
def test_what_is_no_checkpoint_is_refused(value: bytes | None) -> None:
    """A lane that took a damaged record for an empty state would place its calls again."""
    with pytest.raises(CheckpointUnreadable):
        decode(value)


def test_a_newer_version_is_refused_with_the_way_out() -> None:
    """After a rollback the operator must learn which release can read the state."""
    newer = msgspec.structs.replace(a_checkpoint(), version=VERSION + 1)
    with pytest.raises(CheckpointUnreadable, match=f"version {VERSION + 1}.*newer one"):
        decode(encode(newer))
