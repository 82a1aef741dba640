"""A broker with TLS, passwords, client certificates and ACLs: all works, and refusals say why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from service.adapters.kafka.admin import admin_client
from service.adapters.kafka.connection import client_options
from service.errors import BrokerUnavailable
from service.settings import KafkaSettings
from tests.acls.course import Course
from tests.acls.run import course, suffices
from tests.support.dispatcher import Sections, command
from tests.support.operator import one_error
from tests.support.secured import Secured

Scene = tuple[Course, Secured]
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    """One broker for the whole module: it takes some seconds to start."""
    async with course() as both:
        yield both


async def test_what_is_listed_suffices_over_scram_and_tls(scene: Scene) -> None:
    """A team that grants what it is told to grant would find out at night what is missing.

    `python -m tests.acls` plays more, and takes one ACL after the other away.
    """
    played, _ = scene
    await suffices(played, "upstream")
    await played.dispatches()


async def test_a_certificate_is_a_user_too(scene: Scene) -> None:
    """Whoever has mTLS alone could not use it."""
    _, broker = scene
    code, said = await _asked(broker, broker.mtls())
    assert code == 0, said


REFUSALS: dict[str, tuple[str, dict[str, Any], str]] = {
    "an unknown user": ("SCRAM", {"username": "nobody"}, "username and password"),
    "another mechanism": ("SCRAM", {"mechanism": "SCRAM-SHA-256"}, "mechanism"),
    "no authority": ("SCRAM", {"ca_file": None}, "local issuer certificate); see kafka.security"),
    "an expired certificate": ("EXPIRED", {}, "certificate has expired); see kafka.security"),
    "another host's certificate": ("OTHERHOST", {}, "is not valid for '127.0.0.1'"),
    "a port without TLS": ("PLAIN", {}, "does this port speak SASL_SSL?"),
}


async def test_a_password_that_is_refused_is_one_clear_line(scene: Scene) -> None:
    """An operator would get a traceback, or the password on the screen."""
    _, broker = scene
    wrong = "not-the-password"
    code, said = await _asked(broker, broker.scram("dispatcher", password=wrong))
    assert code == 1
    one_error(said, broker.at("SCRAM"), "kafka.security.username and password")
    assert wrong not in said


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_broker_that_is_not_reached_says_why(scene: Scene, case: str) -> None:
    """Somebody would look for a firewall where a certificate has expired."""
    _, broker = scene
    listener, security, why = REFUSALS[case]
    assert why in await _refusal(broker.scram("dispatcher", listener, **security))


@pytest.mark.parametrize("cert", [None, "stranger"])
async def test_a_client_that_is_not_known_is_told_so(scene: Scene, cert: str | None) -> None:
    """The broker only hangs up; which of two certificates is wrong would be a guess."""
    _, broker = scene
    said = await _refusal(broker.mtls(cert_file=broker.file(cert) if cert else None))
    assert "refuses this client's certificate" in said
    assert said.endswith("see kafka.security.cert_file")


async def test_plain_text_to_a_port_with_tls_says_so(scene: Scene) -> None:
    """The default configuration against a secured cluster is everybody's first try."""
    _, broker = scene
    said = await _refusal({"bootstrap_servers": broker.at("SCRAM")})
    assert said.endswith("does this port speak PLAINTEXT?; see kafka.security.protocol")


async def test_what_may_not_be_seen_is_not_called_missing_alone(scene: Scene) -> None:
    """Somebody would make topics anew that are there."""
    _, broker = scene
    await broker.add_user("stranger")
    code, said = await _asked(broker, broker.scram("stranger"))
    assert code == 1
    one_error(said, "topics are missing, or an ACL hides them: ")


async def _refusal(kafka: dict[str, Any]) -> str:
    """What is said of a connection that does not come about."""
    with pytest.raises(BrokerUnavailable, match=kafka["bootstrap_servers"]) as refused:
        async with admin_client(client_options(KafkaSettings.model_validate(kafka))):
            pass
    return str(refused.value)


async def _asked(broker: Secured, kafka: dict[str, Any]) -> tuple[int, str]:
    """A command that needs Kafka alone."""
    sections: Sections = {"kafka": kafka, "provider": {"url": "http://127.0.0.1:9/"}}
    return await command(broker.directory, ("dead-letters", "list"), sections)
