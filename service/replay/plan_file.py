"""A plan on disk: JSON Lines, bound by hashes to the exact records that it names.

Knows nothing of Kafka. The first line says what was asked, the last what was found and the sha256
of all lines before it, of which the replay's id is the beginning; between them stands one line a
dead letter: partition, offset and the digest of its record.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from service.core.replay import Terms
from service.errors import ConfigurationError, DispatcherError

VERSION = 1
ID_LENGTH = 16
DIGEST_BYTES = 16


class Header(msgspec.Struct, frozen=True, rename="kebab"):
    """What was asked, and of which topic."""

    version: int
    made_at: str
    """RFC 3339."""
    who: str
    dead_letters: str
    """The topic; a plan serves no other."""
    requests: str
    """Where its events go."""
    filter: dict[str, Any]
    terms: Terms


class Found(msgspec.Struct, rename="kebab"):
    """What a plan holds, by kind."""

    planned: int = 0
    by_reason: dict[str, int] = {}
    by_kind: list[tuple[str, str, str, int]] = []
    """Reason, code, flow-id, count: the most frequent first."""
    left_out: dict[str, int] = {}
    """By why."""


class _Footer(msgspec.Struct, rename="kebab"):
    found: Found
    sha256: str


_header = msgspec.json.Decoder(Header)
_footer = msgspec.json.Decoder(_Footer)
_row = msgspec.json.Decoder(tuple[int, int, str])
_encode = msgspec.json.Encoder().encode


class Plan:
    """A plan that was read: offsets and digests of each partition, in the order of the offsets."""

    def __init__(self, plan_id: str, header: Header, found: Found) -> None:
        self.id = plan_id
        self.header = header
        self.found = found
        self._offsets: dict[int, array[int]] = {}
        self._digests: dict[int, bytearray] = {}

    def add(self, partition: int, offset: int, digest: str) -> None:
        """One more; offsets of a partition must ascend.

        Raises:
            ValueError: they do not, or it is no digest.
        """
        offsets = self._offsets.setdefault(partition, array("q"))
        if offsets and offset <= offsets[-1]:
            raise ValueError("its offsets do not ascend")
        raw = bytes.fromhex(digest)
        if len(raw) != DIGEST_BYTES:
            raise ValueError("it holds something that is no digest")
        offsets.append(offset)
        self._digests.setdefault(partition, bytearray()).extend(raw)

    @property
    def partitions(self) -> list[int]:
        """Those with dead letters in the plan."""
        return sorted(self._offsets)

    def of(self, partition: int) -> Iterator[tuple[int, str]]:
        """Offset and digest of each dead letter of a partition."""
        digests = self._digests[partition]
        for number, offset in enumerate(self._offsets[partition]):
            at = number * DIGEST_BYTES
            yield offset, digests[at : at + DIGEST_BYTES].hex()

    def first(self, partition: int) -> int:
        """The first offset."""
        return self._offsets[partition][0]

    def end(self, partition: int) -> int:
        """The offset after the last one."""
        return self._offsets[partition][-1] + 1


class PlanWriter:
    """Writes a plan beside its name, and puts it there once it is whole."""

    def __init__(self, path: Path, header: Header) -> None:
        """Begin.

        Raises:
            ConfigurationError: the file cannot be written, or is there already.
        """
        self._path = path
        self._digest = hashlib.sha256()
        if path.exists():
            raise ConfigurationError(f"{path} is there already: remove it, or name another file")
        try:
            fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
        self._name = Path(name)
        self._file: IO[bytes] = os.fdopen(fd, "wb")
        self._kinds: Counter[tuple[str, str, str]] = Counter()
        self._left_out: Counter[str] = Counter()
        self._line(header)

    def _line(self, what: object) -> None:
        line = _encode(what) + b"\n"
        self._digest.update(line)
        self._file.write(line)

    def add(self, partition: int, offset: int, digest: str, kind: tuple[str, str, str]) -> None:
        """A dead letter to be sent; `kind` is reason, code and flow-id."""
        self._line((partition, offset, digest))
        self._kinds[kind] += 1

    def leave_out(self, why: str) -> None:
        """A dead letter that is not sent."""
        self._left_out[why] += 1

    def close(self) -> tuple[str, Found]:
        """Put the plan in its place; returns the replay's id and what was found."""
        by_reason: Counter[str] = Counter()
        for (reason, _, _), count in self._kinds.items():
            by_reason[reason] += count
        found = Found(
            self._kinds.total(),
            dict(by_reason.most_common()),
            [(*kind, count) for kind, count in self._kinds.most_common()],
            dict(self._left_out.most_common()),
        )
        sha256 = self._digest.hexdigest()
        self._line(_Footer(found, sha256))
        self._file.close()
        self._name.replace(self._path)
        return sha256[:ID_LENGTH], found

    def discard(self) -> None:
        """Leave nothing behind; after `close` it does nothing."""
        if not self._file.closed:
            self._file.close()
            self._name.unlink()


def read(path: Path) -> Plan:
    """A plan that may be executed.

    Raises:
        ConfigurationError: the file cannot be read.
        DispatcherError: it is no plan, or not as it was written.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def _read(path: Path, file: IO[bytes]) -> Plan:
    changed = DispatcherError(f"{path} was changed since it was made: make a new plan")
    digest = hashlib.sha256()
    line = file.readline()
    try:
        header = _header.decode(line)
    except msgspec.MsgspecError as error:
        raise DispatcherError(f"{path} is no plan of a replay: {error}") from error
    if header.version != VERSION:
        raise DispatcherError(
            f"{path} is a plan of version {header.version}, and this release knows {VERSION}: make "
            "a new plan"
        )
    plan = Plan("", header, Found())
    try:
        for following in file:
            digest.update(line)
            if following.startswith(b"{"):
                footer = _footer.decode(following)
                break
            plan.add(*_row.decode(following))
            line = following
        else:
            raise changed
    except (msgspec.MsgspecError, ValueError) as error:
        raise changed from error
    if footer.sha256 != digest.hexdigest() or file.read(1):
        raise changed
    plan.id, plan.found = footer.sha256[:ID_LENGTH], footer.found
    return plan
