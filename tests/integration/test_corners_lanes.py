"""Who owns a lane, and where it begins and goes on reading: on real Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from service.adapters.kafka.broker import KafkaBroker
from service.demo.stage import Dispatcher
from tests.support.dispatcher import (
    Scene,
    call,
    ended,
    kill,
    log_lines,
    logged,
    scene,
    the_lane,
    until,
)
from tests.support.kafka import Topic, produce
from tests.support.operator import delete_records, make_anew, more_partitions, one_error

NEW_PARTITION_SECONDS_MAX = 15.0
"""Until the first call of a partition that was added; 5 s of it are two looks apart."""


async def test_standbys_come_and_go_under_load_and_the_lane_stays(kafka: str) -> None:
    """Each move of the lane costs a stop of all calls: a deployment of standbys must cost none."""
    config: dict[str, Any] = {"batching": {"calls_max": 10}}
    async with scene(kafka, "--latency-ms", "50", **config) as stage:
        owner = await stage.run()
        await until(lambda: logged(owner, "lane_owned"))
        told: list[frozenset[int]] = []
        standbys = [KafkaBroker(stage.settings, f"standby-{one}").election() for one in range(10)]
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
        await more_partitions(kafka, stage.requests, 3)
        await stage.publish([call(2)], partition=1)
        await stage.publish([call(3)], partition=2)
        async with asyncio.timeout(NEW_PARTITION_SECONDS_MAX):
            await stage.settled()


async def test_the_groups_offsets_are_not_believed(kafka: str) -> None:
    """Who resets the group with Kafka's own tool must not have everybody called again."""
    async with scene(kafka) as stage:
        await stage.run_and_stop([call(number) for number in range(10)])
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
            await delete_records(kafka, stage.requests, 0, 31)
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
        await make_anew(kafka, stage.requests, Topic(1))
        assert await ended(dispatcher.process) == 1
        one_error(dispatcher.process.log_file.read_text(), stage.requests, "created anew")
