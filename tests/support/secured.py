"""A broker that asks everybody who they are, and what they may do: SCRAM over TLS, mTLS, ACLs.

Knows nothing of the dispatcher's topics. The tests' own clients use its plain listener, whose
anonymous user may do everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from kafka.admin import ACL, ACLFilter, KafkaAdminClient, UserScramCredentialUpsertion

from service.demo.kafka import LocalKafka
from service.demo.ports import free_ports

HOST = "127.0.0.1"
PASSWORD = "Winter-is-Koming-7"
MECHANISM = "SCRAM-SHA-512"
OTHER_MECHANISM = "SCRAM-SHA-256"
"""Offered only where it is asked for."""
OFFERED = ("PLAIN", "SCRAM", "MTLS", "EXPIRED", "OTHERHOST")


@dataclass(frozen=True, slots=True)
class Secured:
    """The broker and what clients need."""

    bootstrap: str
    """Plain, for the tests themselves."""
    directory: Path
    _ports: dict[str, int]

    def file(self, name: str) -> str:
        """A PEM file: `ca`, `stranger-ca`, `client`, `renewed`, `stranger`."""
        return str(self.directory / f"{name}.pem")

    def at(self, listener: str) -> str:
        """The address of a listener."""
        return f"{HOST}:{self._ports[listener]}"

    def scram(self, user: str, listener: str = "SCRAM", **more: Any) -> dict[str, Any]:
        """The section `kafka` of a client that gives a password over TLS."""
        security = {
            "protocol": "SASL_SSL",
            "mechanism": MECHANISM,
            "username": user,
            "password": PASSWORD,
            "ca_file": self.file("ca"),
            **more,
        }
        return {"bootstrap_servers": self.at(listener), "security": security}

    def mtls(self, **more: Any) -> dict[str, Any]:
        """The section `kafka` of a client that shows a certificate."""
        security = {
            "protocol": "SSL",
            "ca_file": self.file("ca"),
            "cert_file": self.file("client"),
            **more,
        }
        return {"bootstrap_servers": self.at("MTLS"), "security": security}

    async def grant(self, acls: Sequence[ACL]) -> None:
        """Allow what the ACLs name."""
        await self._admin(lambda admin: admin.create_acls(list(acls)))

    async def revoke(self, acl: ACL) -> None:
        """Take one back."""
        one = ACLFilter(
            acl.principal, acl.host, acl.operation, acl.permission_type, acl.resource_pattern
        )
        await self._admin(lambda admin: admin.delete_acls([one]))

    async def add_user(
        self, name: str, password: str = PASSWORD, mechanism: str = MECHANISM
    ) -> None:
        """A user with this password; it replaces one of before."""
        user = UserScramCredentialUpsertion(name, mechanism, password.encode())
        await self._admin(lambda admin: admin.alter_user_scram_credentials([user]))

    async def _admin(self, act: Any) -> None:
        def once() -> None:
            admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
            try:
                act(admin)
            finally:
                admin.close()

        await asyncio.to_thread(once)


@asynccontextmanager
async def secured(directory: Path, *more_mechanisms: str) -> AsyncIterator[Secured]:
    """Run one broker with all the listeners."""
    _certificates(directory)
    *ports, internal, controller = free_ports(len(OFFERED) + 2)
    listeners = dict(zip(OFFERED, ports, strict=True))
    kafka = LocalKafka(
        directory / "kafka",
        properties=_settings(
            directory, listeners, internal, controller, (MECHANISM, *more_mechanisms)
        ),
    )
    async with kafka:
        yield Secured(f"{HOST}:{listeners['PLAIN']}", directory, listeners)


def _certificates(directory: Path) -> None:
    ca, stranger = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(directory / "ca.pem")
    stranger.cert_pem.write_to_path(directory / "stranger-ca.pem")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    issued = {
        "broker": ca.issue_cert(HOST),
        "expired": ca.issue_cert(HOST, not_after=yesterday),
        "otherhost": ca.issue_cert("kafka.example.org"),
        "client": ca.issue_cert("client.example.org", common_name="operator"),
        "renewed": ca.issue_cert("client.example.org", common_name="operator"),
        "stranger": stranger.issue_cert("client.example.org", common_name="operator"),
    }
    for name, each in issued.items():
        # Kafka reads keys in PKCS #8 only.
        key = load_pem_private_key(each.private_key_pem.bytes(), None)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = b"".join(part.bytes() for part in each.cert_chain_pems)
        (directory / f"{name}.pem").write_bytes(pem + chain)


def _settings(
    directory: Path,
    listeners: dict[str, int],
    internal: int,
    controller: int,
    mechanisms: Sequence[str],
) -> dict[str, str]:
    protocols = {
        "PLAIN": "PLAINTEXT",
        "SCRAM": "SASL_SSL",
        "MTLS": "SSL",
        "EXPIRED": "SASL_SSL",
        "OTHERHOST": "SASL_SSL",
        "INTERNAL": "PLAINTEXT",
        "CONTROLLER": "PLAINTEXT",
    }
    ports = {**listeners, "INTERNAL": internal}
    settings = {
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listeners": _addresses({**ports, "CONTROLLER": controller}),
        "advertised.listeners": _addresses(ports),
        "listener.security.protocol.map": ",".join(f"{k}:{v}" for k, v in protocols.items()),
        "sasl.enabled.mechanisms": ",".join(mechanisms),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        # A certificate's user is its common name alone.
        "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
        "listener.name.mtls.ssl.client.auth": "required",
    }
    for listener, certificate in (
        ("scram", "broker"),
        ("mtls", "broker"),
        ("expired", "expired"),
        ("otherhost", "otherhost"),
    ):
        settings |= {
            f"listener.name.{listener}.ssl.keystore.type": "PEM",
            f"listener.name.{listener}.ssl.keystore.location": str(
                directory / f"{certificate}.pem"
            ),
            f"listener.name.{listener}.ssl.truststore.type": "PEM",
            f"listener.name.{listener}.ssl.truststore.location": str(directory / "ca.pem"),
            **{
                f"listener.name.{listener}.{mechanism.lower()}.sasl.jaas.config": (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                )
                for mechanism in mechanisms
            },
        }
    return settings


def _addresses(ports: dict[str, int]) -> str:
    return ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items())
