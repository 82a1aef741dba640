"""A plan on disk: one line for its head, one for each dead letter, bound together by a hash.

Knows nothing of how a plan is made. A plan that was changed by hand is refused as a whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from service.core.replay_words import VERSION, PlanHead, Row, decode_head, decode_row, encode
from service.errors import ConfigurationError

LINE_BYTES_MAX = 1_000_000


def write(path: Path, head: PlanHead, rows: Iterable[Row]) -> PlanHead:
    """Write a plan; returns its head with the hash. Nothing stands at `path` until it is whole.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w+b") as file:
        # The head has the hash of what follows: room for it is left, for it is always as long.
        digest = hashlib.sha256(encode(head))
        blank = encode(msgspec.structs.replace(head, sha256="0" * 64)) + b"\n"
        file.write(blank)
        for row in rows:
            line = encode(row) + b"\n"
            digest.update(line)
            file.write(line)
        sealed = msgspec.structs.replace(head, sha256=digest.hexdigest())
        file.seek(0)
        file.write(encode(sealed) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return sealed


class PlanFile:
    """An open plan, found whole; it is held open, so that nobody can put another in its place."""

    def __init__(self, path: Path) -> None:
        """Open and check.

        Raises:
            ConfigurationError: it is not there, is no plan, or is not as it was written.
        """
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror or error}") from error
        try:
            self.head = self._checked(path)
        except BaseException:
            self._file.close()
            raise

    def _checked(self, path: Path) -> PlanHead:
        line = self._file.readline(LINE_BYTES_MAX)
        try:
            head = decode_head(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path}: is no plan of `dead-letters replay`") from error
        if head.version != VERSION:
            raise ConfigurationError(
                f"{path}: is a plan of version {head.version}; this program has {VERSION}: "
                "make a new one"
            )
        as_written = line == encode(head) + b"\n"
        digest, count = hashlib.sha256(encode(msgspec.structs.replace(head, sha256=""))), 0
        self._first = self._file.tell()
        for row in self._file:
            digest.update(row)
            count += 1
        if not as_written or (digest.hexdigest(), count) != (head.sha256, head.planned):
            raise ConfigurationError(
                f"{path}: was changed after it was made; make a new plan instead"
            )
        return head

    def rows(self, done: int = 0) -> Iterator[Row]:
        """Its rows in order, but for the first `done`."""
        self._file.seek(self._first)
        for number, line in enumerate(self._file):
            if number >= done:
                yield decode_row(line)

    def close(self) -> None:
        """Let go of it."""
        self._file.close()
