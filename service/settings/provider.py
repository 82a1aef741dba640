"""The `provider` and `flows` sections: the endpoint, its limit, and what differs for one flow.

Knows nothing of HTTP, nor of how a call is encoded.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from service.core.hours import parse_calling_hours
from service.settings.section import NULL, Listed, Profile, Section, SecurityId, refuse, secret_from

CALLS_PER_MINUTE: Mapping[Profile, int] = MappingProxyType(
    {"bulk": 30_000, "realtime": 500, "dialer": 500}
)
"""The published limits (provider-api.md, Endpoints)."""
CALLS_MAX: Mapping[Profile, int] = MappingProxyType({"bulk": 500, "realtime": 50, "dialer": 50})
"""Calls in a request: a batch is at most a tenth of the limit."""
PATHS: Mapping[Profile, str] = MappingProxyType(
    {
        "bulk": "/kairos-apis/outbound/create",
        "realtime": "/kairos-apis/outbound/create",
        "dialer": "/kairos-apis/outbounddialer/create",
    }
)

ApiVersion = Literal["1.0", "TEST"]
PerMinute = Annotated[int, Field(ge=10, le=1_000_000_000)]
"""Ten is the least of which one request is a tenth."""
DAY_SECONDS = 86_400


def is_loopback(host: str) -> bool:
    """Whether what is sent to this host never leaves the machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _endpoint(value: str) -> str:
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError as error:
        raise ValueError("is not a URL") from error
    if url.scheme not in {"http", "https"} or not host or not value.isascii() or " " in value:
        raise ValueError("must be the whole endpoint, such as https://host/path")
    if url.username is not None or url.fragment:
        raise ValueError("must have neither a user nor a fragment")
    if url.scheme == "http" and not is_loopback(host):
        raise ValueError(
            "must be https: over http to another machine the security-id would travel in clear"
        )
    return value


def _redis(value: SecretStr) -> SecretStr:
    try:
        url = urlsplit(value.get_secret_value())
        host, _ = url.hostname, url.port
    except ValueError as error:
        raise ValueError("is not a URL") from error
    if url.scheme not in {"redis", "rediss"} or not host:
        raise ValueError("must be redis://host:port/database, or rediss:// for TLS")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, LookupError) as error:
        raise ValueError("is no IANA time zone; write it like Asia/Kolkata") from error
    return value


def _hours(value: tuple[str, ...]) -> tuple[str, ...]:
    parse_calling_hours(value)
    return value


class ProviderSettings(Section):
    """The provider's endpoint, its credentials and its limit."""

    profile: Profile = "bulk"
    """Which of the provider's endpoints `url` is. `bulk`, because its limit is sixty times that
    of the others; they check each call while one waits."""
    url: Annotated[str, AfterValidator(_endpoint)]
    """The whole endpoint. No default: the host belongs to the customer's account."""
    api_version: ApiVersion = "1.0"
    """`1.0` runs the version of a flow that is in production. `TEST` (dialer only) runs the one in
    testing, which must be assumed to call real people."""
    security_id_file: Path | None = None
    """A file that holds the security-id, as secrets are mounted in containers; null, because one
    of this and `security_id` is given."""
    security_id: SecurityId = NULL
    """Secret: the environment or `security_id_file` are better places than the file. 64 letters
    and digits, from the edit page of any outbound flow. No default could be right."""
    previous_security_ids: Annotated[tuple[SecurityId, ...], Listed] = ()
    """Secret. Earlier security-ids, for batches that were under way when it was changed: their
    bytes hold it. Empty once a day has passed, since nothing is resent later."""
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """For one whole request. 30 s, because giving up early turns an accepted batch into a doubtful
    one, and waiting longer delays a takeover by as much."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 16
    """Requests in flight, per lane. At 500 calls a request the bulk limit is one request a second,
    so 16 hold it with answers that take up to 16 s."""
    calls_per_minute: PerMinute = NULL
    """Over all replicas, in any 60 seconds. Null: what is published for the profile, 30,000 for
    bulk and 500 for the others."""
    requests_per_minute: PerMinute = NULL
    """The same for HTTP requests. Null: as `calls_per_minute`, because the documents do not say
    which of the two they count."""
    limit_scope: Literal["lane", "redis"] = "lane"
    """`lane`: each lane has an even share. `redis`: all draw on one window. `lane`, because it
    needs nothing more to run, and one lane, the usual number, has the whole limit anyway."""
    redis_url: Annotated[SecretStr, AfterValidator(_redis)] | None = None
    """Where that window lives; masked, since it may hold a password. Null: no Redis is used."""
    redis_down: Literal["share", "stop"] = "share"
    """Without Redis, go on with the even share, or stop. `share`, because it keeps the limit too,
    and calls that wait for a cache help nobody."""
    checksum_confirms: bool = True
    """Whether answer 201 after an attempt without an answer means that this attempt was accepted.
    True, because the bytes then did arrive; false for an account whose provider is known to lose
    requests after recording them: those calls end `unconfirmed`."""
    checksum_memory_seconds: Annotated[int, Field(ge=60, le=30 * DAY_SECONDS)] = DAY_SECONDS
    """How long the provider is trusted to recognise bytes that it has seen. A day is the shortest
    reading of its documents; a doubtful batch is never resent later than this."""
    correlation_key: Annotated[str, StringConstraints(pattern=r"^\$flow\.key\..+$")] | None = None
    """A flow variable that gets `<topic>-<partition>-<offset>` of each event, to join the
    provider's pushes. Null, because the flow must know the variable."""
    number_format: Literal["digits", "e164"] = "digits"
    """Indian numbers as 91XXXXXXXXXX or +91XXXXXXXXXX. `digits` is the form in both documents."""
    number_check: Literal["valid", "possible"] = "valid"
    """How strictly a number that is no Indian mobile is checked. `valid`, because a wrong number
    calls a stranger."""
    foreign_numbers: Literal["send", "refuse"] = "send"
    """Numbers of other countries go out with their +, or are refused. `send`: a number written
    with its country was meant so."""
    time_zone: Annotated[str, AfterValidator(_zone)] = "Asia/Kolkata"
    """Of times that carry no offset: the provider's own zone."""

    @field_validator("security_id", mode="before", json_schema_input_type=SecurityId | None)
    @classmethod
    def _one_security_id(cls, value: Any, info: ValidationInfo) -> Any:
        secret = secret_from(info.data.get("security_id_file"), value)
        if secret is None:
            raise ValueError("is required: set it in the environment, or set security_id_file")
        return secret

    @field_validator(
        "calls_per_minute",
        "requests_per_minute",
        mode="before",
        json_schema_input_type=PerMinute | None,
    )
    @classmethod
    def _profile_limit(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None:
            return value
        published = CALLS_PER_MINUTE[info.data.get("profile", "bulk")]
        return info.data.get("calls_per_minute", published)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        faults = []
        if self.api_version == "TEST" and self.profile != "dialer":
            faults.append(("api_version", "TEST exists for the profile dialer only: use 1.0"))
        if self.limit_scope == "redis" and self.redis_url is None:
            faults.append(("redis_url", "is required by limit_scope redis"))
        refuse(faults)
        return self


class FlowSettings(Section):
    """What differs for one flow; a flow that is not listed takes the defaults."""

    security_id_file: Path | None = None
    """A file that holds this flow's own security-id; null: the account's."""
    security_id: SecurityId | None = None
    """Secret. This flow's own security-id; null: the provider's, since it seems to be the
    account's."""
    api_version: ApiVersion | None = None
    """Null: the provider's."""
    priority: Annotated[int, Field(ge=1, le=100)] = 1
    """Its weight where flows share the limit. 1, so that unlisted flows are all alike."""
    linger_seconds: Annotated[float, Field(ge=0, le=300)] | None = None
    """How long its oldest call may wait for company; null: as in `batching`."""
    dummy_number: Annotated[str, StringConstraints(pattern=r"^\+?[0-9]{6,15}$")] | None = None
    """Sent, exactly as written, for an event without numbers, as a flow of e-mails only needs.
    Null, because a made-up number may be somebody's."""
    calling_hours: (
        Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_hours), Listed] | None
    ) = None
    """When its calls may be sent, in the provider's time zone: `09:00-21:00`, or a list such as
    `mon-fri 09:00-21:00`, `sat 10:00-14:00`. Null: at any time, since upstream decides."""

    @field_validator("security_id", mode="before")
    @classmethod
    def _one_security_id(cls, value: Any, info: ValidationInfo) -> Any:
        return secret_from(info.data.get("security_id_file"), value)
