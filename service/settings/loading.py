"""Loads the configuration: a YAML file, with the environment over it.

Knows nothing of what a section means.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from service.settings.environment import read_environment
from service.settings.problems import InvalidConfiguration, Problem, problems_of
from service.settings.root import Settings
from service.settings.yaml_file import Tree, read_yaml


def load_settings(
    config_path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """The configuration of `config_path`, else of DISPATCHER_CONFIG, else of variables alone.

    Raises:
        InvalidConfiguration: with one line for each problem found.
    """
    variables = os.environ if environ is None else environ
    chosen = config_path or variables.get("DISPATCHER_CONFIG")
    problems: list[Problem] = []
    file = environment = Tree()
    try:
        file = read_yaml(Path(chosen)) if chosen else file
    except InvalidConfiguration as error:
        problems += error.problems
    try:
        environment = read_environment(variables)
    except InvalidConfiguration as error:
        problems += error.problems
    if problems:
        raise InvalidConfiguration(problems)
    # An empty provider section makes the fields that it must have known by name.
    merged = {"provider": {}} | _merged(file.values, environment.values)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        found = problems_of(error, {**file.places, **environment.places})
        raise InvalidConfiguration(found) from None


def _merged(file: dict[str, Any], environment: dict[str, Any]) -> dict[str, Any]:
    """Both trees as pydantic-settings puts them together, the environment first."""

    class Layers(BaseSettings):
        model_config = SettingsConfigDict(extra="allow")

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - not one of ours
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - lower-cases flow ids
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - not one of ours
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - not one of ours
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                InitSettingsSource(settings_cls, environment),
                InitSettingsSource(settings_cls, file),
            )

    return Layers().model_extra or {}
