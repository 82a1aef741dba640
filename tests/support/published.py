"""The documents in docs/schemas: where they lie, and what the code says that they hold.

Knows nothing of schemas. As a program it writes the files (`make schemas`).
"""

from __future__ import annotations

import json
from pathlib import Path

from service.commands.schema import DOCUMENTS

FOLDER = Path(__file__).parents[2] / "docs/schemas"


def expected() -> dict[str, str]:
    """The text of each file, by its name."""
    return {
        f"{name}.json": json.dumps(make(), indent=2, ensure_ascii=False) + "\n"
        for name, make in DOCUMENTS.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in expected().items():
        (FOLDER / name).write_text(text)
