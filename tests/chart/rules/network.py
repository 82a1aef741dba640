"""What the NetworkPolicy must open, worked out a second time from the values.

Knows nothing of the other rules (rules.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.chart.helm import Object, Rendered


def policy_opens_what_is_needed(release: Rendered) -> Iterator[str]:
    """Each destination by its ports, and nothing else."""
    for policy in release.all("NetworkPolicy"):
        spec, values = policy["spec"], release.values["networkPolicy"]
        found = [(_ports(rule), rule.get("to", [])) for rule in spec["egress"]]
        if found != list(_egress(release)):
            yield f"egress {found}"
        port = release.config.get("http", {}).get("port", 8080)
        (rule,) = spec["ingress"]
        if (_ports(rule), rule.get("from", [])) != ([port], values["from"]):
            yield f"ingress {spec['ingress']}"
        if spec["policyTypes"] != ["Ingress", "Egress"]:
            yield f"of types {spec['policyTypes']}"


def _egress(release: Rendered) -> Iterator[tuple[list[int], Any]]:
    values, config = release.values["networkPolicy"], release.config
    yield [values["dns"]["port"]] * 2, values["dns"]["to"]
    brokers = re.findall(r":(\d+)(?:,|$)", config["kafka"]["bootstrap_servers"])
    ports = values["kafka"]["ports"] or sorted({int(port) for port in brokers})
    yield ports, values["kafka"]["to"]
    port = re.match(r"https://[^/]*?(?::(\d+))?/", config["provider"]["url"])
    assert port is not None
    yield [int(port[1] or 443)], values["provider"]["to"]
    if config["provider"].get("limit_scope") == "redis":
        url = config["provider"].get("redis_url") or release.values["secret"].get(
            "DISPATCHER_PROVIDER__REDIS_URL", ""
        )
        found = re.search(r":(\d+)(/|$)", url)
        default = int(found[1]) if found else 6379
        yield [values["redis"]["port"] or default], values["redis"]["to"]
    yield from ((_ports(rule), rule.get("to", [])) for rule in values["extraEgress"])


def _ports(rule: Object) -> list[int]:
    return [one["port"] for one in rule["ports"]]
