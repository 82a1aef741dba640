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
from importlib.metadata import version

from prometheus_client import CollectorRegistry

from service.adapters.clock import SystemClock
from service.adapters.kafka.broker import KafkaBroker
from service.adapters.kafka.topics import ensure_topics
from service.adapters.logs import Logs
from service.adapters.metrics import Metrics
from service.adapters.provider import HttpProvider
from service.adapters.web import WebServer
from service.core.codec import overhead_bytes
from service.core.intake import Intake, IntakeRules
from service.pipeline.flows import Flows
from service.pipeline.lane import World
from service.pipeline.replica import Replica
from service.pipeline.status import status_of
from service.ports import Fact, Observer
from service.settings import Settings


class Observers:
    """Tells every fact to each of several observers."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def tell(self, fact: Fact) -> None:
        """See `Observer.tell`."""
        for observer in self._observers:
            observer.tell(fact)


def make_intake(settings: Settings, flows: Flows) -> Intake:
    """The intake of this configuration; `publish` uses the same."""
    rules = IntakeRules(
        value_bytes_max=settings.events.value_bytes_max,
        meta_bytes_max=settings.events.meta_bytes_max,
        number_check=settings.provider.number_check,
        foreign_numbers=settings.provider.foreign_numbers,
        body_bytes_max=settings.batching.body_bytes_max,
    )

    def overhead(flow_id: str) -> int:
        return overhead_bytes(flows.recipe(flow_id), flow_id, flows.flow(flow_id).security_id)

    return Intake(rules, flows.recipe, overhead)


async def run(settings: Settings) -> None:
    """Dispatch until SIGTERM or SIGINT, then drain.

    Raises:
        DispatcherError: it cannot start, or must not go on; the text names the way out.
    """
    owner = secrets.token_hex(8)
    client_id = f"call-dispatcher-{socket.gethostname()}-{owner}"
    broker = KafkaBroker(settings, client_id)
    await ensure_topics(settings, broker.options, lanes=None, create=settings.kafka.create_topics)
    registry = CollectorRegistry()
    metrics, logs = Metrics(registry, settings), Logs()
    provider_settings = settings.provider
    flows = Flows(settings)
    provider = HttpProvider(
        provider_settings.url,
        provider_settings.timeout_seconds,
        f"call-dispatcher/{version('call-dispatcher')}",
    )
    world = World(
        settings,
        broker,
        provider,
        SystemClock(),
        Observers([metrics, logs]),
        random.Random(secrets.randbits(64)),
        owner,
        make_intake(settings, flows),
        flows,
    )
    replica = Replica(world, broker.election())
    web = WebServer(settings, lambda: status_of(replica, world), registry)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(provider.close)
        metrics.observe(lambda: status_of(replica, world))
        await web.start()
        stack.push_async_callback(web.stop)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, replica.stop)
        logs.started(settings, web.address)
        await replica.run()
        logs.stopped()
