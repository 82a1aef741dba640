"""Why no connection to Kafka comes about, in words for whoever configured it.

Knows nothing of what the connection was for. aiokafka says only that no broker took it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from service.adapters.kafka.connection import answered, describe
from service.errors import BrokerUnavailable

ASK_SECONDS = 5.0


@asynccontextmanager
async def connecting(options: dict[str, Any]) -> AsyncIterator[None]:
    """`answered`, with the reason if the first of the brokers refuses a connection of its own.

    Raises:
        BrokerUnavailable: as `answered`.
    """
    try:
        async with answered(f"connecting to {options['bootstrap_servers']}"):
            yield
    except BrokerUnavailable as error:
        why = await _refusal(options)
        if why is None:
            raise
        raise BrokerUnavailable(f"{error}: {why}") from error


async def _refusal(options: dict[str, Any]) -> str | None:
    """What one connection to the first broker fails of; None if it does not."""
    options = dict(options)
    host, _, port = options.pop("bootstrap_servers").split(",")[0].strip().rpartition(":")
    try:
        async with asyncio.timeout(ASK_SECONDS):
            connection = await create_conn(host.strip("[]"), int(port), **options)
    except TimeoutError:
        return f"{host}:{port} does not answer"
    except (OSError, KafkaError) as error:
        return _in_words(error, options.get("security_protocol", "PLAINTEXT"))
    connection.close()
    return None


def _in_words(error: OSError | KafkaError, protocol: str) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            what, see = f"the broker's certificate is refused ({error.verify_message})", "ca_file"
        case SaslAuthenticationFailed():
            what, see = "the broker refuses the user or the password", "username and password"
        case UnsupportedSaslMechanismError():
            what, see = "the broker does not offer this way to log in", "mechanism"
        case KafkaConnectionError() if isinstance(error.__cause__, ssl.SSLError):
            reason = error.__cause__.reason or "TLS failed"
            what, see = f"the broker refuses this client's certificate ({reason})", "cert_file"
        case KafkaConnectionError() | ConnectionResetError() | ssl.SSLError():
            what, see = f"the broker hangs up; does this port speak {protocol}?", "protocol"
        case ConnectionRefusedError():
            return "nobody listens there"
        case socket.gaierror():
            return "no such host is known"
        case _:
            return describe(error)
    return f"{what}; see kafka.security.{see}"
