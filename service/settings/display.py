"""The configuration as an operator may see it: secrets masked, and what looks unintended.

Knows nothing of where it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import SecretStr

from service.settings.provider import CALLS_PER_MINUTE, PATHS
from service.settings.root import Settings

MASK = "********"


def masked_yaml(settings: Settings) -> str:
    """The whole configuration with its defaults, as YAML that could be a configuration file."""
    return yaml.safe_dump(_plain(settings.model_dump()), sort_keys=False, allow_unicode=True)


def cautions(settings: Settings) -> Iterator[str]:
    """What is allowed and yet probably a mistake, one line each."""
    provider, drain = settings.provider, settings.shutdown.drain_seconds
    path, expected = urlsplit(provider.url).path, PATHS[provider.profile]
    if path != expected:
        yield f"provider.url: its path is {path or '/'}; that of {provider.profile} is {expected}"
    published = CALLS_PER_MINUTE[provider.profile]
    if provider.calls_per_minute > published:
        yield (
            f"provider.calls_per_minute: {provider.calls_per_minute} is above the {published} "
            f"published for {provider.profile}; has the provider raised it for this account?"
        )
    if drain < provider.timeout_seconds:
        yield (
            f"shutdown.drain_seconds: {drain:g} is less than provider.timeout_seconds, "
            f"{provider.timeout_seconds:g}: a stop may leave batches whose answer is unknown"
        )
    if settings.kafka.security.protocol == "SASL_PLAINTEXT":
        yield "kafka.security.protocol: SASL_PLAINTEXT shows the events to the network"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, SecretStr):
        return MASK
    return str(value) if isinstance(value, PurePath) else value
