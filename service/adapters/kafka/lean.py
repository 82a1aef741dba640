"""What aiokafka does for every single record, read or written, with less around it.

Knows nothing of who reads or writes. aiokafka has no seam in these two places, so this leans on its
inner classes: docs/decisions/021, and tests/contracts/test_lean.py, which fails if they change.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.producer.message_accumulator import BatchBuilder

from service.core.calls import HeadedRecord, KeptRecord
from service.ports import Write

NO_COMPRESSION = 0


class LeanRecords(PartitionRecords):  # type: ignore[misc]  # no types
    """Records of one fetch, as `KeptRecord`; what neighbours have alike is one object."""

    _timestamp = -1
    _key: bytes | None = None

    def __iter__(self) -> Iterator[KeptRecord]:
        # The generator itself: aiokafka would ask this object for each record, and this the other.
        return self._records_iterator  # type: ignore[no-any-return]  # no types

    def _consumer_record(self, tp: TopicPartition, record: Any) -> KeptRecord:
        timestamp = record.timestamp
        if timestamp == self._timestamp:
            timestamp = self._timestamp
        else:
            self._timestamp = timestamp
        key = record.key
        if key == self._key:
            key = self._key
        else:
            self._key = key
        headers = record.headers
        if headers:
            place = (tp.topic, tp.partition, record.offset)
            return HeadedRecord(*place, timestamp, key, record.value, tuple(headers))
        return KeptRecord(tp.topic, tp.partition, record.offset, timestamp, key, record.value)


def install() -> None:
    """Have every consumer of this process make its records so."""
    fetcher.PartitionRecords = LeanRecords


class LeanBatch(BatchBuilder):  # type: ignore[misc]  # likewise
    """A transactional batch to be filled at once and sent with `send_batch`."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(bytes_max, NO_COMPRESSION, is_transactional=True)

    def fill(self, first: Write, others: Iterator[Write], now_ms: int) -> Write | None:
        """Take in the first record and others until it is full; returns the one that did not fit.

        Args:
            first: it fits, whatever its size.
            others: what is left of it goes into the next batch.
            now_ms: milliseconds since the epoch, for all of them.
        """
        append, number, left = self._builder.append, 0, None
        for write in chain((first,), others):
            key, value, headers = write
            if append(number, now_ms, key, value, headers) is None:
                left = write
                break
            number += 1
        self._relative_offset = number
        self.close()
        return left
