"""One suite of laws for the Kafka ports, run on the simulator's ports and on a real broker.

What holds for only one of the two is either a bug of the simulator, which would then prove
nothing, or of the adapter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.adapters.kafka.topics import PARTITIONS_DEFAULT
from service.core.calls import Record
from service.errors import CommitUnknown, LaneFenced, RecordsGone
from service.ports import Broker, Outgoing, Reader, TopicPartition
from tests.contracts.port_benches import LANES, Bench, KafkaBench, MemoryBench
from tests.simulation.loop import VirtualLoop
from tests.support.kafka import Names

WAIT_SECONDS = 5.0
ELECTION_SECONDS = 30.0
ENDS_SECONDS = 30.0
MANY = 3000
"""Results of 300 bytes in one turn: more than Kafka takes in one produced batch."""


def outgoing(bench: Bench, checkpoint: bytes, *values: bytes) -> Outgoing:
    """A turn of lane 0."""
    topics = bench.settings.kafka.topics
    writes = {(topics.results, 0): [(b"k", value, [("h", b"v")]) for value in values]}
    return Outgoing(writes if values else {}, {(topics.requests, 0): 7}, 0, checkpoint)


async def read(
    reader: Reader, tp: TopicPartition, number: int, records_max: int = 100
) -> list[Record]:
    """So many records, however they come."""
    found: list[Record] = []
    async with asyncio.timeout(4 * WAIT_SECONDS):
        while len(found) < number:
            got = await reader.fetch([tp], records_max, WAIT_SECONDS)
            found += got.get(tp, ())
    return found


async def stored_soon(broker: Broker, value: bytes) -> int:
    """The stamp of the last checkpoint once it has this value.

    A commit is answered before its markers stand everywhere, so a moment may pass until a reader
    sees it (KIP-98).
    """
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            stored = await broker.last_checkpoint(0)
            if stored is not None and stored.value == value:
                return stored.timestamp_ms
            await asyncio.sleep(0.05)


async def a_turn_is_seen_as_a_whole(bench: Bench) -> None:
    """A turn that came through in part would lose outcomes or repeat them."""
    broker = bench.process("a")
    writer = broker.writer(0)
    await writer.start()
    values = [b"%0300d" % number for number in range(MANY)]
    stamp = await writer.commit(outgoing(bench, b"state", *values))
    assert await stored_soon(broker, b"state") == stamp
    assert await bench.results() == values
    survey = await broker.survey()
    assert survey.group_offsets == {(bench.settings.kafka.topics.requests, 0): 7}
    assert survey.partitions[bench.settings.kafka.topics.checkpoints] == LANES
    await writer.stop()


async def the_last_checkpoint_is_of_the_lane_alone(bench: Bench) -> None:
    """A successor that reads an older state, or another lane's, sends calls again."""
    broker = bench.process("a")
    assert await broker.last_checkpoint(0) is None
    writer = broker.writer(0)
    await writer.start()
    stamps = [await writer.commit(outgoing(bench, b"state-%d" % turn)) for turn in range(7)]
    assert await stored_soon(broker, b"state-6") == stamps[-1]
    assert stamps == sorted(stamps)
    assert await broker.last_checkpoint(1) is None
    await writer.stop()


async def a_checkpoint_is_found_behind_takeovers_that_came_to_nothing(bench: Bench) -> None:
    """A replica that dies in every takeover must not make the lane look like a new one."""
    broker = bench.process("a")
    writer = broker.writer(0)
    await writer.start()
    stamp = await writer.commit(outgoing(bench, b"state"))
    await writer.stop()
    for _ in range(10):
        writer = broker.writer(0)
        await writer.start()
        await writer.stop()
    assert await stored_soon(broker, b"state") == stamp


async def a_successor_fences_who_was_before(bench: Bench) -> None:
    """A zombie's commit that succeeded would be a second outcome for its calls."""
    zombie, successor = bench.process("a").writer(0), bench.process("b").writer(0)
    await zombie.start()
    stamp = await zombie.commit(outgoing(bench, b"zombie", b"1"))
    await successor.start()
    stored = await bench.process("b").last_checkpoint(0)
    assert stored is not None, "a producer starts only once earlier commits can be read"
    assert (stored.value, stored.timestamp_ms) == (b"zombie", stamp)
    with pytest.raises(LaneFenced):
        await zombie.commit(outgoing(bench, b"late", b"2"))
    with pytest.raises((LaneFenced, CommitUnknown)):
        await zombie.commit(outgoing(bench, b"later", b"3"))
    await successor.commit(outgoing(bench, b"successor", b"4"))
    assert await bench.results() == [b"1", b"4"]
    await zombie.stop()
    await successor.stop()


async def lanes_do_not_fence_each_other(bench: Bench) -> None:
    """Two lanes of one process would otherwise stop each other for ever."""
    broker = bench.process("a")
    first, second = broker.writer(0), broker.writer(1)
    await first.start()
    await second.start()
    await first.commit(outgoing(bench, b"first"))
    await stored_soon(broker, b"first")
    await first.stop()
    await second.stop()


async def a_writer_that_was_not_started_commits_nothing(bench: Bench) -> None:
    """A spent producer that seemed to work would lose a turn."""
    writer = bench.process("a").writer(0)
    with pytest.raises(CommitUnknown):
        await writer.commit(outgoing(bench, b"state", b"1"))
    await writer.start()
    await writer.stop()
    with pytest.raises(CommitUnknown):
        await writer.commit(outgoing(bench, b"state", b"1"))
    assert await bench.results() == []


async def markers_take_offsets_and_aborted_records_are_not_seen(bench: Bench) -> None:
    """A ledger that expected each offset would wait for a marker for ever."""
    tp = (bench.settings.kafka.topics.requests, 0)
    async with bench.transaction([b"a", b"b"], commit=True):
        pass
    async with bench.transaction([b"never"], commit=False):
        pass
    await bench.publish([b"c"])
    reader = bench.process("a").reader()
    await reader.start({tp: 0})
    got = await read(reader, tp, 3)
    assert [(record.offset, record.value) for record in got] == [(0, b"a"), (1, b"b"), (5, b"c")]
    assert await reader.bounds([tp]) == {tp: (0, 6)}
    assert reader.known_end(tp) == 6
    await reader.stop()


async def the_end_of_a_partition_is_known_whatever_it_holds(bench: Bench) -> None:
    """A lag that counts markers, or is unknown where nothing was written, never comes to zero."""
    topic = bench.settings.kafka.topics.requests
    tp, empty = (topic, 0), (topic, 1)
    async with bench.transaction([b"a", b"b"], commit=True):
        pass
    reader = bench.process("a").reader()
    await reader.start({tp: 0, empty: 0})
    await read(reader, tp, 2)
    async with asyncio.timeout(ENDS_SECONDS):
        while (reader.known_end(tp), reader.known_end(empty)) != (2, 0):
            assert await reader.fetch([tp, empty], 10, 0.2) == {}
    await bench.publish([b"c"])
    await read(reader, tp, 1)
    assert reader.known_end(tp) == 4
    await reader.stop()


async def nothing_is_read_past_an_open_transaction(bench: Bench) -> None:
    """An event that upstream takes back after it was placed is a call too many."""
    tp = (bench.settings.kafka.topics.requests, 0)
    await bench.publish([b"a"])
    reader = bench.process("a").reader()
    async with bench.transaction([b"b"], commit=True):
        await bench.publish([b"c"])
        await reader.start({tp: 0})
        assert [record.value for record in await read(reader, tp, 1)] == [b"a"]
        assert await reader.bounds([tp]) == {tp: (0, 1)}
        assert await reader.fetch([tp], 10, 0.5) == {}
        assert reader.known_end(tp) == 1
    assert [record.value for record in await read(reader, tp, 2)] == [b"b", b"c"]
    await reader.stop()


async def a_reader_goes_on_from_its_positions(bench: Bench) -> None:
    """Reading from anywhere else loses events or takes them twice."""
    topic = bench.settings.kafka.topics.requests
    await bench.publish([b"%d" % number for number in range(5)])
    reader = bench.process("a").reader()
    await reader.start({(topic, 1): 0})
    await reader.add({(topic, 0): 1})
    got = await reader.fetch([(topic, 0)], 2, WAIT_SECONDS)
    assert len(got[topic, 0]) <= 2
    rest = await read(reader, (topic, 0), 4 - len(got[topic, 0]))
    assert [r.value for r in [*got[topic, 0], *rest]] == [b"1", b"2", b"3", b"4"]
    reader.seek((topic, 0), 3)
    assert [record.value for record in await read(reader, (topic, 0), 2)] == [b"3", b"4"]
    assert await reader.fetch([(topic, 0), (topic, 1)], 10, 0.2) == {}
    assert reader.partition_count(topic) == PARTITIONS_DEFAULT
    await reader.stop()


async def a_position_outside_its_log_is_reported(bench: Bench) -> None:
    """A silent reset would skip calls, or place them again."""
    tp = (bench.settings.kafka.topics.requests, 0)
    await bench.publish([b"a"])
    reader = bench.process("a").reader()
    await reader.start({tp: 500})
    with pytest.raises(RecordsGone):
        await reader.fetch([tp], 10, WAIT_SECONDS)
    reader.seek(tp, 0)
    assert [record.value for record in await read(reader, tp, 1)] == [b"a"]
    await reader.stop()


async def each_lane_has_one_owner(bench: Bench) -> None:
    """Two owners of one lane would each send its calls; none would send nothing."""
    none = frozenset[int]()
    told: dict[str, frozenset[int]] = {}
    news = asyncio.Event()

    def listen(name: str) -> Callable[[frozenset[int]], None]:
        def on_lanes(lanes: frozenset[int]) -> None:
            told[name] = lanes
            news.set()

        return on_lanes

    async def until(settled: Callable[[], bool]) -> None:
        async with asyncio.timeout(ELECTION_SECONDS):
            while not settled():
                news.clear()
                await news.wait()

    first, second = bench.process("a"), bench.process("b")
    one, other = first.election(), second.election()
    await one.join(listen("a"))
    await until(lambda: told.get("a", none) == {0, 1})
    assert [await first.owns(lane) for lane in range(LANES)] == [True, True]
    assert not await second.owns(0)
    await other.join(listen("b"))
    await until(lambda: len(told.get("a", ())) == len(told.get("b", ())) == 1)
    assert told["a"] | told["b"] == {0, 1}
    await one.leave()
    await until(lambda: told["b"] == {0, 1})
    assert await second.owns(0)
    assert not await first.owns(0)
    await other.leave()


Law = Callable[[Bench], Awaitable[None]]
LAWS: list[Law] = [
    a_turn_is_seen_as_a_whole,
    the_last_checkpoint_is_of_the_lane_alone,
    a_checkpoint_is_found_behind_takeovers_that_came_to_nothing,
    a_successor_fences_who_was_before,
    lanes_do_not_fence_each_other,
    a_writer_that_was_not_started_commits_nothing,
    markers_take_offsets_and_aborted_records_are_not_seen,
    the_end_of_a_partition_is_known_whatever_it_holds,
    nothing_is_read_past_an_open_transaction,
    a_reader_goes_on_from_its_positions,
    a_position_outside_its_log_is_reported,
    each_lane_has_one_owner,
]


@pytest.mark.parametrize("law", LAWS)
def test_the_simulators_ports_obey(law: Law) -> None:
    """A simulator that is kinder than Kafka finds no bugs."""
    loop = VirtualLoop()  # type: ignore[abstract]  # the rest is IO

    async def tried() -> None:
        await law(MemoryBench(loop))

    loop.run(tried())
    assert loop.failures == []


@pytest.mark.parametrize("law", LAWS)
async def test_kafkas_ports_obey(law: Law, kafka: str, names: Names) -> None:
    """An adapter that hides what Kafka does breaks the promises in production."""
    await law(await KafkaBench(kafka, names).make())
