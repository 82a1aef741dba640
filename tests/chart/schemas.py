"""Objects against the schemas of Kubernetes, and of Prometheus Operator's resources.

Knows nothing of the chart. Unknown fields are faults everywhere, though a cluster may drop them
silently. The schemas in
crds/ are those of the CRDs of prometheus-operator 0.86.1, without descriptions.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.chart.helm import Object
from tests.chart.tools import SCHEMAS, tools

CRDS = Path(__file__).with_name("crds")
CRD_GROUP = "monitoring.coreos.com/v1"


@cache
def _archive() -> zipfile.ZipFile:
    return zipfile.ZipFile(tools() / "kubernetes.zip")


@cache
def versions() -> list[str]:
    """The versions of Kubernetes whose schemas are there, such as 1.25.0, the oldest first."""
    names = "\n".join(_archive().namelist())
    return sorted(set(re.findall(r"/v([0-9.]+)-local-strict/", names)))


@cache
def _registry(version: str) -> Registry[Any]:
    definitions = _read(version, "_definitions.json")
    resource = Resource.from_contents(definitions, default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("_definitions.json", resource)
    return registry


def _read(version: str, name: str) -> Any:
    return json.loads(_archive().read(f"{SCHEMAS}v{version}-local-strict/{name}"))


@cache
def _validator(version: str, kind: str, api_version: str) -> Draft202012Validator:
    group, _, number = api_version.rpartition("/")
    # rbac.authorization.k8s.io/v1 is rbac-v1 in the files' names.
    name = "-".join([kind.lower(), *filter(None, [group.split(".")[0]]), number])
    return Draft202012Validator(_read(version, f"{name}.json"), registry=_registry(version))


@cache
def _crd_validator(kind: str) -> Draft202012Validator:
    schema = json.loads((CRDS / f"{kind.lower()}.json").read_text())
    return Draft202012Validator(_closed(schema))


def _closed(schema: Any) -> Any:
    """The schema with unknown fields refused wherever fields are named."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def faults(one: Object, version: str) -> Iterator[str]:
    """What this version of Kubernetes would hold against the object."""
    kind, api_version = one["kind"], one["apiVersion"]
    if api_version == CRD_GROUP:
        validator = _crd_validator(kind)
    else:
        validator = _validator(version, kind, api_version)
    for error in validator.iter_errors(one):
        where = ".".join(str(part) for part in error.absolute_path)
        yield f"{kind} {where}: {error.message[:300]} (Kubernetes {version})"
