"""How every Kafka client of this program connects, and what its errors mean here.

Knows nothing of topics.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.errors import KafkaConnectionError, KafkaError

from service.errors import BrokerUnavailable, ConfigurationError
from service.settings import KafkaSettings

CALL_SECONDS = 15.0
"""For one exchange with the broker; a broker that restarts needs about six."""
DENIED = "an ACL is missing: docs/operations.md has those that each user needs"
STOP_SECONDS = 3.0
"""For a client's goodbye; it is given up after that, the sockets die with it."""

# Where no log is configured, as in a command for people, the client's own lines would come on
# standard error beside ours.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Constructor arguments that all aiokafka clients share.

    Raises:
        ConfigurationError: a certificate file cannot be loaded.
    """
    security = settings.security
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": security.protocol,
    }
    if security.mechanism is not None:
        options["sasl_mechanism"] = security.mechanism
        options["sasl_plain_username"] = security.username
        options["sasl_plain_password"] = (
            security.password.get_secret_value() if security.password else None
        )
    if security.protocol in {"SSL", "SASL_SSL"}:
        options["ssl_context"] = _tls_context(settings)
    return options


def _tls_context(settings: KafkaSettings) -> ssl.SSLContext:
    security = settings.security
    try:
        context = ssl.create_default_context(
            cafile=str(security.ca_file) if security.ca_file else None
        )
        if security.cert_file:
            context.load_cert_chain(
                str(security.cert_file), str(security.key_file) if security.key_file else None
            )
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"kafka.security: a certificate or key file cannot be loaded: {error}"
        ) from error
    return context


@asynccontextmanager
async def answered(what: str, seconds: float = CALL_SECONDS) -> AsyncIterator[None]:
    """Bound a block of calls in time and translate its errors.

    Raises:
        BrokerUnavailable: it took longer, or the client reported an error.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise BrokerUnavailable(f"Kafka did not answer within {seconds:g} s: {what}") from error
    except KafkaConnectionError as error:
        raise BrokerUnavailable(f"Kafka cannot be reached: {what}") from error
    except KafkaError as error:
        raise BrokerUnavailable(f"Kafka failed: {what}: {describe(error)}") from error
    except (OSError, AssertionError) as error:
        # aiokafka checks its own state with assert: a client that lost its broker trips over it.
        raise BrokerUnavailable(f"Kafka failed: {what}: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """An error's name and text in one line."""
    if type(error) is KafkaError and error.__cause__ is not None:
        # A producer's "unexpected" error: what it did not expect says more.
        error = error.__cause__
    name, text = type(error).__name__, " ".join(str(error).split())
    # aiokafka's texts begin with number and name already.
    text = re.sub(rf"^(\[Error \d+\] )?{name}(: |$)", "", text)
    said = f"{name}: {text}" if text else name
    return f"{said} ({DENIED})" if "Authorization" in name else said


async def goodbye(stop: Awaitable[None]) -> None:
    """Await a client's stop for a bounded time, whatever it raises.

    In a task of its own: aiokafka awaits tasks that it has cancelled itself, and their end must not
    be taken for our own.
    """
    task = asyncio.ensure_future(stop)
    try:
        await asyncio.wait({task}, timeout=STOP_SECONDS)
    finally:
        task.cancel()
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
