"""What the operator reads: the printed configuration, cautions, and the reference page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from service.settings import Settings
from service.settings.display import MASK, cautions, masked_yaml
from service.settings.loading import load_settings
from service.settings.reference import configuration_markdown, configuration_schema

SECRET = "Ab1" * 21 + "x"
PATH = "/kairos-apis/outbound/create"
PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
PROVIDER = {"url": f"https://api.example.com{PATH}", "security_id": SECRET}


def test_the_printed_configuration_is_whole_and_masked() -> None:
    """What `check` prints goes into tickets: all fields, resolved, and no secret."""
    settings = Settings.model_validate(
        {
            "provider": {
                **PROVIDER,
                "profile": "realtime",
                "previous_security_ids": [SECRET],
                "redis_url": "redis://:pass-phrase@host",
            },
            "http": {"token": "0123456789abcdef"},
            "flows": {"12345678": {"security_id": SECRET, "calling_hours": "09:00-21:00"}},
        }
    )
    text = masked_yaml(settings)
    for secret in (SECRET, "pass-phrase", "0123456789abcdef"):
        assert secret not in text
    found = yaml.safe_load(text)
    assert found["provider"]["security_id"] == MASK
    assert found["provider"]["previous_security_ids"] == [MASK]
    assert found["provider"]["redis_url"] == MASK
    assert found["http"]["token"] == MASK
    assert found["provider"]["calls_per_minute"] == 500
    assert found["batching"]["calls_max"] == 50
    assert found["flows"]["12345678"]["calling_hours"] == ["09:00-21:00"]
    assert list(found) == list(Settings.model_fields)


def test_the_printed_configuration_loads_again(tmp_path: Path) -> None:
    """With the secrets put back, it is a configuration file with the same meaning."""
    settings = Settings.model_validate(
        {"provider": PROVIDER, "flows": {"1e234567": {"calling_hours": "09:00-21:00"}}}
    )
    file = tmp_path / "printed.yaml"
    file.write_text(masked_yaml(settings).replace(MASK, SECRET))
    assert load_settings(file, {}) == settings


@pytest.mark.parametrize(
    ("sections", "beginning"),
    [
        ({"provider": {"profile": "dialer"}}, "provider.url: its path is"),
        ({"provider": {"url": "https://api.example.com"}}, "provider.url: its path is /;"),
        ({"provider": {"calls_per_minute": 30_001}}, "provider.calls_per_minute: 30001 is above"),
        ({"shutdown": {"drain_seconds": 29}}, "shutdown.drain_seconds: 29 is less than"),
        (
            {
                "kafka": {
                    "security": {
                        "protocol": "SASL_PLAINTEXT",
                        "mechanism": "PLAIN",
                        "username": "me",
                        "password": "word",
                    }
                }
            },
            "kafka.security.protocol: SASL_PLAINTEXT shows",
        ),
    ],
)
def test_cautions(sections: dict[str, Any], beginning: str) -> None:
    """Allowed and probably wrong: a wrong endpoint shows before it costs a batch."""
    provider = {**PROVIDER, **sections.get("provider", {})}
    settings = Settings.model_validate({**sections, "provider": provider})
    (caution,) = cautions(settings)
    assert caution.startswith(beginning)


def test_an_ordinary_configuration_raises_no_caution() -> None:
    """Warnings that are always there are not read."""
    assert list(cautions(Settings.model_validate({"provider": PROVIDER}))) == []


def test_the_page_is_what_the_models_say() -> None:
    """A stale reference page sends operators astray.

    To write it anew: python -m service.settings.reference > docs/configuration.md
    """
    assert PAGE.read_text() == configuration_markdown()


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _models(part)


def test_every_field_says_what_it_is_for() -> None:
    """A field without an explanation is set by guessing."""
    for model in _models(Settings):
        assert model.__doc__
        for name, field in model.model_fields.items():
            section = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
            assert section or field.description, f"{model.__name__}.{name}"


def test_the_schema_takes_what_the_program_takes() -> None:
    """Editors that use the schema must not mark a good file as wrong."""
    schema = configuration_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    flow = {"calling_hours": "09:00-21:00", "linger_seconds": None, "priority": 2}
    limits: dict[str, Any] = {"calls_per_minute": None, "previous_security_ids": []}
    validator.validate({"provider": {**PROVIDER, **limits}, "flows": {"AbCd1234": flow}})
    refused: list[dict[str, Any]] = [{"provider": {**PROVIDER, "limit": 3}}, {"provider": {}}, {}]
    for wrong in refused:
        assert not validator.is_valid(wrong)
