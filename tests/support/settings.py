"""Configurations for tests."""

from __future__ import annotations

from typing import Any

from service.settings import Settings
from tests.support.kafka import Names

SECURITY_ID = "S3cret" + "0123456789" * 5 + "abcdefgh"
"""64 letters and digits that no log may show."""


def settings_for(
    bootstrap: str, names: Names, url: str = "http://127.0.0.1:9/", **more: Any
) -> Settings:
    """A configuration with topics and a group of its own; `more` overrides whole sections."""
    topics = {
        field: names(f"calls.{field}")
        for field in (
            "requests",
            "results",
            "dead_letters",
            "checkpoints",
            "parked",
            "overflow",
            "control",
            "replays",
        )
    }
    kafka = {
        "bootstrap_servers": bootstrap,
        "group_id": names("group"),
        "topics": topics,
        "session_timeout_seconds": 6,
        **more.pop("kafka", {}),
    }
    provider = {"url": url, "security_id": SECURITY_ID, **more.pop("provider", {})}
    return Settings.model_validate({"kafka": kafka, "provider": provider, **more})


def sections_of(settings: Settings) -> dict[str, dict[str, Any]]:
    """The configuration file of somebody with a shell, but for the secret."""
    kafka = settings.kafka
    return {
        "kafka": {
            "bootstrap_servers": kafka.bootstrap_servers,
            "group_id": kafka.group_id,
            "topics": kafka.topics.model_dump(),
        },
        "provider": {"url": settings.provider.url},
    }
