"""`limit_scope: redis` with real processes, a real Redis, and the provider's clock.

A new window is full for over a minute, so there is one course here; `make limit SCOPE=redis` has
the long ones.
"""

from __future__ import annotations

import asyncio

import pytest

from service.app import connect_checks
from service.core.shared import REGISTERED_SECONDS, stay_seconds
from service.settings import Settings
from tests.support.dispatcher import call, log_lines, scene, the_lane, until
from tests.support.redis import redis_server

TIMEOUT_SECONDS = 1.0
CLOSED_SECONDS = REGISTERED_SECONDS + stay_seconds(TIMEOUT_SECONDS)
LIMIT = 100


@pytest.mark.timeout(300)
async def test_calls_go_through_the_window_in_redis(kafka: str) -> None:
    """Sent while the window is new, or above it, they would be beyond what the account pays for."""
    async with redis_server() as redis:
        provider = {
            "limit_scope": "redis",
            "redis_url": redis.url,
            "timeout_seconds": TIMEOUT_SECONDS,
            "calls_per_minute": LIMIT,
        }
        options = ("--limit", str(LIMIT))
        async with scene(kafka, *options, provider=provider, batching={"calls_max": 10}) as stage:
            dispatcher = await stage.run()
            await stage.publish([call(number) for number in range(LIMIT + 30)])

            async def standing() -> object:
                return (await the_lane(dispatcher)).get("standing")

            async def silent() -> bool:
                return await standing() == "silent"

            await until(silent)
            assert (await stage.twin.summary()).requests == 0
            await asyncio.sleep(CLOSED_SECONDS - 5)
            await stage.placed_calls(LIMIT)
            assert await standing() == "shared"
            assert (await the_lane(dispatcher))["minutes-until-drained"] > 0
            await redis.flush()
            await until(silent)
            summary = await stage.twin.summary()
            assert summary.calls_accepted == LIMIT
            assert summary.windows_above_limit == 0
            told = [line["standing"] for line in log_lines(dispatcher, "limit_standing")]
            assert told == ["silent", "shared", "silent"]
            stage.published.clear()


async def test_check_connect_tries_redis() -> None:
    """A wrong address or password shows before a deployment, and the password does not."""
    async with redis_server() as redis:
        found = await asyncio.to_thread(connect_checks, _settings(redis.url))
        assert not any("redis" in line for line in found)
        await redis.kill()
        found = await asyncio.to_thread(connect_checks, _settings(redis.url))
        (line,) = [line for line in found if "redis" in line]
        assert line.startswith("provider.redis_url: Redis does not serve the limit: ")
        assert "pass-word" not in line


def _settings(url: str) -> Settings:
    provider = {
        "url": "http://127.0.0.1:9/",
        "security_id": "a" * 64,
        "limit_scope": "redis",
        "redis_url": url,
    }
    kafka = {"bootstrap_servers": "127.0.0.1:9"}
    return Settings.model_validate({"provider": provider, "kafka": kafka})
