"""The window guard of all lanes in Redis: one script, one key, the server's clock.

Knows nothing of when a lane asks. Needs Redis 7 or Valkey. A command is never repeated by the
client: an end reported twice would be taken off twice.
"""

from __future__ import annotations

import asyncio
from importlib.resources import files

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.core.rate import MARGIN_SECONDS, STEPS_PER_SECOND, WINDOW_SECONDS
from service.core.shared import (
    CALL_SECONDS_MAX,
    REGISTERED_SECONDS,
    WANT_SECONDS,
    Heard,
    Place,
    Said,
)
from service.errors import WindowUnavailable

KEEP_SECONDS = 86_400
"""After the last exchange. A window that is gone counts as full, so a night's rest must not lose
it; a dispatcher that is no more leaves nothing behind."""
STEP_MS = 1000 // STEPS_PER_SECOND


class RedisWindow:
    """`SharedWindow` of one group of lanes."""

    def __init__(
        self,
        url: str,
        key: str,
        window_seconds: float = WINDOW_SECONDS,
        registered_seconds: float = REGISTERED_SECONDS,
    ) -> None:
        """Nothing is connected yet.

        Args:
            url: `redis://` or `rediss://`; it may hold a password, so nobody is shown it.
            key: the one key, which the group alone uses.
            window_seconds: how long an attempt counts after its end; tests have no minute.
            registered_seconds: how long a registration lasts.
        """
        self._key = key
        self._constants = (
            *(KEEP_SECONDS * 1000, STEP_MS, _ms(window_seconds + MARGIN_SECONDS)),
            *(_ms(registered_seconds), _ms(WANT_SECONDS)),
        )
        self._redis: Redis = Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=CALL_SECONDS_MAX,
            socket_connect_timeout=CALL_SECONDS_MAX,
        )
        source = files("service.adapters").joinpath("window.lua").read_text("utf-8")
        self._script = self._redis.register_script(source)

    async def exchange(self, said: Said) -> Heard:
        """See `SharedWindow.exchange`."""
        try:
            async with asyncio.timeout(CALL_SECONDS_MAX):
                answer: list[int] = await self._script(keys=[self._key], args=self._words(said))
        except (RedisError, OSError, TimeoutError) as error:
            raise WindowUnavailable(f"Redis does not serve the limit: {_what(error)}") from error
        now, born, registered, all_registered, closed, calls, requests, step, wait_ms = answer
        return Heard(
            now=now,
            registered=bool(registered),
            all_registered=bool(all_registered),
            closed=bool(closed),
            calls=calls,
            requests=requests,
            place=Place(born, step, said.calls) if step else None,
            wait_seconds=wait_ms / 1000,
        )

    def _words(self, said: Said) -> list[int]:
        words = [
            *self._constants,
            *(_ms(said.stay_seconds), said.lane, said.lanes),
            *(said.calls_max, said.requests_max),
            *(said.own_calls, said.own_requests, said.calls, said.burst_calls),
            *(int(said.join), said.join_until, _ms(said.known_seconds), _ms(said.rest_seconds)),
        ]
        for ended in said.ended:
            # An age is rounded down: younger counts longer.
            age_ms = -1 if ended.age_seconds is None else int(ended.age_seconds * 1000)
            words += (ended.place.born, ended.place.step, ended.place.calls, age_ms)
        return words

    async def close(self) -> None:
        """Give the connections up."""
        await self._redis.aclose()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _what(error: Exception) -> str:
    return str(error).replace("\n", " ") or type(error).__name__
