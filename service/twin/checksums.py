"""The provider's memory of checksums: which requests it would answer with 201.

Knows nothing of when a checksum is recorded (behaviour.py decides) nor of any clock.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from service.twin.options import Options

FORGOTTEN_MAX = 100_000
"""Forgotten checksums kept to name the case; they change no answer."""


@dataclass(slots=True)
class Remembered:
    """One checksum: when it was recorded, and whether its calls were accepted."""

    at: float
    digest: bytes
    """Of the body that brought it; another body with this checksum differs in white space."""
    placed: bool = False


class Checksums:
    """Checksums in the order of their recording; those older than the memory are forgotten."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._known: dict[bytes, Remembered] = {}
        self._forgotten_placed: dict[bytes, None] = {}

    def of(self, body: bytes, digest: bytes) -> bytes:
        """The checksum of a body; `digest` is the sha256 of its bytes."""
        options = self.options
        if options.checksum_over == "bytes":
            if options.checksum_scope == "flow":
                return digest
            return hashlib.sha256(body[max(body.find(b'"calls"'), 0) :]).digest()
        try:
            values = json.loads(body)
        except (ValueError, RecursionError):
            return digest
        if options.checksum_scope == "account" and isinstance(values, dict):
            values.pop("flow-id", None)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).digest()

    def find(self, checksum: bytes, now: float) -> Remembered | None:
        """What is remembered of a checksum at `now` (seconds)."""
        oldest = now - self.options.checksum_memory_seconds
        while self._known:
            first = next(iter(self._known))
            if self._known[first].at > oldest:
                break
            if self._known.pop(first).placed:
                self._forget(first)
        return self._known.get(checksum)

    def _forget(self, checksum: bytes) -> None:
        self._forgotten_placed[checksum] = None
        if len(self._forgotten_placed) > FORGOTTEN_MAX:
            del self._forgotten_placed[next(iter(self._forgotten_placed))]

    def forgotten(self, checksum: bytes) -> bool:
        """True if the calls of this checksum were accepted, and it was forgotten since."""
        return checksum in self._forgotten_placed

    def record(self, checksum: bytes, digest: bytes, now: float) -> None:
        """Remembers a checksum from `now` on; one that is known keeps its age."""
        self._known.setdefault(checksum, Remembered(now, digest))

    def placed(self, checksum: bytes) -> None:
        """Notes that the calls of a recorded checksum were accepted."""
        if checksum in self._known:
            self._known[checksum].placed = True
