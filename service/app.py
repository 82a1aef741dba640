"""Composition root: builds the adapters, starts and stops them in order.

Knows nothing of the command line; the only place where everything is known by its concrete type.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import signal
import socket
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from os import PathLike
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from service.adapters.clock import SystemClock
from service.adapters.kafka.broker import KafkaBroker
from service.adapters.kafka.connection import describe
from service.adapters.kafka.control import KafkaControl
from service.adapters.kafka.topics import ensure_topics
from service.adapters.logs import Logs
from service.adapters.metrics import Metrics, ReplayStandings
from service.adapters.provider import HttpProvider
from service.adapters.web import (
    Samples,
    Standings,
    WebControl,
    WebLetters,
    WebPage,
    WebReplays,
    WebServer,
)
from service.core.listening import Observers
from service.core.shared import Said, stay_seconds
from service.errors import ConfigurationError, DispatcherError
from service.pipeline.flows import Flows, make_intake
from service.pipeline.lane import World
from service.pipeline.replica import Replica
from service.pipeline.status import status_of
from service.settings import Settings

if TYPE_CHECKING:
    from service.adapters.redis import RedisWindow
    from service.adapters.tracing import Tracing

CONNECT_SECONDS = 5.0
"""For the provider to accept a connection when `check --connect` asks."""


async def run(
    settings: Settings, standings: Standings, config_path: str | PathLike[str] | None = None
) -> None:
    """Dispatch until SIGTERM or SIGINT, then drain.

    Args:
        settings: of the whole process.
        standings: tells where each replay stands, for the page.
        config_path: the file they came from, for commands that the page starts.

    Raises:
        DispatcherError: it cannot start, or must not go on; the text names the way out.
    """
    owner = secrets.token_hex(8)
    client_id = f"call-dispatcher-{socket.gethostname()}-{owner}"
    tracing = start_tracing(settings, client_id)
    broker = KafkaBroker(settings, client_id)
    await ensure_topics(settings, broker.options, lanes=None, create=settings.kafka.create_topics)
    registry = CollectorRegistry()
    metrics, logs, samples = Metrics(registry, settings), Logs(), Samples()
    flows = Flows(settings)
    provider = _provider(settings)
    window = shared_window(settings)
    world = World(
        settings,
        broker,
        provider,
        SystemClock(),
        Observers([metrics, logs, samples, *tracing]),
        random.Random(secrets.randbits(64)),  # noqa: S311 - jitter and batch ids, nothing secret
        owner,
        make_intake(settings, flows),
        flows,
        window,
    )
    replica = Replica(world, broker.election())
    status = partial(status_of, replica, world)
    control = KafkaControl(settings, broker)
    replays = WebReplays(settings, standings, config_path)
    parts = (
        WebPage(settings, control, samples),
        WebControl(settings, control, flows.accounts),
        WebLetters(settings, config_path),
        replays,
    )
    routes = [route for part in parts for route in part.routes()]
    web = WebServer(settings, status, registry, routes)
    async with contextlib.AsyncExitStack() as stack:
        for each in tracing:
            stack.callback(each.close)
        stack.push_async_callback(provider.close)
        if window is not None:
            stack.push_async_callback(window.close)
        metrics.observe(status)
        stack.push_async_callback(replays.stop)
        await web.start()
        stack.push_async_callback(web.stop)
        for name, loop_of in (
            ("samples", samples.run(status)),
            ("replays", ReplayStandings(registry, standings).run()),
        ):
            stack.callback(asyncio.create_task(loop_of, name=name).cancel)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(logs.loop_trouble)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, replica.stop)
        logs.started(settings, web.address)
        await replica.run()
        logs.stopped()


def _provider(settings: Settings) -> HttpProvider:
    user_agent = f"call-dispatcher/{version('call-dispatcher')}"
    return HttpProvider(settings.provider.url, settings.provider.timeout_seconds, user_agent)


def shared_window(settings: Settings) -> RedisWindow | None:
    """The window of all lanes of the group, if they share one; only then is Redis imported."""
    provider, kafka = settings.provider, settings.kafka
    if provider.limit_scope != "redis":
        return None
    from service.adapters.redis import RedisWindow  # noqa: PLC0415

    assert provider.redis_url is not None, "the settings refuse limit_scope redis without it"
    key = f"{kafka.group_id}.{kafka.topics.checkpoints}.limit"
    return RedisWindow(provider.redis_url.get_secret_value(), key)


def start_tracing(settings: Settings, instance: str) -> list[Tracing]:
    """The tracing observer, if one is wanted; its libraries are imported only then.

    Raises:
        ConfigurationError: they are not installed, or an OTEL_… variable has no meaning.
    """
    if not settings.tracing.enabled:
        return []
    try:
        from service.adapters.tracing import Tracing  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"tracing.enabled needs {error.name}: pip install call-dispatcher[tracing]"
        ) from error
    return [Tracing(instance, settings.batching.calls_max)]


def connect_checks(settings: Settings) -> Sequence[str]:
    """What `check --connect` finds wrong with broker, topics, provider and Redis, a line each."""
    return asyncio.run(_connect_checks(settings))


async def _connect_checks(settings: Settings) -> list[str]:
    found = []
    try:
        broker = KafkaBroker(settings, "call-dispatcher-check")
        await ensure_topics(settings, broker.options, lanes=None, create=False)
    except DispatcherError as error:
        found.append(str(error))
    url = urlsplit(settings.provider.url)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(
                url.hostname, port, ssl=True if url.scheme == "https" else None
            )
        writer.close()
    except (OSError, TimeoutError) as error:
        found.append(f"provider.url: {url.hostname}:{port} cannot be reached: {describe(error)}")
    window = shared_window(settings)
    if window is not None:
        try:
            await window.exchange(_greeting(settings))
        except DispatcherError as error:
            found.append(f"provider.redis_url: {error}")
        finally:
            await window.close()
    return found


def _greeting(settings: Settings) -> Said:
    """Words to the shared window that ask for nothing and change nothing."""
    provider = settings.provider
    return Said(
        lane=0,
        lanes=1,
        calls_max=provider.calls_per_minute,
        requests_max=provider.requests_per_minute,
        stay_seconds=stay_seconds(provider.timeout_seconds),
        own_calls=0,
        own_requests=0,
    )
