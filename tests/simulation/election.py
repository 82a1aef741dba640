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
from tests.simulation.loop import SimHandle

BEATS = 10
"""In a session timeout."""
CALM_BEATS = 3


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
        self._entry: SimHandle | None = None
        """Its request to join is on its way."""
        self._beater: SimHandle | None = None
        self._context = contextvars.copy_context()

    async def join(self, on_lanes: Callable[[frozenset[int]], None]) -> None:
        """See `Election.join`."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._link.ask(lambda: None)
        except TimeoutError as error:
            raise BrokerUnavailable("Kafka did not answer") from error
        self._on_lanes = on_lanes
        self._beat()

    def _beat(self) -> None:
        """A heartbeat, and the news that it brings; then the next one."""
        loop, member = self._kafka.loop, self._member
        if self._link.open and self._link.heartbeats_up and self._entry is None:
            if member is None or not self._kafka.group.beat(member):
                self._entry = loop.call_later(self._link.delay(), self._enter)
            elif member.generation > self._told and self._kafka.group.stable:
                self._tell(member)
        seconds = self._session_seconds / (CALM_BEATS if self._kafka.calm else BEATS)
        self._beater = loop.call_later(seconds, self._beat)

    def _enter(self) -> None:
        self._entry = None
        self._member = self._kafka.group.join(
            self._client_id, self._session_seconds, self._assigned
        )

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
        for handle in (self._beater, self._entry):
            if handle is not None:
                handle.cancel()
        self._beater = self._entry = None
        member, self._member = self._member, None
        if member is not None and self._link.open:
            self._kafka.loop.after(self._link.delay(), self._kafka.group.leave, member)
