"""The ACLs that deploy/kafka/acls.txt lists, as kafka-acls would read them.

Knows nothing of what they are for.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import click
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)

FILE = Path(__file__).parents[2] / "deploy/kafka/acls.txt"
OPERATIONS = {
    "Read": ACLOperation.READ,
    "Write": ACLOperation.WRITE,
    "Create": ACLOperation.CREATE,
    "Delete": ACLOperation.DELETE,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
}
KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
}
PATTERNS = {
    "literal": ACLResourcePatternType.LITERAL,
    "prefixed": ACLResourcePatternType.PREFIXED,
}


@dataclass(frozen=True, slots=True)
class Listed:
    """One line."""

    line: str
    user: str
    acl: ACL


@click.command()
@click.option("--add", is_flag=True, required=True)
@click.option("--allow-principal", required=True)
@click.option("--operation", type=click.Choice(list(OPERATIONS)), required=True)
@click.option("--topic")
@click.option("--group")
@click.option("--transactional-id")
@click.option("--resource-pattern-type", type=click.Choice(list(PATTERNS)), default="literal")
def _kafka_acls(
    *,
    add: bool,
    allow_principal: str,
    operation: str,
    resource_pattern_type: str,
    **names: str | None,
) -> ACL:
    assert add
    [(kind, name)] = [(kind, name) for kind, name in names.items() if name]
    return ACL(
        allow_principal,
        "*",
        OPERATIONS[operation],
        ACLPermissionType.ALLOW,
        ResourcePattern(KINDS[kind], name, PATTERNS[resource_pattern_type]),
    )


def listed() -> list[Listed]:
    """All lines, in their order."""
    found = []
    for line in FILE.read_text().splitlines():
        if line and not line.startswith("#"):
            acl = _kafka_acls.main(shlex.split(line), standalone_mode=False)
            found.append(Listed(line, acl.principal.removeprefix("User:"), acl))
    return found
