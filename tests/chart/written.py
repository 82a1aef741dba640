"""What the chart takes from elsewhere: the configuration's schema, the README's table of values.

Knows nothing of Helm. As a program it writes both files anew (`make chart`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from service.commands.schema import DOCUMENTS

CHART = Path(__file__).parents[2] / "helm/call-dispatcher"
BEGIN, END = "<!-- values -->\n", "<!-- end of values -->\n"
COMMENT = "# -- "


def expected() -> dict[str, str]:
    """The text of each file, by its name: what was written by hand, and the parts made here."""
    return {"values.schema.json": _schema(), "README.md": _readme()}


def _schema() -> str:
    """The schema of values, with the configuration's under `config`.

    Helm 3 reads draft 7, which looks for definitions under another name.
    """
    schema = json.loads((CHART / "values.schema.json").read_text())
    settings = DOCUMENTS["configuration"]()
    # What is required is said by a sentence of the chart's own, for all that is missing at once.
    kept = ("type", "additionalProperties", "description", "properties")
    schema["properties"]["config"] = _draft_7({key: settings[key] for key in kept})
    by_hand = {name: value for name, value in schema["definitions"].items() if name[0].islower()}
    made = {name: _draft_7(value) for name, value in settings["$defs"].items()}
    made["ProviderSettings"].pop("required")
    schema["definitions"] = by_hand | made
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _draft_7(schema: Any) -> Any:
    if isinstance(schema, dict):
        if "$ref" in schema:
            return {"$ref": schema["$ref"].replace("#/$defs/", "#/definitions/")}
        return {key: _draft_7(value) for key, value in schema.items()}
    return [_draft_7(one) for one in schema] if isinstance(schema, list) else schema


def _readme() -> str:
    text = (CHART / "README.md").read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = "".join(f"| `{key}` | {_shown(values, key)} | {said} |\n" for key, said in documented())
    return f"{before}{BEGIN}| key | default | meaning |\n| --- | --- | --- |\n{rows}{END}{after}"


def documented() -> Iterator[tuple[str, str]]:
    """Each key with a comment that begins `# --`, and what the comment says."""
    path: list[tuple[int, str]] = []
    said: list[str] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        text = line.strip()
        if text.startswith(COMMENT):
            said = [text.removeprefix(COMMENT)]
        elif text.startswith("# ") and said:
            said.append(text.removeprefix("# "))
        elif found := re.match(r"( *)(\w+):", line):
            depth = len(found[1])
            path = [*((at, key) for at, key in path if at < depth), (depth, found[2])]
            if said:
                yield ".".join(key for _, key in path), " ".join(said)
            said = []


def _shown(value: Any, key: str) -> str:
    for part in key.split("."):
        value = value[part]
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    for name, content in expected().items():
        (CHART / name).write_text(content)
