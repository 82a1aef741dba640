"""The `kafka` section: brokers, group, topics, security.

Knows nothing of any Kafka client.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, FilePath, SecretStr, StringConstraints, model_validator

from service.settings.section import Section, refuse

BROKER = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):(\d{1,5})", re.ASCII)
PORT_MAX = 65535


def _brokers(value: str) -> str:
    for broker in value.split(","):
        found = BROKER.fullmatch(broker.strip())
        if not found or not 0 < int(found[2]) <= PORT_MAX:
            raise ValueError("must be host:port, several separated by commas")
    return ",".join(broker.strip() for broker in value.split(","))


TopicName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,248}$")]


class TopicsSettings(Section):
    """Names of the topics. All have the prefix `calls.` so that one ACL covers them."""

    requests: TopicName = "calls.requests"
    """Read: one event is one call."""
    results: TopicName = "calls.results"
    """Written: one result for each call that the provider took."""
    dead_letters: TopicName = "calls.dead-letters"
    """Written: each event that ended otherwise, with its reason."""
    checkpoints: TopicName = "calls.checkpoints"
    """The state of the lanes; its number of partitions is the number of lanes. Part of the
    transactional id, so another name here is another dispatcher."""
    parked: TopicName = "calls.parked"
    """Calls of held flows, set aside so that their neighbours go on."""
    overflow: TopicName = "calls.overflow"
    """Calls of a flow beyond its share of the window."""
    control: TopicName = "calls.control"
    """Operators' commands to running replicas."""
    replays: TopicName = "calls.replays"
    """Replays of dead letters that were started."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        uses = Counter(self.model_dump().values())
        refuse(
            (field, f"the topic {name} is named twice: each topic has one use")
            for field, name in self.model_dump().items()
            if uses[name] > 1
        )
        return self


class SecuritySettings(Section):
    """How to connect to the brokers. Plain by default, as a fresh Kafka is."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """PLAINTEXT, because a fresh Kafka listens so; SSL or SASL_SSL wherever others share the
    network."""
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    """Of SASL; null, because PLAINTEXT and SSL have none."""
    username: str | None = None
    """Of SASL; no default could be right."""
    password: SecretStr | None = None
    """Of SASL. Secret: better in the environment than in the file."""
    ca_file: FilePath | None = None
    """PEM file of the authority that signed the brokers' certificates; null: the system's
    authorities, as for any public one."""
    cert_file: FilePath | None = None
    """PEM file of this client's certificate, where the brokers ask for one; most do not."""
    key_file: FilePath | None = None
    """PEM file of that certificate's key; null: the key is in `cert_file`."""

    @model_validator(mode="after")
    def _fits_the_protocol(self) -> Self:
        faults = []
        for fields, used in (
            (("mechanism", "username", "password"), self.protocol.startswith("SASL")),
            (("ca_file", "cert_file", "key_file"), self.protocol.endswith("SSL")),
        ):
            given = [field for field in fields if getattr(self, field) is not None]
            if not used:
                faults += [(f, f"has no use with protocol {self.protocol}") for f in given]
            elif fields[0] == "mechanism":
                missing = sorted(set(fields) - set(given))
                faults += [(f, f"is required by protocol {self.protocol}") for f in missing]
        if self.key_file and not self.cert_file:
            faults.append(("key_file", "is of no use without cert_file"))
        refuse(faults)
        return self


class KafkaSettings(Section):
    """Where events come from and outcomes go."""

    bootstrap_servers: Annotated[str, AfterValidator(_brokers)] = "127.0.0.1:9092"
    """host:port, several separated by commas. The default is a Kafka on this machine, so that a
    first try needs no configuration and nothing by accident reaches a shared cluster."""
    group_id: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")] = "call-dispatcher"
    """The consumer group, in which replicas elect the owners of lanes. Also the beginning of the
    transactional ids: two dispatchers on one cluster need two."""
    create_topics: bool = False
    """Whether `run` creates missing topics. Off, because a misspelt name would otherwise become a
    new and empty topic, and nobody would notice that no calls are made."""
    start_from: Literal["earliest", "latest"] = "earliest"
    """Where a lane that never ran begins. `earliest`, because calls that wait must not be lost."""
    topics: TopicsSettings = TopicsSettings()
    security: SecuritySettings = SecuritySettings()
    session_timeout_seconds: Annotated[float, Field(ge=3, le=300)] = 10.0
    """A replica that is silent for so long is replaced. 10 s: a standby takes over soon, and a
    short pause of the process or of a broker is still ridden out. The broker's
    `group.min.session.timeout.ms` (6 s unless changed) must allow it."""
