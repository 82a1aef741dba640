"""What this program leans on inside aiokafka is still there, and gives what aiokafka gives."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord

from service.adapters.kafka.lean import LeanBatch, LeanRecords
from service.adapters.kafka.reader import KafkaReader
from service.core.calls import KeptRecord
from service.ports import Write

TP = TopicPartition("calls.requests", 3)
NOW_MS = 1_700_000_000_123
BYTES_MAX = 4_096
WRITES: list[Write] = [
    (b"key", b"value", [("name", b"content")]),
    (None, b"no key", []),
    (b"no value", None, []),
    (b"no value", b"of the same key", []),
    *((b"%d" % number, b"v" * 100, []) for number in range(100)),
]


def packed(builder: BatchBuilder) -> bytes:
    """The bytes that a broker gets."""
    builder._set_producer_state(1, 2, 3)  # noqa: SLF001 - as aiokafka's sender does
    return bytes(builder._build())  # noqa: SLF001 - likewise


def fetched(kind: type[PartitionRecords], batch: bytes) -> list[Any]:
    """The records of a batch, as a consumer hands them out."""
    check_crcs, read_committed = True, 1
    records = MemoryRecords(batch)
    return list(kind(TP, records, [], 0, None, None, check_crcs, read_committed))


def by_aiokafka(writes: list[Write]) -> bytes:
    """The batch that `create_batch` and `append` make."""
    builder = BatchBuilder(BYTES_MAX, 0, is_transactional=True)
    for key, value, headers in writes:
        builder.append(timestamp=NOW_MS, key=key, value=value, headers=headers)
    return packed(builder)


def test_batches_are_those_of_aiokafka() -> None:
    """Byte by byte, each as full; nothing is left out between two of them."""
    others, made, at = iter(WRITES), list[bytes](), 0
    write = next(others, None)
    while write is not None:
        batch = LeanBatch(BYTES_MAX)
        write = batch.fill(write, others, NOW_MS)
        assert batch.closed()
        count = batch.record_count()
        made.append(packed(batch))
        assert made[-1] == by_aiokafka(WRITES[at : at + count])
        # One more would not have fitted.
        assert made[-1] == by_aiokafka(WRITES[at : at + count + 1])
        at += count
    assert (at, len(made) > 1) == (len(WRITES), True)


def test_a_record_larger_than_a_batch_goes_alone() -> None:
    """The broker decides about it; it must neither be left out nor stop the others."""
    large: Write = (b"k", b"v" * 2 * BYTES_MAX, [])
    others = iter([WRITES[0]])
    batch = LeanBatch(BYTES_MAX)
    assert batch.fill(large, others, NOW_MS) == WRITES[0]
    assert batch.record_count() == 1


def test_records_are_those_of_aiokafka() -> None:
    """All that a lane looks at, of each record."""
    batch = by_aiokafka(WRITES[:20])
    theirs: list[ConsumerRecord[bytes, bytes]] = fetched(PartitionRecords, batch)
    ours: list[KeptRecord] = fetched(LeanRecords, batch)
    assert len(ours) == len(theirs) == len(WRITES[:20])
    for mine, one in zip(ours, theirs, strict=True):
        assert (mine.topic, mine.partition, mine.offset) == (one.topic, one.partition, one.offset)
        assert (mine.timestamp, mine.key, mine.value) == (one.timestamp, one.key, one.value)
        assert tuple(mine.headers) == tuple(one.headers)
    assert ours[0].headers
    assert ours[0].timestamp is ours[1].timestamp
    assert ours[2].key is ours[3].key


async def test_a_reader_has_its_consumer_make_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where aiokafka takes its class from; elsewhere the records would be its own again."""
    monkeypatch.setattr(fetcher, "PartitionRecords", PartitionRecords)
    reader = KafkaReader({"bootstrap_servers": "127.0.0.1:9"})
    assert fetcher.PartitionRecords is LeanRecords
    await reader.stop()
    makes_them = fetcher.Fetcher._proc_fetch_request  # noqa: SLF001 - what is looked at
    assert "PartitionRecords" in makes_them.__code__.co_names
