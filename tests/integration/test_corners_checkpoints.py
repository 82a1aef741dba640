"""What the checkpoints are worth when others lay hands on them: on real Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from service.adapters.kafka.broker import KafkaBroker
from service.core.checkpoint import VERSION, decode, encode
from service.ports import Outgoing
from tests.support.dispatcher import Scene, call, page, scene, until
from tests.support.kafka import Topic, admin_client, produce
from tests.support.operator import ALL, delete_records, make_anew, more_partitions, one_error

CHECKPOINTS = {
    "cleanup.policy": "compact",
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": "2097152",
}
DELETABLE = {**CHECKPOINTS, "cleanup.policy": "compact,delete"}
"""Kafka deletes records of no topic that is compacted only."""


async def test_a_bare_alter_of_the_checkpoints_under_a_running_lane_is_mended(kafka: str) -> None:
    """A lane more by a slip of the hand: nobody may be called by both, and the way out is named."""
    async with scene(kafka) as stage:
        checkpoints = stage.stage.names.topics["checkpoints"]
        await stage.publish([call(1)])
        dispatcher = await stage.run()
        await stage.settled()
        await more_partitions(kafka, checkpoints, 2)
        await stage.publish([call(number) for number in range(2, 20)])
        await stage.settled()
        await dispatcher.process.stop(20)
        code, said = await stage.command("run")
        assert code == 1
        one_error(said, stage.stage.names.topics["parked"], "--lanes 2 --migrate")
        for name in ("parked", "overflow"):
            await more_partitions(kafka, stage.stage.names.topics[name], 2)
        code, said = await stage.command("run")
        assert code == 1
        one_error(said, checkpoints, "--lanes 2 --migrate")
        code, said = await stage.command("topics", "create", "--lanes", "2", "--migrate")
        assert (code, said) == (0, "lanes: 2\n")
        await stage.publish([call(number) for number in range(20, 30)])
        repaired = await stage.run("repaired")
        await stage.settled()
        assert [lane["lane"] for lane in (await page(repaired, "status"))[1]["lanes"]] == [0, 1]


async def test_checkpoints_made_anew_under_a_running_lane_repeat_nothing(kafka: str) -> None:
    """An operator who "cleans up" the topic must not have yesterday's customers called again."""
    async with scene(kafka) as stage:
        checkpoints = stage.stage.names.topics["checkpoints"]
        await stage.publish([call(number) for number in range(10)])
        dispatcher = await stage.run()
        await stage.settled()
        await make_anew(kafka, checkpoints, Topic(1, CHECKPOINTS))
        await stage.publish([call(number) for number in range(10, 20)])
        await stage.settled()
        if dispatcher.process.exit_code is None:
            await dispatcher.process.stop(20)
        await stage.publish([call(number) for number in range(20, 30)])
        await stage.run("successor")
        await stage.settled()


@pytest.mark.parametrize("gone", ["deleted", "tombstone"])
async def test_a_lane_whose_record_is_gone_calls_nobody_again(kafka: str, gone: str) -> None:
    """One lane's state is lost: it must stop and say so, not begin at the first event."""
    async with scene(kafka, partitions=2) as stage:
        checkpoints = stage.stage.names.topics["checkpoints"]
        assert (await stage.command("topics", "create", "--lanes", "2"))[0] == 0
        await stage.run_and_stop([call(number) for number in range(40)])
        if gone == "tombstone":
            await produce(kafka, checkpoints, [None], key=b"lane-1", partition=1)
        else:
            async with settings_of_topic(kafka, checkpoints, DELETABLE, CHECKPOINTS):
                await delete_records(kafka, checkpoints, 1, ALL)
        code, said = await stage.command("run")
        assert code == 1
        one_error(said, "lane 1", checkpoints, "kafka.group_id")
        assert (await stage.twin.summary()).calls_accepted == 40


@asynccontextmanager
async def settings_of_topic(
    kafka: str, name: str, meanwhile: Mapping[str, str], afterwards: Mapping[str, str]
) -> AsyncIterator[None]:
    """Set all of a topic's own settings, and again at the end."""
    async with admin_client(kafka) as admin:
        for settings in (meanwhile, afterwards):
            topic = ConfigResource(ConfigResourceType.TOPIC, name, configs=dict(settings))
            await admin.alter_configs([topic])
            if settings is meanwhile:
                yield


async def test_a_change_of_lanes_under_load_is_refused_and_harms_nobody(kafka: str) -> None:
    """Run by mistake beside running replicas, it must not tear batches from their owner."""
    config: dict[str, Any] = {"batching": {"calls_max": 10}, "provider": {"concurrency": 4}}
    async with scene(kafka, "--latency-ms", "800", partitions=2, **config) as stage:
        await stage.publish([call(number, f"Flow000{number % 3}") for number in range(300)])
        dispatcher = await stage.run()
        await stage.placed_calls(40)
        code, said = await stage.command("topics", "create", "--lanes", "2", "--migrate")
        assert code == 1
        one_error(said, "stop")
        lives = [dispatcher]

        async def all_placed() -> bool:
            if lives[-1].process.exit_code is not None:
                # It met the mark of the change, and an orchestrator starts it again.
                lives.append(await stage.run(f"life-{len(lives)}"))
            return (await stage.twin.summary()).calls_accepted >= 300

        await until(all_placed)
        found = await stage.settled()
        assert found.accepted == 300


async def test_a_change_of_lanes_that_was_interrupted_is_finished_or_taken_back(
    kafka: str,
) -> None:
    """The operator's laptop closes: half a change must not run, and the way out is a way out."""
    async with scene(kafka) as stage:
        await stage.run_and_stop([call(number) for number in range(10)])
        for lanes, number in ((1, 10), (2, 20)):
            await mark(stage)
            code, said = await stage.command("run")
            assert code == 1
            one_error(said, "interrupted", "topics create --lanes 1 --migrate")
            more = ("--lanes", str(lanes), "--migrate")
            assert await stage.command("topics", "create", *more) == (0, f"lanes: {lanes}\n")
            await stage.publish([call(one) for one in range(number, number + 10)])
            dispatcher = await stage.run("repaired")
            await stage.settled()
            await dispatcher.process.stop(20)


async def test_the_state_of_a_newer_release_stops_an_older_one_with_a_line(kafka: str) -> None:
    """A rollback too far: guessing at a state it cannot read, it would call people again."""
    async with scene(kafka) as stage:
        await stage.run_and_stop([call(number) for number in range(10)])
        await state_in_version(stage, VERSION + 1)
        await stage.publish([call(number) for number in range(10, 20)])
        code, said = await stage.command("run")
        assert code == 1
        one_error(said, f"version {VERSION + 1} ", f"reads {VERSION}", "run the release that wrote")
        assert (await stage.twin.summary()).calls_accepted == 10
        await state_in_version(stage, VERSION)
        await stage.run("newer")
        await stage.settled()


async def state_in_version(stage: Scene, version: int) -> None:
    """The lane's state as a release of that version would have left it."""
    broker = KafkaBroker(stage.settings, "other-release")
    writer = broker.writer(0)
    await writer.start()
    stored = await broker.last_checkpoint(0)
    assert stored is not None
    fields = [version, *msgspec.msgpack.decode(stored.value or b"")[1:]]
    await writer.commit(Outgoing({}, {}, 0, msgspec.msgpack.encode(fields)))
    await writer.stop()


async def mark(stage: Scene) -> None:
    """What the first step of a change of lanes leaves."""
    broker = KafkaBroker(stage.settings, "interrupted")
    writer = broker.writer(0)
    await writer.start()
    stored = await broker.last_checkpoint(0)
    assert stored is not None
    marked = msgspec.structs.replace(decode(stored.value), migrating=True)
    await writer.commit(Outgoing({}, {}, 0, encode(marked)))
    await writer.stop()
