"""The reference of the configuration for its readers, made from the models themselves.

Knows no section by name.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

import yaml

from service.settings.root import Settings

INTRODUCTION = """\
# Configuration

One YAML file (`--config PATH`, or `DISPATCHER_CONFIG`), every field also from the environment,
which wins. `call-dispatcher check` validates both and prints what they mean, secrets masked; it
lists every problem with its file and line or its variable. `call-dispatcher schema configuration`
prints a JSON Schema for editors.

- A variable's name is `DISPATCHER_`, the section, `__`, the field, in capitals; a flow id keeps
  its case: `DISPATCHER_FLOWS__AbCd1234__PRIORITY=3`.
- A list in a variable is JSON, or separated by commas. Empty or `null` is null where a field may
  be null.
- Every value is read as text first and takes its field's type then, so `1.0`, `0123` or
  `09:00-21:00` need no quotes. Unknown keys, keys given twice and YAML tags are errors.

This page is made from the program:
`python -m service.settings.reference > docs/configuration.md` writes it anew.
"""


def configuration_schema() -> dict[str, Any]:
    """JSON Schema of the configuration file."""
    schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def configuration_markdown() -> str:
    """docs/configuration.md: a table for each section."""
    return "\n".join([INTRODUCTION, *_sections(configuration_schema())])


def _sections(schema: dict[str, Any]) -> Iterator[str]:
    for name, prop in schema["properties"].items():
        if name == "flows":
            yield from _section("flows.<flow-id>", schema["$defs"]["FlowSettings"], schema)
        else:
            yield from _section(name, _resolved(prop, schema), schema)


def _section(name: str, section: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    properties = section["properties"]
    nested = {field: _resolved(prop, schema) for field, prop in properties.items()}
    required = section.get("required", [])
    yield f"## `{name}`\n"
    yield f"{inspect.cleandoc(section['description'])}\n"
    yield "| field | takes | default | meaning |\n| --- | --- | --- | --- |"
    for field, prop in nested.items():
        if "properties" not in prop:
            yield _row(field, prop, required=field in required)
    yield ""
    for field, prop in nested.items():
        if "properties" in prop:
            yield from _section(f"{name}.{field}", prop, schema)


def _resolved(prop: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = prop.get("$ref")
    if reference is None:
        return prop
    target: dict[str, Any] = schema["$defs"][reference.removeprefix("#/$defs/")]
    return target


def _row(field: str, prop: dict[str, Any], *, required: bool) -> str:
    default = "required" if required else f"`{_default(prop.get('default'))}`"
    meaning = " ".join(prop.get("description", "").split())
    cells = (f"`{field}`", _takes(prop), default, meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=999)
    return str(text.removesuffix("\n...\n").strip())


def _takes(prop: dict[str, Any]) -> str:
    if "anyOf" in prop:
        return " or ".join(_takes(each) for each in prop["anyOf"])
    if "enum" in prop:
        return ", ".join(f"`{each}`" for each in prop["enum"])
    kind: str = prop["type"]
    kind = {"boolean": "true, false", "array": "list", "string": "text"}.get(kind, kind)
    if prop.get("format") == "password":
        kind = "secret"
    elif prop.get("format") in {"path", "file-path"}:
        kind = "path of a file"
    return kind + _bounds(prop)


def _bounds(prop: dict[str, Any]) -> str:
    low = prop.get("minimum", prop.get("exclusiveMinimum"))
    if low is None:
        return ""
    above = "above " if "exclusiveMinimum" in prop else ""
    return f", {above}{low} to {prop['maximum']}"


if __name__ == "__main__":
    sys.stdout.write(configuration_markdown())
