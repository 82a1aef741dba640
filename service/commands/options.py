"""What several commands share: the option `--config`, and loading what it names.

Knows no command.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from service.settings import Settings

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def config_option(command: Decorated) -> Decorated:
    """Add `--config PATH`, given to the command as `config_path`."""
    return click.option(
        "--config",
        "config_path",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="YAML file; without it DISPATCHER_CONFIG, else environment variables alone.",
    )(command)


def load_settings(config_path: Path | None) -> Settings:
    """The configuration of `config_path` with the environment over it.

    Raises:
        ConfigurationError: with one line for each problem found.
    """
    # Imported here: `--help` needs no models.
    from service.settings.loading import load_settings as load  # noqa: PLC0415

    return load(config_path)
