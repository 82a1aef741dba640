"""The `Election` port on the simulated group: a member's heartbeats, and what they bring.

Knows nothing of lanes' work.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable

from service.errors import BrokerUnavailable
from tests.simulation.group import Member
from tests.simulation.kafka import SimKafka
from tests.simulation.link import CALL_SECONDS, Link


class SimElection:
    """`Election` of one process."""

    def __init__(self, kafka: SimKafka, link: Link, client_id: str, session_seconds: float) -> None:
        self._kafka = kafka
        self._link = link
        self._client_id = client_id
        self._session_seconds = session_seconds
        self._member: Member | None = None
        self._on_lanes: Callable[[frozenset[int]], None] | None = None
        self._told = -1
        self._beater: asyncio.Task[None] | None = None
        self._context = contextvars.copy_context()

    async def join(self, on_lanes: Callable[[frozenset[int]], None]) -> None:
        """See `Election.join`."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._link.ask(lambda: None)
        except TimeoutError as error:
            raise BrokerUnavailable("Kafka did not answer") from error
        self._on_lanes = on_lanes
        self._beater = asyncio.create_task(self._beat(), name="heartbeat")

    async def _beat(self) -> None:
        """Heartbeats, and the news that they bring."""
        while True:
            if self._link.open and self._link.heartbeats_up:
                member = self._member
                if member is None or not self._kafka.group.beat(member):
                    await asyncio.sleep(self._link.delay())
                    self._member = member = self._kafka.group.join(
                        self._client_id, self._session_seconds, self._assigned
                    )
                elif member.generation > self._told and self._kafka.group.stable:
                    self._tell(member)
            await asyncio.sleep(self._session_seconds / 10)

    def _assigned(self, member: Member) -> None:
        """Outside of the process: the coordinator's answer is on its way."""
        if self._link.open and self._beater is not None:
            self._kafka.loop.call_soon(self._tell, member, context=self._context)

    def _tell(self, member: Member) -> None:
        if member is self._member and self._on_lanes is not None:
            self._told = member.generation
            self._on_lanes(member.partitions)

    async def leave(self) -> None:
        """See `Election.leave`."""
        self._on_lanes = None
        if self._beater is not None:
            self._beater.cancel()
            self._beater = None
        member, self._member = self._member, None
        if member is not None and self._link.open:
            self._kafka.loop.after(self._link.delay(), self._kafka.group.leave, member)
