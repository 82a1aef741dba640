"""Where an audit keeps what does not fit into memory: files that are gone with the process.

Knows nothing of what is kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from mmap import mmap

from service.adapters.spill import database
from service.core.calls import Place
from service.core.marks import Marks
from service.core.origin import Origin


def marks(count: int) -> Marks:
    """`count` bytes, all zero, that the system may put on disk.

    Raises:
        OSError: the directory for temporary files (TMPDIR) cannot be written, or is full.
    """
    if not count:
        return bytearray()
    with tempfile.TemporaryFile() as file:
        file.truncate(count)
        return mmap(file.fileno(), count)


Sent = tuple[Origin, bool]
"""A replayed event: where it came from, and whether it has a result."""


class Replayed:
    """Every replayed request, for what can only be asked of all of them together."""

    def __init__(self) -> None:
        self._database = database()
        self._database.execute(
            "CREATE TABLE sent (replay TEXT, topic TEXT, partition INT, offset INT, accepted INT)"
        )

    def clear(self) -> None:
        """Forget all."""
        self._database.execute("DELETE FROM sent")

    def add(self, sent: Iterable[Sent]) -> None:
        """Keep some more."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT INTO sent VALUES (?, ?, ?, ?, ?)",
            (
                (origin.replay_id, origin.topic, origin.partition, origin.offset, accepted)
                for origin, accepted in sent
            ),
        )
        self._database.execute("COMMIT")

    def sent_again(self) -> Iterator[tuple[str, Place, int]]:
        """Origins that one replay sent more than once: its id, the origin, and how often."""
        for replay, topic, partition, offset, times in self._database.execute(
            "SELECT replay, topic, partition, offset, COUNT(*) FROM sent"
            " GROUP BY topic, partition, offset, replay HAVING COUNT(*) > 1"
        ):
            yield replay, (topic, partition, offset), times

    def accepted(self) -> Iterator[tuple[Place, int]]:
        """Origins of which a replay has a result, and how many results their replays have."""
        for topic, partition, offset, times in self._database.execute(
            "SELECT topic, partition, offset, SUM(accepted) FROM sent"
            " GROUP BY topic, partition, offset HAVING SUM(accepted) > 0"
        ):
            yield (topic, partition, offset), times

    def close(self) -> None:
        """Give the disk back."""
        self._database.close()
