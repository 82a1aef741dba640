"""Plays each change of a credential on two replicas that a secured broker lets in.

Knows nothing of the command line.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from service.demo.oracle import Verification
from service.demo.stage import Dispatcher
from tests.support.dispatcher import Scene, Sections, call, scene
from tests.support.secured import OTHER_MECHANISM, Secured, secured

BURST_CALLS = 20
BURST_SECONDS = 0.3
FLOWS = 5
REPLICAS = 2
STEADY_SECONDS = 3.0
"""Of load before a change and after it."""
NEW_PASSWORD = "Summer-is-Over-8"
LAST_PASSWORD = "Spring-is-Late-9"
USERS = ("before", "after")
LATENCY = ("--latency-ms", "50-400")
"""So that requests are under way whenever a replica ends."""
TOKENS = ("The-token-of-before", "The-token-of-afterwards")


@dataclass(slots=True)
class Rotation:
    """Two replicas under load; `pauses` holds the longest time without a request, by change."""

    stage: Scene
    broker: Secured
    tell: Callable[[str], None]
    running: list[Dispatcher] = field(default_factory=list)
    pauses: dict[str, float] = field(default_factory=dict)
    found: list[Verification] = field(default_factory=list)
    """By the oracle, after each change."""
    names: Iterator[int] = field(default_factory=itertools.count)
    calls: Iterator[int] = field(default_factory=itertools.count)

    async def play(self) -> None:
        """All changes, one after the other."""
        before, after = (self.broker.scram(user) for user in USERS)
        for _ in range(REPLICAS):
            self.running.append(await self.replica({"kafka": before}))
        await self.change("user", lambda: self.roll(kafka=after))
        await self.change("mechanism", self.other_mechanism)
        await self.change("password_in_place", self.password_in_place)
        shutil.copy(self.broker.file("client"), self.broker.file("own"))
        shows = self.broker.mtls(cert_file=self.broker.file("own"))
        await self.change("to_certificate", lambda: self.roll(kafka=shows))
        shutil.copy(self.broker.file("renewed"), self.broker.file("own"))
        await self.change("certificate", lambda: self.roll(kafka=shows))
        both = self.broker.mtls(cert_file=self.broker.file("own"), ca_file=self.both_authorities())
        await self.change("authority", lambda: self.roll(kafka=both))
        await self.change("token", lambda: self.new_token(both))

    async def replica(self, config: Sections) -> Dispatcher:
        """One more, ready as owner or standby."""
        return await self.stage.run(f"replica-{next(self.names)}", **config)

    async def roll(self, **config: dict[str, Any]) -> None:
        """Replace them, one after the other."""
        for old in list(self.running):
            self.running.remove(old)
            await old.stop()
            self.running.append(await self.replica(config))

    async def change(self, name: str, making: Callable[[], Awaitable[None]]) -> None:
        """Make it under load, and compare."""
        began, enough = time.time(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.publish(enough))
            await asyncio.sleep(STEADY_SECONDS)
            await making()
            await asyncio.sleep(STEADY_SECONDS)
            enough.set()
        self.pauses[name] = await self.longest_pause(began)
        self.found.append(await self.stage.settled())
        self.tell(f"{name}: no request for {self.pauses[name]} s at most")

    async def publish(self, enough: asyncio.Event) -> None:
        """Bursts, each of them whole."""
        while not enough.is_set():
            numbers = itertools.islice(self.calls, BURST_CALLS)
            await self.stage.publish([call(each, f"Flow000{each % FLOWS}") for each in numbers])
            await asyncio.sleep(BURST_SECONDS)

    async def longest_pause(self, began: float) -> float:
        """The longest time since `began` in which no request came to the provider."""
        arrivals = [each.at for each in await self.stage.twin.requests() if each.at >= began]
        times = [began, *arrivals, time.time()]
        return round(max(after - before for before, after in itertools.pairwise(times)), 1)

    async def other_mechanism(self) -> None:
        """Its password is one more: Kafka keeps one a user and mechanism."""
        await self.broker.add_user("after", NEW_PASSWORD, OTHER_MECHANISM)
        await self.roll(
            kafka=self.broker.scram("after", mechanism=OTHER_MECHANISM, password=NEW_PASSWORD)
        )

    async def password_in_place(self) -> None:
        """What is connected stays so, until it is replaced."""
        await self.broker.add_user("after", LAST_PASSWORD, OTHER_MECHANISM)
        placed = (await self.stage.twin.summary()).calls_accepted
        await self.stage.placed_calls(placed + BURST_CALLS)
        await self.roll(
            kafka=self.broker.scram("after", mechanism=OTHER_MECHANISM, password=LAST_PASSWORD)
        )

    async def new_token(self, kafka: dict[str, Any]) -> None:
        """Each replica knows the one that it was started with, and no other."""
        for token in TOKENS:
            await self.roll(kafka=kafka, http={"token": token})
        taken = [await self.says(*pair) for pair in itertools.product(self.running, TOKENS)]
        assert taken == [HTTPStatus.UNAUTHORIZED, HTTPStatus.ACCEPTED] * len(self.running), taken

    async def says(self, replica: Dispatcher, token: str) -> int:
        """The status with which a replica answers a command under this token."""
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
            session.delete(f"{replica.address}/limit") as answer,
        ):
            return answer.status

    def both_authorities(self) -> str:
        """A file with the authority of today and that of tomorrow."""
        file = self.broker.directory / "both.pem"
        parts = (Path(self.broker.file(name)) for name in ("ca", "stranger-ca"))
        file.write_bytes(b"".join(part.read_bytes() for part in parts))
        return str(file)


async def play(tell: Callable[[str], None]) -> Rotation:
    """A broker, a twin, two replicas, and all the changes.

    Raises:
        AssertionError: a promise was broken; the text holds what the oracle found.
    """
    with tempfile.TemporaryDirectory(prefix="rotation-") as directory:
        async with secured(Path(directory), OTHER_MECHANISM) as broker:
            for user in USERS:
                await broker.add_user(user)
            await broker.grant([acl for user in (*USERS, "operator") for acl in _everything(user)])
            async with scene(broker.bootstrap, *LATENCY) as stage:
                rotation = Rotation(stage, broker, tell)
                await rotation.play()
                return rotation


def _everything(user: str) -> list[ACL]:
    return [
        ACL(
            f"User:{user}",
            "*",
            ACLOperation.ALL,
            ACLPermissionType.ALLOW,
            ResourcePattern(kind, "*"),
        )
        for kind in (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID)
    ]
