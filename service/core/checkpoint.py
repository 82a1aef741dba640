"""A lane's whole state as one record, so that a successor can go on from it alone.

Knows nothing of how it is written or read. Bodies and security-ids never enter it: a batch is kept
as the exact positions of its source records and the recipe of its bytes (design.md, The turn).
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import chain
from operator import sub
from sys import byteorder

import msgspec

from service.core.cancels import Cancel
from service.core.codec import Recipe
from service.core.holds import HoldState
from service.core.learned import Learned
from service.core.offsets import PartitionState
from service.core.packing import pack
from service.core.verdicts import Attempt
from service.errors import CheckpointUnreadable

VERSION = 1

Source = tuple[int, int]
"""(index of the partition in the checkpoint's list, offset)"""


class Stage(IntEnum):
    """Where a batch stands in the search for the calls that a 400 or 210 means."""

    NONE = 0
    HALF = 1
    """One of the two halves that are sent first."""
    REFUSED = 2
    """A half that was refused too: it waits for the other's answer, or the probe's."""
    PROBE = 3
    """The single call that shows whether the flow takes any."""
    CUTTING = 4
    """The flow takes calls, so some of these are bad: cut until each stands alone."""
    SUSPECT = 5
    """The single call for which its flow is held: sent once more if another call is accepted."""


class OpenBatch(msgspec.Struct, frozen=True, array_like=True):
    """A sealed batch without an outcome."""

    id: str
    flow_id: str
    calls: int
    sources: bytes
    """The exact positions in the body's order: see `pack_sources`."""
    mint: int
    """How often the body was made anew; 0 is the first."""
    tailed: bool
    sha256: bytes
    recipe: Recipe
    attempts: tuple[Attempt, ...] = ()
    """Ends of the attempts of this mint, oldest first."""
    attempts_before: int = 0
    """Attempts of earlier mints and of the batches it was cut from."""
    spent: int = 0
    """Attempts that count against the batch's budget."""
    first_failed_ms: int | None = None
    first_possible_ms: int | None = None
    """Broker's time of the turn that released this mint; None: the time of this very record."""
    search: str | None = None
    """The family of a batch that was refused without a word which call is wrong (searching.py)."""
    stage: Stage = Stage.NONE
    """How far the search has come with this batch."""
    refused_code: int | None = None
    """With what the mint before this one was refused."""


class Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """Everything a successor needs."""

    version: int
    lane: int
    lanes: int
    owner: str
    """Random name of the process run that wrote it."""
    turn: int
    lease_seconds: float
    """How long after this turn's begin its owner, or an earlier one, may still send."""
    timeout_seconds: float
    """How long a POST of its owner, or an earlier one, may be under way."""
    released: bool
    """Written last by a drained owner, with no POST under way."""
    partitions: list[PartitionState]
    batches: list[OpenBatch]
    tally: list[tuple[int, int, int]]
    """(seconds until it leaves the window, calls, requests) of the attempts that ended."""
    holds: list[HoldState]
    shifting: list[str] = []
    """Accounts of a provider whose checksum passes over white space: a tail is not enough."""
    migrating: bool = False
    control: int = 0
    """The next offset of the control topic: all commands before it are in this state."""
    cancels: list[Cancel] = []
    bounds: list[Learned] = []
    limit: int | None = None
    """Calls a minute of all lanes together, if an operator changed it."""
    parked: int = 0
    """Calls that wait in the lane's partition of the parked topic."""
    overflow: int = 0
    """Likewise of the overflow topic."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Checkpoint)


def encode(checkpoint: Checkpoint) -> bytes:
    """The record's value."""
    return _encoder.encode(checkpoint)


def decode(value: bytes | None) -> Checkpoint:
    """The state a record's value holds.

    Raises:
        CheckpointUnreadable: it is not a checkpoint, or one of a newer version.
    """
    try:
        version = msgspec.msgpack.decode(value or b"")[0]
    except (msgspec.MsgspecError, TypeError, IndexError, KeyError) as error:
        raise CheckpointUnreadable("a record of the checkpoints topic is no checkpoint") from error
    if version != VERSION:
        raise CheckpointUnreadable(
            f"a checkpoint of version {version!r} was found, this program reads {VERSION}: "
            "run the release that wrote it, or a newer one"
        )
    try:
        return _decoder.decode(value or b"")
    except msgspec.MsgspecError as error:
        raise CheckpointUnreadable(f"a checkpoint is damaged: {error}") from error


def pack_sources(partitions: Iterable[int], offsets: Sequence[int]) -> bytes:
    """Positions in order, as differences to the one before: runs shrink to almost nothing.

    Args:
        partitions: of each position, its index in the checkpoint's list.
        offsets: of each position.
    """
    indices = array("i", partitions)
    deltas = array("q", map(sub, offsets, chain((0,), offsets)))
    if byteorder == "big":
        indices.byteswap()
        deltas.byteswap()
    return pack(indices.tobytes() + deltas.tobytes())


def unpack_sources(packed: bytes, calls: int) -> list[Source]:
    """The inverse of `pack_sources`.

    Raises:
        CheckpointUnreadable: the bytes do not hold `calls` positions.
    """
    partitions, deltas = array("i"), array("q")
    try:
        raw = zlib.decompress(packed)
        cut = calls * partitions.itemsize
        partitions.frombytes(raw[:cut])
        deltas.frombytes(raw[cut:])
    except (zlib.error, ValueError) as error:
        raise CheckpointUnreadable(f"a batch's positions are damaged: {error}") from error
    if len(partitions) != calls or len(deltas) != calls:
        raise CheckpointUnreadable("a batch's positions do not fit its number of calls")
    if byteorder == "big":
        partitions.byteswap()
        deltas.byteswap()
    offset, sources = 0, []
    for partition, delta in zip(partitions, deltas, strict=True):
        offset += delta
        sources.append((partition, offset))
    return sources
