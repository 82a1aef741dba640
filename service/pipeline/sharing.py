"""The limit when all lanes draw on one window: asks it for grants, and stays registered there.

Knows nothing of where the window lives, nor of the laws that make the sum right (core/shared.py):
it carries words to and fro. The lane's own guard counts on, for a successor and for the time when
the window cannot be asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from service.core.facts import StandingChanged, Trouble
from service.core.rate import Wait
from service.core.shared import (
    BEGIN_SECONDS_MAX,
    CALL_SECONDS_MAX,
    OWNERSHIP_SECONDS_MAX,
    Ended,
    Heard,
    Join,
    Place,
    Said,
    Standing,
    stay_seconds,
)
from service.errors import BrokerUnavailable, WindowUnavailable
from service.pipeline.bell import Bell
from service.pipeline.state import LaneState
from service.pipeline.window import Grant, Lease, Window
from service.ports import Clock, SharedWindow

RENEW_SECONDS = 3.0
"""Between two exchanges of a lane that asks for nothing: a third of its registration."""
ASK_AGAIN_SECONDS = 1.0
"""Longest wait between two asks of one send: others may have left something sooner."""


class Sharing(Window):
    """The window of all lanes as one lane sees it."""

    def __init__(
        self,
        state: LaneState,
        window: SharedWindow,
        clock: Clock,
        owns: Callable[[], Awaitable[bool]],
        earlier: tuple[float, float],
    ) -> None:
        """Nothing is asked yet.

        Args:
            state: of the lane.
            window: of all lanes.
            clock: for the age of a grant.
            owns: whether the lane is this process's, asked just now.
            earlier: for how long an earlier owner may still send, and a request of it lasts.
        """
        self._heard: Heard | None = None
        """The last answer; None while the window does not answer."""
        self._next = (0.0, 0)
        """(loop time before which the window has no room for so many calls, calls)"""
        self._renew = Bell()
        super().__init__(state)
        provider = state.settings.provider
        self._window = window
        self._clock = clock
        self._owns = owns
        self._stay = stay_seconds(provider.timeout_seconds)
        lease_seconds, timeout_seconds = earlier
        longest = max(self._stay, stay_seconds(timeout_seconds))
        self._standing = Standing(self._time(), longest, lease_seconds)
        self._never_alone = provider.redis_down == "stop"
        self._server_ahead_ms = 0.0
        """Of the window's clock before the loop's; at least so much."""
        self._ended: list[tuple[Place, float | None]] = []
        self._rest_until = 0.0
        self._told = ""

    def shape(self) -> None:
        """See `Window.shape`."""
        self._next = (0.0, 0)
        super().shape()

    def _limits(self) -> tuple[int, int]:
        return self._state.limits

    @property
    def standing(self) -> str:
        """See `Window.standing`."""
        heard = self._heard
        if heard is None or heard.closed:
            return "alone" if self._may_go_alone() else "silent"
        return "shared" if heard.all_registered else "even"

    def _may_go_alone(self) -> bool:
        return not self._never_alone and self._standing.may_go_alone(self._time())

    # Staying registered

    async def run(self, lease: Lease) -> None:
        """See `Window.run`."""
        while True:
            if self._heard is None:
                # A registration must say until when it may be made, by the window's own clock.
                await self._exchange()
            if self._heard is not None:
                await self._exchange(join=await self._join(lease))
            self._tell()
            await self._renew.wait(RENEW_SECONDS)

    async def _join(self, lease: Lease) -> Join:
        join = self._standing.join(self._time())
        if join is Join.NO or lease.leased():
            return join
        try:
            async with asyncio.timeout(OWNERSHIP_SECONDS_MAX):
                return join if await self._owns() else Join.NO
        except (BrokerUnavailable, TimeoutError):
            return Join.NO

    def _tell(self) -> None:
        standing = self.standing
        if standing != self._told:
            self._told = standing
            self._state.observer.tell(StandingChanged(self._state.lane, standing))

    # Asking

    def has_room(self, calls: int, requests: int, now: float) -> bool:
        """See `Window.has_room`."""
        heard, (calls_max, requests_max) = self._heard, self._state.limits
        if heard is None or heard.closed:
            return self._may_go_alone() and super().has_room(calls, requests, now)
        if not heard.all_registered:
            return super().has_room(calls, requests, now)
        fits = heard.calls + calls <= calls_max and heard.requests + requests <= requests_max
        return fits and self._bucket_has(calls, requests)

    async def grab(self, calls: int, lease: Lease) -> Grant | None:  # noqa: ARG002 - of all forms
        """None: each grant is asked for."""
        return None

    async def _try(self, calls: int, lease: Lease) -> Grant | Wait:
        now, (at, like) = self._time(), self._next
        if self._heard is None:
            return self._alone(calls)
        wait = at - now if calls >= like else 0.0
        if not self._heard.all_registered:
            own = self._state.guard.ask(calls, now)
            wait = max(wait, own.seconds if isinstance(own, Wait) else 0.0)
        if wait > 0:
            return Wait(min(wait, ASK_AGAIN_SECONDS))
        # A grant that could not be used would have to be given back.
        await lease.lease()
        asked_at = self._clock.boot()
        heard = await self._exchange(calls)
        if heard is None:
            self._renew.ring()
        if heard is None or heard.closed:
            return self._alone(calls)
        if heard.place is None:
            return Wait(min(heard.wait_seconds, ASK_AGAIN_SECONDS))
        grant = Grant(self._state.guard.grant(calls), heard.place)
        self._next = (self._time() + heard.wait_seconds, calls)
        if self._clock.boot() - asked_at > BEGIN_SECONDS_MAX:
            self.give_back(grant)
            return Wait(0.0)
        return grant

    def _alone(self, calls: int) -> Grant | Wait:
        if not self._may_go_alone():
            return Wait(ASK_AGAIN_SECONDS)
        got = self._own_grant(calls)
        if isinstance(got, Wait):
            return Wait(min(got.seconds, ASK_AGAIN_SECONDS))
        self._standing.went_alone(self._time())
        return got

    # What becomes of a grant

    def give_back(self, grant: Grant) -> None:
        """See `Window.give_back`."""
        if grant.place is not None:
            self._ended.append((grant.place, None))
            self._next = (0.0, 0)
        super().give_back(grant)

    def end(self, grant: Grant) -> None:
        """See `Window.end`."""
        if grant.place is not None:
            self._ended.append((grant.place, self._time()))
        super().end(grant)

    def rest(self, seconds: float) -> None:
        """See `Window.rest`."""
        self._rest_until = max(self._rest_until, self._time() + seconds)
        self._renew.ring()

    async def close(self) -> None:
        """See `Window.close`."""
        if self._ended and self._heard is not None:
            await self._exchange()

    async def _exchange(self, calls: int = 0, join: Join = Join.NO) -> Heard | None:
        now = self._time()
        if join is not Join.NO:
            self._standing.asked_to_join(now)
        said = self._said(now, calls, join)
        try:
            heard = await self._window.exchange(said)
        except WindowUnavailable as error:
            # Ends that may not have been heard are not said twice: they count longer instead.
            self._heard = None
            self._state.observer.tell(Trouble("limit", str(error)))
            return None
        self._server_ahead_ms = heard.now - self._time() * 1000
        if self._rest_until <= now + said.rest_seconds:
            self._rest_until = 0.0
        if heard.registered:
            self._standing.joined()
        self._heard = heard
        return heard

    def _said(self, now: float, calls: int, join: Join) -> Said:
        state = self._state
        calls_max, requests_max = state.limits
        own_calls, own_requests = state.guard.used(now)
        ended, self._ended = self._ended, []
        return Said(
            lane=state.lane,
            lanes=state.lanes,
            calls_max=calls_max,
            requests_max=requests_max,
            stay_seconds=self._stay,
            own_calls=own_calls,
            own_requests=own_requests,
            calls=calls,
            burst_calls=self._calls_max,
            join=join,
            join_until=int((now + CALL_SECONDS_MAX) * 1000 + self._server_ahead_ms),
            known_seconds=self._standing.known_seconds,
            rest_seconds=max(0.0, self._rest_until - now),
            ended=tuple(Ended(place, None if at is None else now - at) for place, at in ended),
        )
