"""`topics create` and the checks of topics, on a real broker."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from service.adapters.kafka.admin import (
    admin_client,
    describe_topics,
    group_offsets,
    group_progress,
    members,
)
from service.adapters.kafka.connection import client_options
from service.adapters.kafka.topics import checkpoint_bytes_max, ensure_topics
from service.errors import BrokerUnavailable, TopicsError
from service.settings import Settings
from tests.support import kafka as broker
from tests.support.kafka import Names, Topic

ROOT = Path(__file__).parents[2]
SECRET = "Ab1" * 21 + "x"
USES = (
    "requests",
    "results",
    "dead_letters",
    "checkpoints",
    "parked",
    "overflow",
    "control",
    "replays",
)


@pytest.fixture
def topics(names: Names) -> dict[str, str]:
    """Topic names of this test, by their use."""
    return {use: names(use) for use in USES}


@pytest.fixture
def settings(kafka: str, names: Names, topics: dict[str, str]) -> Settings:
    """A configuration with topics and a group of this test."""
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": kafka, "group_id": names("group"), "topics": topics},
            "provider": {"url": "https://api.example.com/create", "security_id": SECRET},
        }
    )


def topics_create(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`call-dispatcher topics create` in a process of its own."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("DISPATCHER_")}
    named = settings.kafka.topics.model_dump()
    variables = {
        "DISPATCHER_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "DISPATCHER_PROVIDER__URL": "https://api.example.com/create",
        "DISPATCHER_PROVIDER__SECURITY_ID": SECRET,
        **{f"DISPATCHER_KAFKA__TOPICS__{use.upper()}": name for use, name in named.items()},
    }
    return subprocess.run(
        [sys.executable, "-m", "service", "topics", "create", *arguments],
        cwd=ROOT,
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def ensure(settings: Settings, *, lanes: int | None = None, create: bool = True) -> list[str]:
    """`ensure_topics` on the broker of these settings."""
    return await ensure_topics(settings, client_options(settings.kafka), lanes=lanes, create=create)


async def settings_of(bootstrap: str, name: str) -> Mapping[str, str]:
    """A topic's settings, asked without the code under test."""
    async with broker.admin_client(bootstrap) as admin:
        [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    [resource] = answer.resources
    return {entry[0]: entry[1] for entry in resource[4]}


async def partitions_of(bootstrap: str, *names: str) -> dict[str, int]:
    """Partitions of those topics that exist, asked without the code under test."""
    async with broker.admin_client(bootstrap) as admin:
        there = set(await admin.list_topics())
        described = await admin.describe_topics([name for name in names if name in there])
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


async def test_create_makes_every_topic_as_it_must_be(
    kafka: str, settings: Settings, topics: dict[str, str]
) -> None:
    """An operator's first command gives topics on which each promise holds."""
    done = await asyncio.to_thread(topics_create, settings, "--lanes", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{name}: created" for name in topics.values()]

    counts = await partitions_of(kafka, *topics.values())
    assert {use: counts[topics[use]] for use in ("checkpoints", "parked", "overflow")} == {
        "checkpoints": 3,
        "parked": 3,
        "overflow": 3,
    }
    assert (counts[topics["control"]], counts[topics["replays"]]) == (1, 1)
    found = {use: await settings_of(kafka, name) for use, name in topics.items()}
    assert {use: of["cleanup.policy"] for use, of in found.items()} == {
        **dict.fromkeys(USES, "delete"),
        **dict.fromkeys(("checkpoints", "control", "replays"), "compact"),
    }
    assert found["checkpoints"]["message.timestamp.type"] == "LogAppendTime"
    bytes_max = int(found["checkpoints"]["max.message.bytes"])
    assert bytes_max >= checkpoint_bytes_max(settings.events)
    for use in ("parked", "overflow"):
        assert (found[use]["retention.ms"], found[use]["retention.bytes"]) == ("-1", "-1")


async def test_create_again_changes_nothing_and_fills_gaps(
    kafka: str, settings: Settings, topics: dict[str, str]
) -> None:
    """A deployment may run it each time; lanes stay as they are without --lanes."""
    await ensure(settings, lanes=2)
    await broker.delete_topics(kafka, [topics["parked"]])
    done = await asyncio.to_thread(topics_create, settings)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"{name}: {'created' if use == 'parked' else 'already there'}"
        for use, name in topics.items()
    ]
    assert await ensure(settings, lanes=2) == []
    assert await partitions_of(kafka, topics["parked"]) == {topics["parked"]: 2}


async def test_missing_topics_are_named_and_not_made(
    kafka: str, settings: Settings, topics: dict[str, str]
) -> None:
    """A misspelt name stops `run` with the way out, in place of a new and empty topic."""
    await make_topics(kafka, {topics["requests"]: 1})
    with pytest.raises(TopicsError, match="topics create") as caught:
        await ensure(settings, create=False)
    for use, name in topics.items():
        assert (name in str(caught.value)) == (use != "requests")
    assert await partitions_of(kafka, *topics.values()) == {topics["requests"]: 1}


@pytest.mark.parametrize(("lanes", "words"), [(3, "--migrate"), (1, "only grow")])
async def test_lanes_are_not_changed_by_the_way(
    kafka: str, settings: Settings, topics: dict[str, str], lanes: int, words: str
) -> None:
    """Partitions added to the checkpoints would leave calls without a lane, or with two."""
    await ensure(settings, lanes=2)
    with pytest.raises(TopicsError, match=words):
        await ensure(settings, lanes=lanes)
    assert await partitions_of(kafka, topics["checkpoints"]) == {topics["checkpoints"]: 2}


async def make_topics(bootstrap: str, topics: Mapping[str, int | Topic]) -> None:
    """Make topics, and return once the broker tells of all of them."""
    await broker.create_topics(bootstrap, topics)
    while len(await partitions_of(bootstrap, *topics)) < len(topics):
        pass


def good(lanes: int = 1) -> dict[str, Topic]:
    """All topics as an operator may have made them."""
    kept = {"retention.ms": "-1", "retention.bytes": "-1"}
    checkpoints = {
        "cleanup.policy": "compact",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": "2097152",
    }
    return {
        "requests": Topic(4),
        "results": Topic(2),
        "dead_letters": Topic(),
        "checkpoints": Topic(lanes, checkpoints),
        "parked": Topic(lanes, kept),
        "overflow": Topic(lanes, kept),
        "control": Topic(1, {"cleanup.policy": "compact"}),
        "replays": Topic(1, {"cleanup.policy": "compact"}),
    }


async def test_topics_made_by_hand_are_taken(
    kafka: str, settings: Settings, topics: dict[str, str]
) -> None:
    """Where operators make topics themselves, whatever keeps the promises will do."""
    await make_topics(kafka, {topics[use]: topic for use, topic in good(2).items()})
    assert await ensure(settings, create=False) == []


@pytest.mark.parametrize(
    ("use", "partitions", "changed", "words"),
    [
        ("requests", 4, {"cleanup.policy": "compact"}, "cleanup.policy=delete"),
        ("results", 2, {"cleanup.policy": "compact,delete"}, "cleanup.policy=delete"),
        ("dead_letters", 1, {"cleanup.policy": "compact"}, "cleanup.policy=delete"),
        ("parked", 1, {"cleanup.policy": "compact"}, "cleanup.policy=delete"),
        ("overflow", 1, {"cleanup.policy": "compact"}, "cleanup.policy=delete"),
        ("parked", 1, {"retention.ms": "604800000"}, "retention.ms=-1"),
        ("overflow", 1, {"retention.bytes": "1000000"}, "retention.bytes=-1"),
        ("parked", 2, {}, "one partition a lane"),
        ("overflow", 3, {}, "one partition a lane"),
        ("checkpoints", 1, {"cleanup.policy": "delete"}, "cleanup.policy=compact"),
        ("checkpoints", 1, {"cleanup.policy": "compact,delete"}, "cleanup.policy=compact"),
        ("checkpoints", 1, {"message.timestamp.type": "CreateTime"}, "LogAppendTime"),
        ("checkpoints", 1, {"max.message.bytes": "300000"}, "window_events_max"),
        ("control", 1, {"cleanup.policy": "delete"}, "cleanup.policy=compact"),
        ("control", 2, {}, "one partition"),
        ("replays", 1, {"cleanup.policy": "delete"}, "cleanup.policy=compact"),
    ],
)
async def test_a_setting_that_breaks_a_promise_is_named(
    kafka: str,
    settings: Settings,
    topics: dict[str, str],
    use: str,
    partitions: int,
    changed: dict[str, str],
    words: str,
) -> None:
    """A wrong setting loses calls weeks later; it is told at the start, with topic and remedy."""
    right = good()
    right[use] = Topic(partitions, {**right[use].settings, **changed})
    await make_topics(kafka, {topics[name]: topic for name, topic in right.items()})
    with pytest.raises(TopicsError) as caught:
        await ensure(settings, create=False)
    text = str(caught.value)
    assert f"topic {topics[use]} " in text
    assert words in text
    assert "; " not in text


async def test_lost_checkpoints_do_not_orphan_what_is_parked(
    kafka: str, settings: Settings, topics: dict[str, str]
) -> None:
    """Checkpoints made anew with fewer lanes would leave parked calls that nobody reads."""
    right = good(3)
    del right["checkpoints"]
    await make_topics(kafka, {topics[use]: topic for use, topic in right.items()})
    with pytest.raises(TopicsError, match="one partition a lane"):
        await ensure(settings)
    assert topics["checkpoints"] not in await partitions_of(kafka, topics["checkpoints"])
    assert await ensure(settings, lanes=3) == [topics["checkpoints"]]


def test_no_broker_is_one_clear_line(settings: Settings) -> None:
    """An operator with a wrong address reads the address, not a traceback."""
    away = settings.model_copy(
        update={"kafka": settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})}
    )
    done = topics_create(away)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == "error: Kafka cannot be reached: connecting to 127.0.0.1:1: nobody listens there\n"
    )


async def test_a_listener_that_says_nothing_is_given_up() -> None:
    """A firewall that swallows packets ends in an error after a while, never in a hang."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {
            "bootstrap_servers": f"127.0.0.1:{silent.getsockname()[1]}",
            "request_timeout_ms": 500,
        }
        with pytest.raises(BrokerUnavailable):
            async with admin_client(options):
                pass


async def test_what_a_group_has_committed_is_told(kafka: str, names: Names) -> None:
    """A lane is new only if its group has no offsets: an unknown group and one must differ."""
    topic, group = names("requests"), names("group")
    await make_topics(kafka, {topic: 3})
    await broker.produce(kafka, topic, [b"1", b"2"], partition=1)
    async with admin_client({"bootstrap_servers": kafka}) as client:
        assert await group_offsets(client, group, topic) == {}
        assert await group_progress(client, group, topic) is None
        assert await group_offsets(client, group, names("nothing")) == {}
        async with await _consumer(kafka, group) as consumer:
            consumer.assign([TopicPartition(topic, 1)])
            await consumer.commit({TopicPartition(topic, 1): 2})
        assert await group_offsets(client, group, topic) == {(topic, 1): 2}
        assert await group_progress(client, group, topic) is None


async def test_who_owns_a_partition_is_told_by_its_coordinator(kafka: str, names: Names) -> None:
    """A replica that rejoins must see whether another one owns its lane by now."""
    topic, group = names("checkpoints"), names("group")
    await make_topics(kafka, {topic: 2})
    async with admin_client({"bootstrap_servers": kafka}) as client:
        assert await members(client, group) == {}
        async with await _consumer(kafka, group, client_id="one") as consumer:
            consumer.subscribe([topic])
            while not consumer.assignment():
                await consumer.getmany(timeout_ms=100)
            assert await members(client, group) == {"one": {(topic, 0), (topic, 1)}}
        assert await members(client, group) == {}


async def test_asking_for_a_topic_does_not_make_it(kafka: str, names: Names) -> None:
    """On a broker that makes topics by itself, the question whether one exists must not do so."""
    async with admin_client({"bootstrap_servers": kafka}) as client:
        assert await describe_topics(client, [names("requests")]) == {}
    assert await partitions_of(kafka, names("requests")) == {}


async def _consumer(bootstrap: str, group: str, **options: Any) -> Any:
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **options,
    )
