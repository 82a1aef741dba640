"""Who owns a lane, and what its state is worth when others lay hands on it: on real Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from service.adapters.kafka.broker import KafkaBroker
from service.demo.stage import Dispatcher
from tests.support.dispatcher import (
    Scene,
    call,
    ended,
    kill,
    log_lines,
    logged,
    page,
    scene,
    the_lane,
    until,
)
from tests.support.kafka import Names, Topic, admin_client, create_topics, delete_topics, produce
from tests.support.settings import settings_for

CHECKPOINTS = {
    "cleanup.policy": "compact",
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": "2097152",
}
DELETABLE = {**CHECKPOINTS, "cleanup.policy": "compact,delete"}
"""Kafka deletes records of no topic that is compacted only."""
NEW_PARTITION_SECONDS_MAX = 15.0
"""Until the first call of a partition that was added; 5 s of it are two looks apart."""


async def test_standbys_come_and_go_under_load_and_the_lane_stays(kafka: str) -> None:
    """Each move of the lane costs a stop of all calls: a deployment of standbys must cost none."""
    config: dict[str, Any] = {"batching": {"calls_max": 10}}
    async with scene(kafka, "--latency-ms", "50", **config) as stage:
        owner = await stage.run()
        await until(lambda: logged(owner, "lane_owned"))
        told: list[frozenset[int]] = []
        names = {"group_id": stage.stage.names.prefix, "topics": stage.stage.names.topics}
        settings = settings_for(kafka, Names(), kafka=names)
        standbys = [KafkaBroker(settings, f"standby-{one}").election() for one in range(10)]
        try:
            for number, standby in enumerate(standbys[:5]):
                await stage.publish(some_calls(number))
                await standby.join(told.append)
            await stage.publish(some_calls(5))
            await asyncio.gather(*(standby.join(told.append) for standby in standbys[5:]))
            for number, standby in enumerate(standbys[3:7], 6):
                await stage.publish(some_calls(number))
                await standby.leave()
        finally:
            await asyncio.gather(*(standby.leave() for standby in standbys))
        await stage.publish(some_calls(10))
        await stage.settled()
        assert set(told) == {frozenset()}
        assert len(log_lines(owner, "lane_owned")) == 1
        assert not log_lines(owner, "lane_dropped")


def some_calls(number: int) -> list[dict[str, Any]]:
    """The calls of a moment of load."""
    return [call(one, f"Flow000{one % 3}") for one in range(100 * number, 100 * number + 60)]


async def test_new_partitions_are_read_soon_by_a_lane_that_had_none_too(kafka: str) -> None:
    """Upstream scales its topic out: calls of the new partition must not wait for a deployment."""
    async with scene(kafka) as stage:
        assert (await stage.command("topics", "create", "--lanes", "2"))[0] == 0
        await stage.run()
        await stage.publish([call(1)])
        await stage.settled()
        await more_partitions(stage, stage.requests, 3)
        await stage.publish([call(2)], partition=1)
        await stage.publish([call(3)], partition=2)
        async with asyncio.timeout(NEW_PARTITION_SECONDS_MAX):
            await stage.settled()


async def more_partitions(stage: Scene, topic: str, count: int) -> None:
    """What an operator does with --alter."""
    async with admin_client(stage.stage.bootstrap) as admin:
        await admin.create_partitions({topic: NewPartitions(count)})


async def stopped_after(stage: Scene, calls: list[dict[str, Any]]) -> None:
    """A first dispatcher that has placed these calls and was stopped in order."""
    await stage.publish(calls)
    dispatcher = await stage.run()
    await stage.settled()
    await dispatcher.process.stop(20)
    assert dispatcher.process.exit_code == 0


def error_line(said: str, *parts: str) -> None:
    """The one line for the operator has all `parts`; log lines in JSON may stand around it."""
    (line,) = (line for line in said.splitlines() if not line.startswith("{"))
    assert [part for part in parts if part not in line] == [], line


async def test_a_bare_alter_of_the_checkpoints_under_a_running_lane_is_mended(kafka: str) -> None:
    """A lane more by a slip of the hand: nobody may be called by both, and the way out is named."""
    async with scene(kafka) as stage:
        checkpoints = stage.stage.names.topics["checkpoints"]
        await stage.publish([call(1)])
        dispatcher = await stage.run()
        await stage.settled()
        await more_partitions(stage, checkpoints, 2)
        await stage.publish([call(number) for number in range(2, 20)])
        await stage.settled()
        await dispatcher.process.stop(20)
        code, said = await stage.command("run")
        assert code == 1
        error_line(said, stage.stage.names.topics["parked"], "--lanes 2 --migrate")
        for name in ("parked", "overflow"):
            await more_partitions(stage, stage.stage.names.topics[name], 2)
        code, said = await stage.command("run")
        assert code == 1
        error_line(said, checkpoints, "--lanes 2 --migrate")
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
        await delete_topics(kafka, [checkpoints])
        await made_anew(kafka, checkpoints, Topic(1, CHECKPOINTS))
        await stage.publish([call(number) for number in range(10, 20)])
        await stage.settled()
        if dispatcher.process.exit_code is None:
            await dispatcher.process.stop(20)
        await stage.publish([call(number) for number in range(20, 30)])
        await stage.run("successor")
        await stage.settled()


async def made_anew(kafka: str, name: str, topic: Topic) -> None:
    """Create a topic of a name that was deleted just now."""

    async def created() -> bool:
        with contextlib.suppress(KafkaError):  # it is deleted some time after the answer
            await create_topics(kafka, {name: topic})
            return True
        return False

    await until(created)


@pytest.mark.parametrize("gone", ["deleted", "tombstone"])
async def test_a_lane_whose_record_is_gone_calls_nobody_again(kafka: str, gone: str) -> None:
    """One lane's state is lost: it must stop and say so, not begin at the first event."""
    async with scene(kafka, partitions=2) as stage:
        checkpoints = stage.stage.names.topics["checkpoints"]
        assert (await stage.command("topics", "create", "--lanes", "2"))[0] == 0
        await stopped_after(stage, [call(number) for number in range(40)])
        if gone == "tombstone":
            await produce(kafka, checkpoints, [None], key=b"lane-1", partition=1)
        else:
            async with settings_of_topic(kafka, checkpoints, DELETABLE, CHECKPOINTS):
                await delete_records(kafka, TopicPartition(checkpoints, 1), -1)
        code, said = await stage.command("run")
        assert code == 1
        error_line(said, "lane 1", checkpoints, "kafka.group_id")
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


async def delete_records(kafka: str, where: TopicPartition, before: int) -> None:
    """Delete the records below `before` as retention does; -1 is the log's end."""
    async with admin_client(kafka) as admin:
        await admin.delete_records({where: RecordsToDelete(before)})


async def test_the_groups_offsets_are_not_believed(kafka: str) -> None:
    """Who resets the group with Kafka's own tool must not have everybody called again."""
    async with scene(kafka) as stage:
        await stopped_after(stage, [call(number) for number in range(10)])
        await commit_offset(stage, 0)
        await stage.publish([call(number) for number in range(10, 20)])
        second = await stage.run("second")
        await stage.settled()
        await second.process.stop(20)
        await commit_offset(stage, 25)
        await stage.publish([call(number) for number in range(20, 30)])
        await stage.run("third")
        await stage.settled()


async def commit_offset(stage: Scene, offset: int) -> None:
    """What kafka-consumer-groups --reset-offsets does."""
    where = TopicPartition(stage.requests, 0)
    group = stage.stage.names.prefix
    consumer = AIOKafkaConsumer(bootstrap_servers=stage.stage.bootstrap, group_id=group)
    await consumer.start()
    try:
        consumer.assign([where])
        await consumer.commit({where: offset})
    finally:
        await consumer.stop()


async def test_where_a_new_lane_begins_is_durable_at_once(kafka: str) -> None:
    """With `latest`, a restart before the first call would else begin at a later end."""
    async with scene(kafka, kafka={"start_from": "latest"}) as stage:
        await produce(kafka, stage.requests, [b"of before the dispatcher's time"] * 5)
        first = await stage.run()
        await until(lambda: logged(first, "lane_owned"))
        await kill(first)
        await stage.publish([call(number) for number in range(10)])
        await stage.run("successor")
        await stage.settled()
        assert await stage.dead_letters() == {}


@asynccontextmanager
async def paused(dispatcher: Dispatcher) -> AsyncIterator[None]:
    """Its process stands still, for less than its session's time."""
    os.kill(dispatcher.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(dispatcher.process.pid, signal.SIGCONT)


async def test_events_that_retention_takes_from_a_running_lane_are_told(kafka: str) -> None:
    """A lane that waits for records that are gone would stop for ever without a word."""
    async with scene(kafka, kafka={"session_timeout_seconds": 30}) as stage:
        await stage.publish([call(1)])
        dispatcher = await stage.run()
        await stage.settled()
        async with paused(dispatcher):
            # More than what a fetch that is under way can bring.
            await produce(kafka, stage.requests, [b"{}" * 500_000] * 30, linger_ms=0)
            await delete_records(kafka, TopicPartition(stage.requests, 0), 31)
            await produce(kafka, stage.requests, [json.dumps(call(2)).encode()])
        await stage.placed_calls(2)

        async def all_done() -> bool:
            return bool((await the_lane(dispatcher))["partitions"][0]["position"] == 32)

        await until(all_done)
        (lost,) = log_lines(dispatcher, "events_lost")
        assert lost["end"] == 31
        assert 0 < lost["count"] <= 30


async def test_a_requests_topic_made_anew_stops_a_running_lane(kafka: str) -> None:
    """Its offsets begin at zero again: positions would silently pass over new calls."""
    async with scene(kafka) as stage:
        await stage.publish([call(number) for number in range(10)])
        dispatcher = await stage.run()
        await stage.settled()
        await delete_topics(kafka, [stage.requests])
        await made_anew(kafka, stage.requests, Topic(1))
        assert await ended(dispatcher.process) == 1
        error_line(dispatcher.process.log_file.read_text(), stage.requests, "created anew")


async def test_a_change_of_lanes_under_load_is_refused_and_harms_nobody(kafka: str) -> None:
    """Run by mistake beside running replicas, it must not tear batches from their owner."""
    config: dict[str, Any] = {"batching": {"calls_max": 10}, "provider": {"concurrency": 4}}
    async with scene(kafka, "--latency-ms", "800", partitions=2, **config) as stage:
        await stage.publish([call(number, f"Flow000{number % 3}") for number in range(300)])
        dispatcher = await stage.run()
        await stage.placed_calls(40)
        code, said = await stage.command("topics", "create", "--lanes", "2", "--migrate")
        assert code == 1
        error_line(said, "stop")
        lives = [dispatcher]

        async def all_placed() -> bool:
            if lives[-1].process.exit_code is not None:
                # It met the mark of the change, and an orchestrator starts it again.
                lives.append(await stage.run(f"life-{len(lives)}"))
            return (await stage.twin.summary()).calls_accepted >= 300

        await until(all_placed)
        found = await stage.settled()
        assert found.accepted == 300
