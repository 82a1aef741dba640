"""What operators do with Kafka's own tools, and the one line that they are told.

Knows nothing of the dispatcher's inside.
"""

from __future__ import annotations

import asyncio

from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete
from aiokafka.errors import KafkaError

from tests.support.kafka import Topic, admin_client, create_topics, delete_topics

DELETED_SECONDS_MAX = 30.0
POLL_SECONDS = 0.1
ALL = -1
"""As an offset: the log's end."""


def one_error(said: str, *parts: str) -> None:
    """There is one error line that holds `parts`; log lines in JSON may stand around it."""
    lines = [line for line in said.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, said
    assert lines[0].startswith("error: ")
    assert [part for part in parts if part not in lines[0]] == [], lines[0]


async def more_partitions(bootstrap: str, topic: str, count: int) -> None:
    """--alter --partitions."""
    async with admin_client(bootstrap) as admin:
        await admin.create_partitions({topic: NewPartitions(count)})


async def delete_records(bootstrap: str, topic: str, partition: int, before: int) -> None:
    """Delete the records below `before`, as retention does too."""
    async with admin_client(bootstrap) as admin:
        await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before)})


async def make_anew(bootstrap: str, name: str, topic: Topic) -> None:
    """Delete a topic and create one of its name."""
    await delete_topics(bootstrap, [name])
    async with asyncio.timeout(DELETED_SECONDS_MAX):
        while not await _created(bootstrap, name, topic):  # noqa: ASYNC110 - the broker deletes it some time after it said so
            await asyncio.sleep(POLL_SECONDS)


async def _created(bootstrap: str, name: str, topic: Topic) -> bool:
    try:
        await create_topics(bootstrap, {name: topic})
    except KafkaError:
        return False
    return True
