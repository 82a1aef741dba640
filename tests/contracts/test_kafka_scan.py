"""The laws of a scan on a real broker."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from service.adapters.kafka.scan import KafkaScan
from service.errors import BrokerUnavailable, TopicsError
from tests.support.kafka import Names, admin_client, create_topics, produce, producer

Progress = list[tuple[str, int, int]]


def scan_of(kafka: str, told: Progress | None = None) -> KafkaScan:
    """A scan that tells its progress into a list."""
    progress = [] if told is None else told
    return KafkaScan({"bootstrap_servers": kafka}, lambda *each: progress.append(each))


async def offsets(scan: KafkaScan, topic: str, *spans: tuple[int, int]) -> list[list[int]]:
    """What is read of each partition."""
    found: list[list[int]] = [[] for _ in spans]
    wanted = {(topic, partition): span for partition, span in enumerate(spans)}
    async for (_, partition), records in scan.read("some", wanted):
        found[partition] += [record.offset for record in records]
    return found


async def test_exactly_the_stretches_are_read(kafka: str, names: Names) -> None:
    """A record too many or too few is a false alarm, or a loss that nobody sees."""
    topic, told = names("requests"), Progress()
    await create_topics(kafka, {topic: 3})
    for partition in range(3):
        await produce(kafka, topic, [b"%d" % n for n in range(100)], partition=partition)
    async with scan_of(kafka, told) as scan:
        found = await offsets(scan, topic, (0, 100), (30, 40), (7, 7))
        assert found == [[*range(100)], [*range(30, 40)], []]
        assert told[-1] == ("some", 110, 110)
        assert await offsets(scan, topic, (0, 0)) == [[]]
        tps = [(topic, 0), (topic, 1)]
        assert await scan.starts(tps) == {(topic, 0): 0, (topic, 1): 0}
        assert await scan.ends(tps) == await scan.committed_ends(tps)
        first = await scan.first((topic, 1), (42, 100))
        assert first is not None
        assert first.offset == 42


async def test_what_was_deleted_meanwhile_is_passed_over_and_noted(
    kafka: str, names: Names
) -> None:
    """Retention does not wait for a reader; the audit must know that something went."""
    topic = names("requests")
    await create_topics(kafka, {topic: 2})
    for partition in range(2):
        await produce(kafka, topic, [b"%d" % n for n in range(10)], partition=partition)
    async with admin_client(kafka) as admin:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(4)})
    async with scan_of(kafka) as scan:
        assert await offsets(scan, topic, (0, 8), (0, 10)) == [[4, 5, 6, 7], [*range(10)]]
        assert scan.moved == {(topic, 0)}


async def test_an_open_transaction_is_waited_for_and_an_aborted_one_is_not_read(
    kafka: str, names: Names
) -> None:
    """What was decided before the question must be seen, and what was taken back must not."""
    topic = names("results")
    await create_topics(kafka, {topic: 1})
    async with producer(kafka, transactional_id=names("writer")) as client, scan_of(kafka) as scan:
        await client.begin_transaction()
        await client.send_and_wait(topic, b"kept", partition=0)
        tp = (topic, 0)
        assert (await scan.committed_ends([tp]), await scan.ends([tp])) == ({tp: 0}, {tp: 1})
        reading = asyncio.create_task(offsets(scan, topic, (0, 1)))
        done, _ = await asyncio.wait([reading], timeout=1.5)
        assert not done
        await client.commit_transaction()
        assert await reading == [[0]]
        await client.begin_transaction()
        await client.send_and_wait(topic, b"taken back", partition=0)
        await client.abort_transaction()
        end = (await scan.ends([tp]))[tp]
        assert await offsets(scan, topic, (0, end)) == [[0]]
        assert await scan.first(tp, (1, end)) is None


async def test_a_time_is_found(kafka: str, names: Names) -> None:
    """`--since` that begins too late leaves out what somebody asked for."""
    topic = names("requests")
    await create_topics(kafka, {topic: 2})
    async with producer(kafka) as client:
        for stamp in (1_000, 2_000, 3_000):
            await client.send_and_wait(topic, b"x", partition=0, timestamp_ms=stamp)
    async with scan_of(kafka) as scan:
        tps = [(topic, 0), (topic, 1)]
        assert await scan.since(tps, 2_000) == {(topic, 0): 1, (topic, 1): None}
        assert await scan.since(tps, 3_001) == {(topic, 0): None, (topic, 1): None}


async def test_troubles_are_said_with_the_way_out(kafka: str, names: Names) -> None:
    """A misspelt topic must not read like an empty one."""
    async with scan_of(kafka) as scan:
        with pytest.raises(TopicsError, match="topics are missing"):
            await scan.topics([names("none")])
        assert await scan.starts([]) == {}
    with pytest.raises(BrokerUnavailable, match="cannot be reached"):
        async with scan_of("127.0.0.1:1"):
            pass
