"""Plays each user's course under the listed ACLs, and again without each one of them.

Knows nothing of the command line.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from service.demo.stage import Stage
from tests.acls.course import LATENCY, TOPICS, Course, Refused
from tests.acls.listed import Listed, listed
from tests.support.kafka import Topic, create_topics
from tests.support.secured import Secured, secured

USERS = ("dispatcher", "upstream", "operator")
KEPT = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
COMPACTED = {"cleanup.policy": "compact"}
SETTINGS = {
    "checkpoints": {**COMPACTED, "message.timestamp.type": "LogAppendTime"},
    "parked": KEPT,
    "overflow": KEPT,
    "control": COMPACTED,
    "replays": COMPACTED,
}
SUFFICE_SECONDS = 90.0
FAIL_SECONDS = 20.0
"""What has not come about by then does not: with all ACLs each step takes a few seconds."""


@asynccontextmanager
async def course(seconds_max: float = SUFFICE_SECONDS) -> AsyncIterator[tuple[Course, Secured]]:
    """A secured broker with the topics, the users and all listed ACLs."""
    with tempfile.TemporaryDirectory(prefix="acls-") as directory:
        async with secured(Path(directory)) as broker, Stage("acls") as stage:
            for user in USERS:
                await broker.add_user(user)
            await broker.grant([each.acl for each in listed()])
            topics = {
                name: Topic(1, SETTINGS.get(field, {}))
                for field, name in TOPICS.model_dump().items()
            }
            await create_topics(broker.bootstrap, topics)
            stage.bootstrap = broker.bootstrap
            url = await stage.start_twin(*LATENCY)
            yield Course(stage, broker, url, seconds_max), broker


async def suffices(played: Course, user: str) -> None:
    """Play the course of one user.

    Raises:
        Refused: the broker does not let it do something.
    """
    await {
        "dispatcher": played.dispatcher,
        "upstream": played.upstream,
        "operator": played.operator,
    }[user]()


async def superfluous(users: Sequence[str], tell: Callable[[str], None]) -> list[Listed]:
    """Those of the users' ACLs without which nothing fails."""
    spare = []
    async with course() as (played, broker):
        for user in users:
            await suffices(played, user)
            tell(f"{user}: all of them suffice")
            for each in (each for each in listed() if each.user == user):
                await broker.revoke(each.acl)
                played.seconds_max = FAIL_SECONDS
                try:
                    await suffices(played, user)
                except Refused as refused:
                    tell(f"needed: {each.line}: {refused}")
                else:
                    tell(f"NOT NEEDED: {each.line}")
                    spare.append(each)
                await broker.grant([each.acl])
                played.seconds_max = SUFFICE_SECONDS
                await played.mend()
    return spare
