"""What all sections of the configuration share: their base, and the types of their fields.

Knows no section, and nothing of where a value came from (loading.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SecretStr,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

Profile = Literal["bulk", "realtime", "dialer"]

NULL: Any = None
"""The default of a field that may be null where it is written, and never is once validated."""

SECURITY_ID = re.compile(r"[A-Za-z0-9]{64}", re.ASCII)
SECRET_FILE_BYTES_MAX = 4096
"""A secret is 64 characters; more than this is the wrong file."""


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, nothing changes afterwards."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, data: Any) -> Any:
        # `kafka:` with all its lines commented out is null in YAML.
        return {} if data is None else data


def refuse(faults: Iterable[tuple[str, str]]) -> None:
    """Raise one validation error for all of these (dotted field, what is wrong); none is fine.

    Raises:
        PydanticCustomError: its context has `faults`, so that each gets a line of its own.
    """
    found = list(faults)
    if found:
        text = "; ".join(f"{field}: {message}" for field, message in found)
        raise PydanticCustomError("rules", "{text}", {"text": text, "faults": found})


def secret_from(file: Path | None, value: Any) -> Any:
    """`value`, or where it is null what `file` holds.

    Raises:
        ValueError: both are given, or the file cannot be read.
    """
    if file is None:
        return value
    if value is not None:
        raise ValueError("is given here and as security_id_file: keep one of the two")
    try:
        with file.open("rb") as opened:
            return opened.read(SECRET_FILE_BYTES_MAX).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII text"
        raise ValueError(f"security_id_file cannot be read: {reason}") from error


def _security_id(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not SECURITY_ID.fullmatch(text):
        raise ValueError(
            "must be the 64 ASCII letters and digits that the provider's portal shows; "
            f"this has {len(text)} characters"
        )
    return value


def _listed(value: Any) -> Any:
    """A list written as text, for the environment: JSON, or separated by commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError("is not a JSON list") from error
    return [part.strip() for part in value.split(",") if part.strip()]


Listed = BeforeValidator(_listed, json_schema_input_type=str | list[str])
SecurityId = Annotated[SecretStr, AfterValidator(_security_id)]
FlowId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{8}$")]
