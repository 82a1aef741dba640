"""What is configured: pydantic models, one for each section of the file.

Every scalar is text until its field gives it a type, in the file as in the environment; so YAML's
guesses (1e234567, 09:00, 1.0, 0123) never change a value. `load_settings` is in loading.py, so
that the models need neither YAML nor the environment.
"""

from __future__ import annotations

from service.settings.kafka import KafkaSettings, SecuritySettings, TopicsSettings
from service.settings.provider import FlowSettings, ProviderSettings
from service.settings.root import Flow, Settings
from service.settings.section import Profile
from service.settings.sections import (
    BatchingSettings,
    DeadLettersSettings,
    EventsSettings,
    HttpSettings,
    LogSettings,
    RetrySettings,
    ShutdownSettings,
    TracingSettings,
)

__all__ = [
    "BatchingSettings",
    "DeadLettersSettings",
    "EventsSettings",
    "Flow",
    "FlowSettings",
    "HttpSettings",
    "KafkaSettings",
    "LogSettings",
    "Profile",
    "ProviderSettings",
    "RetrySettings",
    "SecuritySettings",
    "Settings",
    "ShutdownSettings",
    "TopicsSettings",
    "TracingSettings",
]
