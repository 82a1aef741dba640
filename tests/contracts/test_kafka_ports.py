"""The laws of the Kafka ports on a real broker."""

from __future__ import annotations

import asyncio
import time

import pytest

from service.adapters.kafka.admin import admin_client, describe_topics
from service.adapters.kafka.broker import KafkaBroker
from service.adapters.kafka.topics import ensure_topics
from service.errors import BrokerUnavailable, CommitUnknown, LaneFenced, RecordsGone
from service.ports import Outgoing
from service.settings import Settings
from tests.support.kafka import Names, delete_topics, produce, read_all
from tests.support.settings import settings_for


async def made(kafka: str, names: Names, lanes: int = 1) -> tuple[Settings, KafkaBroker]:
    """A broker port with topics of its own."""
    settings = settings_for(kafka, names)
    broker = KafkaBroker(settings, names("client"))
    await ensure_topics(settings, broker.options, lanes=lanes, create=True)
    return settings, broker


def outgoing(settings: Settings, checkpoint: bytes, results: int = 0) -> Outgoing:
    """A turn with so many results."""
    topics = settings.kafka.topics
    writes = {(topics.results, 0): [(b"k", b"%d" % n, [("h", b"v")]) for n in range(results)]}
    return Outgoing(writes if results else {}, {(topics.requests, 0): 7}, 0, checkpoint)


async def test_a_commit_is_visible_as_a_whole_with_the_brokers_time(
    kafka: str, names: Names
) -> None:
    """A turn that came through in part would lose outcomes or repeat them."""
    settings, broker = await made(kafka, names)
    writer = broker.writer(0)
    await writer.start()
    before_ms = time.time() * 1000
    stamp = await writer.commit(outgoing(settings, b"state-1", results=3000))
    assert before_ms - 2000 < stamp < time.time() * 1000 + 2000
    stored = await broker.last_checkpoint(0)
    assert stored is not None
    assert (stored.value, stored.timestamp_ms) == (b"state-1", stamp)
    written = await read_all(kafka, settings.kafka.topics.results)
    assert [record.value for record in written] == [b"%d" % n for n in range(3000)]
    assert dict(written[0].headers) == {"h": b"v"}
    survey = await broker.survey()
    assert survey.group_offsets == {(settings.kafka.topics.requests, 0): 7}
    await writer.stop()


async def test_the_last_checkpoint_is_found_behind_many_and_is_none_at_first(
    kafka: str, names: Names
) -> None:
    """A successor that read an older state, or none, would send calls again."""
    settings, broker = await made(kafka, names)
    assert await broker.last_checkpoint(0) is None
    writer = broker.writer(0)
    await writer.start()
    for turn in range(12):
        await writer.commit(outgoing(settings, b"state-%d" % turn))
    stored = await broker.last_checkpoint(0)
    assert stored is not None
    assert stored.value == b"state-11"
    await writer.stop()


async def test_a_successor_fences_the_earlier_owner(kafka: str, names: Names) -> None:
    """A zombie's commit that succeeded would be a second outcome for its calls."""
    settings, broker = await made(kafka, names)
    zombie, successor = broker.writer(0), broker.writer(0)
    await zombie.start()
    await zombie.commit(outgoing(settings, b"zombie"))
    await successor.start()
    with pytest.raises(LaneFenced):
        await zombie.commit(outgoing(settings, b"too late", results=1))
    with pytest.raises((LaneFenced, CommitUnknown)):
        await zombie.commit(outgoing(settings, b"still too late"))
    stored = await broker.last_checkpoint(0)
    assert stored is not None
    assert stored.value == b"zombie"
    assert await read_all(kafka, settings.kafka.topics.results) == []
    await zombie.stop()
    await successor.stop()


async def test_a_reader_goes_on_from_its_positions_and_sees_new_partitions(
    kafka: str, names: Names
) -> None:
    """Reading from anywhere else loses events or takes them twice."""
    settings, broker = await made(kafka, names)
    topic = settings.kafka.topics.requests
    await produce(kafka, topic, [b"a", b"b", b"c"], partition=0)
    reader = broker.reader()
    await reader.start({(topic, 0): 1})
    got = await reader.fetch([(topic, 0)], 10, 5.0)
    assert [record.value for record in got[topic, 0]] == [b"b", b"c"]
    assert reader.known_end((topic, 0)) == 3
    assert (await reader.bounds([(topic, 0)])) == {(topic, 0): (0, 3)}
    await produce(kafka, topic, [b"d"], partition=1)
    await reader.add({(topic, 1): 0})
    got = await reader.fetch([(topic, 0), (topic, 1)], 10, 5.0)
    assert [record.value for record in got[topic, 1]] == [b"d"]
    assert await reader.fetch([(topic, 0), (topic, 1)], 10, 0.1) == {}
    assert reader.partition_count(topic) == 6
    await reader.stop()


async def test_a_position_outside_its_log_is_reported(kafka: str, names: Names) -> None:
    """A silent reset would skip calls, or place them again."""
    settings, broker = await made(kafka, names)
    topic = settings.kafka.topics.requests
    await produce(kafka, topic, [b"a"], partition=0)
    reader = broker.reader()
    await reader.start({(topic, 0): 500})
    with pytest.raises(RecordsGone):
        await reader.fetch([(topic, 0)], 10, 5.0)
    reader.seek((topic, 0), 0)
    got = await reader.fetch([(topic, 0)], 10, 5.0)
    assert [record.value for record in got[topic, 0]] == [b"a"]
    await reader.stop()


async def test_a_member_is_elected_and_the_coordinator_knows_it(kafka: str, names: Names) -> None:
    """Two owners of one lane would each send its calls."""
    settings, broker = await made(kafka, names, lanes=2)
    election = broker.election()
    told: asyncio.Queue[frozenset[int]] = asyncio.Queue()
    await election.join(told.put_nowait)
    async with asyncio.timeout(20):
        assert await told.get() == {0, 1}
    assert await broker.owns(1)
    other = KafkaBroker(settings, names("other"))
    assert not await other.owns(1)
    await election.leave()
    assert not await broker.owns(1)


async def test_topics_that_break_a_promise_are_named(kafka: str, names: Names) -> None:
    """A compacted results topic would drop outcomes; a missing one would stop a turn."""
    settings, broker = await made(kafka, names)
    async with admin_client(broker.options) as client:
        topics = settings.kafka.topics.model_dump().values()
        described = await describe_topics(client, list(topics))
    assert set(described) == set(topics)
    assert described[settings.kafka.topics.checkpoints].settings["cleanup.policy"] == "compact"
    await delete_topics(kafka, [settings.kafka.topics.results])


async def test_a_broker_that_is_not_there_is_one_clear_error(names: Names) -> None:
    """An operator's error is one line, never a traceback."""
    broker = KafkaBroker(settings_for("127.0.0.1:1", names), names("client"))
    with pytest.raises(BrokerUnavailable, match="Kafka"):
        await broker.survey()
