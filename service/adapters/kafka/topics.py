"""Which topics this program needs, how they must be set, and what is wrong with those there are.

Knows nothing of what is written to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.adapters.kafka.admin import (
    NewTopicPlan,
    TopicFacts,
    admin_client,
    create_topics,
    describe_topics,
)
from service.errors import TopicsError
from service.settings import EventsSettings, Settings, TopicsSettings

PARTITIONS_DEFAULT = 6
"""Of requests, results and dead letters when they are made here: room for a few lanes."""
CHECKPOINT_RECORD_BYTES = 4 * 1024 * 1024
"""`max.message.bytes` that a new checkpoints topic gets: room for windows raised later."""


OUTCOME_BYTES_MIN = 600_000
"""`max.message.bytes` that results and dead letters need: one produced batch (writer.py)."""
ASIDE_BYTES = 4096
"""Of an event that is set aside, beside what it was: where it came from, and Kafka's own."""


def checkpoint_bytes_max(events: EventsSettings) -> int:
    """How large a checkpoint of these windows can become.

    Positions of the open batches (three bytes an event when compressed badly), a bit an offset of
    the span, and the rest.
    """
    return 64 * 1024 + 3 * events.window_events_max + events.window_events_max


def plans(names: TopicsSettings, lanes: int) -> list[NewTopicPlan]:
    """All topics as they should be made."""
    kept = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    compacted = {"cleanup.policy": "compact"}
    checkpoints = {
        **compacted,
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(CHECKPOINT_RECORD_BYTES),
        "segment.bytes": str(64 * 1024 * 1024),
        "min.cleanable.dirty.ratio": "0.1",
    }
    flowing = {"cleanup.policy": "delete"}
    return [
        NewTopicPlan(names.requests, PARTITIONS_DEFAULT, flowing),
        NewTopicPlan(names.results, PARTITIONS_DEFAULT, flowing),
        NewTopicPlan(names.dead_letters, PARTITIONS_DEFAULT, flowing),
        NewTopicPlan(names.checkpoints, lanes, checkpoints),
        NewTopicPlan(names.parked, lanes, kept),
        NewTopicPlan(names.overflow, lanes, kept),
        NewTopicPlan(names.control, 1, compacted),
        NewTopicPlan(names.replays, 1, compacted),
    ]


def faults(settings: Settings, topics: Mapping[str, TopicFacts], lanes: int) -> list[str]:
    """What breaks a promise, one sentence each; missing topics are not looked at."""
    names = settings.kafka.topics
    events = (names.requests, names.results, names.dead_letters, names.parked, names.overflow)
    found = [
        f"topic {name} must not be compacted: set cleanup.policy=delete"
        for name in events
        if name in topics and "compact" in topics[name].settings["cleanup.policy"]
    ]
    aside_min = max(
        OUTCOME_BYTES_MIN,
        settings.events.value_bytes_max + settings.events.meta_bytes_max + ASIDE_BYTES,
    )
    for name, least in (
        (names.results, OUTCOME_BYTES_MIN),
        (names.dead_letters, OUTCOME_BYTES_MIN),
        (names.parked, aside_min),
        (names.overflow, aside_min),
    ):
        if name in topics and int(topics[name].settings["max.message.bytes"]) < least:
            found += [f"topic {name} needs max.message.bytes of at least {least}"]
    if names.checkpoints in topics:
        found += _checkpoints_faults(settings, topics[names.checkpoints])
    for name in (names.parked, names.overflow):
        if name in topics:
            migrate = " --migrate" if names.checkpoints in topics else ""
            found += _kept_faults(name, topics[name], lanes, migrate)
    for name in (names.control, names.replays):
        if name in topics and topics[name].settings["cleanup.policy"] != "compact":
            found.append(f"topic {name} must be compacted only: set cleanup.policy=compact")
        if name in topics and topics[name].partitions != 1:
            found.append(f"topic {name} must have one partition: create it anew")
    return found


def _checkpoints_faults(settings: Settings, facts: TopicFacts) -> list[str]:
    name, found = settings.kafka.topics.checkpoints, []
    if facts.settings["cleanup.policy"] != "compact":
        found.append(f"topic {name} must be compacted only: set cleanup.policy=compact")
    if facts.settings["message.timestamp.type"] != "LogAppendTime":
        found.append(f"topic {name} must have message.timestamp.type=LogAppendTime")
    needed = checkpoint_bytes_max(settings.events)
    if int(facts.settings["max.message.bytes"]) < needed:
        found.append(
            f"topic {name} needs max.message.bytes of at least {needed} for "
            f"events.window_events_max={settings.events.window_events_max}: raise it, or lower "
            "the window"
        )
    return found


def _kept_faults(name: str, facts: TopicFacts, lanes: int, migrate: str) -> list[str]:
    found = [
        f"topic {name} must keep everything: set {setting}=-1"
        for setting in ("retention.ms", "retention.bytes")
        if facts.settings[setting] != "-1"
    ]
    if facts.partitions != lanes:
        most = max(facts.partitions, lanes)
        found.append(
            f"topic {name} needs one partition a lane, {lanes}, and has {facts.partitions}: run "
            f"`call-dispatcher topics create --lanes {most}{migrate}`"
        )
    return found


async def ensure_topics(
    settings: Settings, options: dict[str, Any], *, lanes: int | None, create: bool
) -> list[str]:
    """Check all topics, and make those that are missing if `create`.

    Args:
        lanes: the wanted number of lanes, or None to take what is there (one, if nothing is).

    Returns:
        The names of the topics that were made.

    Raises:
        TopicsError: one is missing and may not be made, or a setting breaks a promise.
        BrokerUnavailable: the broker did not answer.
    """
    names = settings.kafka.topics
    async with admin_client(options) as client:
        topics = await describe_topics(client, list(names.model_dump().values()))
        there = topics[names.checkpoints].partitions if names.checkpoints in topics else None
        if lanes is not None and there is not None and lanes != there:
            raise TopicsError(
                f"the number of lanes is {there} (partitions of topic {names.checkpoints}); "
                f"raising it to {lanes} needs --migrate"
                if lanes > there
                else f"the number of lanes is {there}; it can only grow, not fall to {lanes}"
            )
        # Where the checkpoints are missing, what is parked still shows how many lanes there were.
        lanes_now = there or lanes or 1
        missing = [plan for plan in plans(names, lanes_now) if plan.name not in topics]
        if missing and not create:
            raise TopicsError(
                "topics are missing, or an ACL hides them: "
                f"{', '.join(plan.name for plan in missing)}; run "
                "`call-dispatcher topics create`, or set kafka.create_topics to true"
            )
        wrong = faults(settings, topics, lanes_now)
        if wrong:
            raise TopicsError("; ".join(wrong))
        if missing:
            await create_topics(client, missing)
    return [plan.name for plan in missing]
