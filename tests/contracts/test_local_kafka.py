"""The broker that tests and the demo stand on, and the short ways to its topics."""

from __future__ import annotations

from pathlib import Path

from service.demo.kafka import LocalKafka
from tests.support.kafka import Names, Topic, create_topics, produce, producer, read_all


async def test_records_come_back_in_order(kafka: str, names: Names) -> None:
    """Else every test on real Kafka would compare with something that was never written."""
    topic = names("round-trip")
    await create_topics(kafka, {topic: 2})
    await produce(kafka, topic, [b"a", b"b"], partition=1, key=b"k", headers=[("h", b"1")])
    await produce(kafka, topic, [b"c"], partition=0)
    records = await read_all(kafka, topic)
    assert [(one.partition, one.offset, one.value) for one in records] == [
        (0, 0, b"c"),
        (1, 0, b"a"),
        (1, 1, b"b"),
    ]
    assert (records[1].key, records[1].headers) == (b"k", (("h", b"1"),))


async def test_an_empty_topic_is_read_as_empty(kafka: str, names: Names) -> None:
    """Else a test that expects no dead letter would hang instead of passing."""
    topic = names("empty")
    await create_topics(kafka, {topic: Topic(settings={"cleanup.policy": "compact"})})
    assert await read_all(kafka, topic) == []


async def test_only_committed_records_count(kafka: str, names: Names) -> None:
    """Else an aborted turn's results would pass for results in every test of the promises."""
    topic = names("transactions")
    await create_topics(kafka, {topic: 1})
    async with producer(kafka, transactional_id=names("writer")) as writer:
        async with writer.transaction():
            await writer.send_and_wait(topic, b"committed")
        await writer.begin_transaction()
        await writer.send_and_wait(topic, b"aborted")
        await writer.abort_transaction()
        await writer.begin_transaction()
        await writer.send_and_wait(topic, b"open")
        assert [one.value for one in await read_all(kafka, topic)] == [b"committed"]
        every = await read_all(kafka, topic, committed_only=False)
        assert [one.value for one in every] == [b"committed", b"aborted", b"open"]
        await writer.abort_transaction()
    assert [one.value for one in await read_all(kafka, topic)] == [b"committed"]


async def test_a_killed_broker_comes_back_with_its_records(tmp_path: Path, names: Names) -> None:
    """Else chaos tests would lose records to the harness and blame the dispatcher."""
    topic = names("survivors")
    async with LocalKafka(tmp_path) as broker:
        address = broker.bootstrap
        await create_topics(address, {topic: 1})
        await produce(address, topic, [b"before"], acks="all")
        broker.kill()
        assert broker.pid is None
        await broker.start()
        assert broker.bootstrap == address
        assert [one.value for one in await read_all(address, topic)] == [b"before"]
    assert broker.pid is None
