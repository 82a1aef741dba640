"""Raising the number of lanes on real Kafka, interrupted anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from service.adapters.kafka.broker import KafkaBroker
from service.adapters.kafka.topics import ensure_topics
from service.core.checkpoint import VERSION, Checkpoint, OpenBatch, decode, encode, pack_sources
from service.core.codec import CODEC_VERSION, Recipe
from service.core.offsets import Ledger
from service.errors import BrokerUnavailable, TopicsError
from service.pipeline.migration import migrate
from service.ports import Outgoing, Writer
from service.settings import Settings
from tests.support.kafka import Names
from tests.support.settings import settings_for


def checkpoint(
    settings: Settings, lane: int, lanes: int, *, open_batch: bool = False
) -> Checkpoint:
    """A drained lane that has read its share of six partitions."""
    partitions = []
    for partition in range(lane, 6, lanes):
        ledger = Ledger(settings.kafka.topics.requests, partition, 0)
        ledger.read(range(10 * (partition + 1)))
        ledger.finish(range(10 * (partition + 1) - 1))
        partitions.append(ledger.state())
    recipe = Recipe(
        CODEC_VERSION,
        "1.0",
        fills_start_time=False,
        number_format="digits",
        time_zone="UTC",
        correlation_key=None,
        dummy_number=None,
    )
    batch = OpenBatch("b", "AbCd1234", 1, pack_sources([0], [9]), 0, False, b"", recipe)  # noqa: FBT003 - array_like order
    return Checkpoint(
        VERSION,
        lane,
        lanes,
        "owner",
        5 + lane,
        4.4,
        30.0,
        released=True,
        partitions=partitions,
        batches=[batch] if open_batch else [],
        tally=[(50, 1001, 3)],
        holds=[],
    )


async def prepared(
    kafka: str, names: Names, lanes: int = 1, *, open_batch: bool = False
) -> tuple[Settings, KafkaBroker]:
    """A dispatcher of so many lanes that was stopped."""
    settings = settings_for(kafka, names)
    broker = KafkaBroker(settings, names("client"))
    await ensure_topics(settings, broker.options, lanes=lanes, create=True)
    for lane in range(lanes):
        writer = broker.writer(lane)
        await writer.start()
        state = checkpoint(settings, lane, lanes, open_batch=open_batch)
        await writer.commit(Outgoing({}, {}, lane, encode(state)))
        await writer.stop()
    return settings, broker


async def lanes_of(broker: KafkaBroker, count: int) -> list[Checkpoint]:
    """The last checkpoint of each lane."""
    stored = [await broker.last_checkpoint(lane) for lane in range(count)]
    return [decode(one.value) for one in stored if one is not None]


def check_dealt(settings: Settings, new: list[Checkpoint], lanes: int) -> None:
    """Every partition goes on where it stood, in the lane that has it now."""
    assert [one.lane for one in new] == list(range(lanes))
    for one in new:
        assert (one.lanes, one.migrating, one.released) == (lanes, False, True)
        assert [state.partition for state in one.partitions] == list(range(one.lane, 6, lanes))
        for state in one.partitions:
            assert state.topic == settings.kafka.topics.requests
            assert state.position == 10 * (state.partition + 1) - 1
    assert sum(calls for one in new for _, calls, _ in one.tally) >= 1001


async def test_lanes_grow_and_every_partition_goes_on_where_it_stood(
    kafka: str, names: Names
) -> None:
    """A position that was lost here would send the whole log again."""
    settings, broker = await prepared(kafka, names)
    assert await migrate(broker, settings, 3)
    check_dealt(settings, await lanes_of(broker, 3), 3)
    assert not await migrate(broker, settings, 3)
    survey = await broker.survey()
    assert survey.partitions[settings.kafka.topics.parked] == 3


async def test_open_batches_refuse_it_and_nothing_is_changed(kafka: str, names: Names) -> None:
    """A batch that changed its lane could be sent by both."""
    settings, broker = await prepared(kafka, names, open_batch=True)
    with pytest.raises(TopicsError, match="lane 0: 1"):
        await migrate(broker, settings, 2)
    [state] = await lanes_of(broker, 1)
    assert (state.migrating, state.lanes) == (False, 1)
    assert (await broker.survey()).partitions[settings.kafka.topics.checkpoints] == 1


async def test_fewer_lanes_are_refused(kafka: str, names: Names) -> None:
    """Partitions of a topic cannot be taken away."""
    settings, broker = await prepared(kafka, names, lanes=2)
    with pytest.raises(TopicsError, match="only grow"):
        await migrate(broker, settings, 1)


class Killed(BrokerUnavailable):
    """Stands for the death of the process."""


class Mortal:
    """The real broker, whose user dies at the n-th step that changes something."""

    def __init__(self, broker: KafkaBroker, steps: int) -> None:
        self._broker = broker
        self._steps = steps
        self.survived = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def _step(self) -> None:
        if self.survived == self._steps:
            raise Killed("killed")
        self.survived += 1

    async def add_lanes(self, lanes: int) -> None:
        """A step."""
        self._step()
        await self._broker.add_lanes(lanes)
        self._step()

    def writer(self, lane: int) -> Writer:
        """Its start and commits are steps."""
        return MortalWriter(self._broker.writer(lane), self._step)

    def migrator(self) -> Writer:
        """Its start and commits are steps."""
        return MortalWriter(self._broker.migrator(), self._step)


class MortalWriter:
    """See `Mortal`."""

    def __init__(self, writer: Writer, step: Callable[[], None]) -> None:
        self._writer = writer
        self._step = step

    async def start(self) -> None:
        """A step."""
        self._step()
        await self._writer.start()

    async def commit(self, outgoing: Outgoing) -> int:
        """A step before and one after it."""
        self._step()
        stamp = await self._writer.commit(outgoing)
        self._step()
        return stamp

    async def stop(self) -> None:
        """No step: what a dead process leaves is not tidied, but a test's is."""
        await self._writer.stop()


async def test_it_can_be_killed_at_every_step_and_run_again(kafka: str) -> None:
    """An operator's laptop closes; the lanes must neither be lost nor run on half a state."""
    steps = 0
    while True:
        settings, broker = await prepared(kafka, Names(), lanes=2)
        mortal = Mortal(broker, steps)
        try:
            done = await migrate(mortal, settings, 3)
        except Killed:
            states = await lanes_of(broker, 2)
            assert all(one.lanes == 2 or not one.migrating for one in states)
            await migrate(broker, settings, 3)
        else:
            assert done
            assert steps > 8
            break
        check_dealt(settings, await lanes_of(broker, 3), 3)
        steps += 1


def test_the_mark_survives_a_round_trip() -> None:
    """A lane that did not see the mark would run on."""
    marked = msgspec.structs.replace(
        checkpoint(settings_for("127.0.0.1:1", Names()), 0, 1), migrating=True
    )
    assert decode(encode(marked)).migrating
