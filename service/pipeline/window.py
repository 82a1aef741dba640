"""The one place that a send asks: the bucket, which only smooths, and the window guard, the law.

Knows nothing of batches or of what an answer means, nor of other lanes: the limit here is the
lane's own share. sharing.py has the window that all lanes share.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec
from aiolimiter import AsyncLimiter

from service.core.rate import WINDOW_SECONDS, Wait
from service.core.shared import Place
from service.pipeline.bell import Bell
from service.pipeline.state import LaneState

TURN_SECONDS = 0.1
"""What the limit lets through in this time may be sealed besides: a turn takes less."""


class Grant(msgspec.Struct, frozen=True):
    """A request may start now."""

    token: int
    """In the lane's own guard."""
    place: Place | None
    """In the shared window, if that gave it."""


class Lease(Protocol):
    """Whether the lane still is this process's to send for."""

    def leased(self) -> bool:
        """Whether a send may start now."""
        ...

    async def lease(self) -> None:
        """Return when a send may start."""
        ...


class Window:
    """The limit as one lane sees it."""

    def __init__(self, state: LaneState) -> None:
        self._state = state
        self._time = asyncio.get_running_loop().time
        self._changed = Bell()
        self._calls_max = state.settings.batching.calls_max
        self.shape()

    def shape(self) -> None:
        """Smooth towards the limit as it is now; the new buckets begin full."""
        calls, requests = self._limits()
        self._calls_bucket = AsyncLimiter(2 * self._calls_max, 120 * self._calls_max / calls)
        self._requests_bucket = AsyncLimiter(2, 120 / requests)
        self._changed.ring()

    def _limits(self) -> tuple[int, int]:
        """Calls and requests a minute that this lane may reach."""
        guard = self._state.guard
        return guard.calls_max, guard.requests_max

    async def start(self) -> None:
        """The bucket starts empty: the predecessor may have used what it held."""
        await self._calls_bucket.acquire(2 * self._calls_max)
        await self._requests_bucket.acquire(2)

    async def run(self, lease: Lease) -> None:
        """What goes on beside the sends, until cancelled; nothing here."""

    def has_room(self, calls: int, requests: int, now: float) -> bool:
        """Whether so much would be granted at once, as far as is known."""
        return self._bucket_has(calls, requests) and not isinstance(
            self._state.guard.ask(calls, now, requests), Wait
        )

    def _bucket_has(self, calls: int, requests: int) -> bool:
        calls_max, requests_max = self._limits()
        turns = WINDOW_SECONDS / TURN_SECONDS
        return self._calls_bucket.has_capacity(
            calls - calls_max / turns
        ) and self._requests_bucket.has_capacity(requests - requests_max / turns)

    async def ask(self, calls: int, lease: Lease) -> Grant:
        """Wait until a request with so many calls may start, with the lease asked last."""
        await lease.lease()
        await self._calls_bucket.acquire(min(calls, 2 * self._calls_max))
        await self._requests_bucket.acquire()
        while True:
            match await self._try(calls, lease):
                case Wait(seconds):
                    await self._changed.wait(seconds)
                case Grant() as grant if lease.leased():
                    return grant
                case Grant() as grant:
                    self.give_back(grant)
                    await lease.lease()

    async def grab(self, calls: int, lease: Lease) -> Grant | None:
        """What `ask` gives, if there is nothing to wait for; it never suspends."""
        smoothed = min(calls, 2 * self._calls_max)
        if not (
            lease.leased()
            and self._calls_bucket.has_capacity(smoothed)
            and self._requests_bucket.has_capacity()
        ):
            return None
        got = self._own_grant(calls)
        if isinstance(got, Wait):
            return None
        await self._calls_bucket.acquire(smoothed)
        await self._requests_bucket.acquire()
        return got

    async def _try(self, calls: int, lease: Lease) -> Grant | Wait:  # noqa: ARG002 - of all forms
        return self._own_grant(calls)

    def _own_grant(self, calls: int) -> Grant | Wait:
        guard = self._state.guard
        match guard.ask(calls, self._time()):
            case Wait() as wait:
                return wait
            case _:
                return Grant(guard.grant(calls), None)

    def give_back(self, grant: Grant) -> None:
        """The request will not begin."""
        self._state.guard.cancel(grant.token)
        self._changed.ring()

    def end(self, grant: Grant) -> None:
        """The request is over; it leaves the window a minute from now."""
        self._state.guard.end(grant.token, self._time())
        self._changed.ring()

    def rest(self, seconds: float) -> None:
        """The provider asked for a pause."""

    async def close(self) -> None:
        """All requests are over."""

    @property
    def standing(self) -> str:
        """By what the lane sends, for people; see `LaneStatus.standing`."""
        return "lane"
