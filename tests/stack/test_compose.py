"""deploy/compose.yaml and what it mounts. The same without containers runs in `make stack`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from jsonschema.validators import validator_for

from service.settings import Settings
from tests.support.settings import SECURITY_ID

HERE = Path(__file__).parent
DEPLOY = HERE.parents[1] / "deploy"


def _compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return content


def test_the_file_obeys_the_compose_specification() -> None:
    """A misspelt key is refused by `docker compose`, on the machine of somebody who tries this out.

    compose-spec.json is the specification's own, of compose-go 2.16.2.
    """
    schema = json.loads((HERE / "compose-spec.json").read_text())
    validator = validator_for(schema)
    validator.check_schema(schema)
    problems = [error.message for error in validator(schema).iter_errors(_compose())]
    assert problems == []


def test_what_is_mounted_is_there() -> None:
    """Docker makes an empty directory of what is missing, and the container fails oddly."""
    for name, service in _compose()["services"].items():
        for mount in service.get("volumes", ()):
            assert (DEPLOY / mount.split(":")[0]).exists(), f"{name}: {mount}"


def test_the_services_depend_on_services_that_there_are() -> None:
    """The schema does not look: a renamed service would only fail at `up`."""
    services = _compose()["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services), name
        mode = service.get("network_mode", "service:twin")
        assert mode.removeprefix("service:") in services, name


def test_the_dispatchers_configuration_is_valid() -> None:
    """A field that is gone would keep both dispatchers from starting."""
    config = yaml.safe_load((DEPLOY / "dispatcher.yaml").read_text())
    config["provider"]["security_id"] = SECURITY_ID
    assert Settings.model_validate(config).provider.limit_scope == "redis"


def test_prometheus_asks_where_the_dispatchers_listen() -> None:
    """A wrong target is an alert that never fires."""
    services = _compose()["services"]
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())
    targets = config["scrape_configs"][0]["static_configs"][0]["targets"]
    ports = [
        services[name]["environment"]["DISPATCHER_HTTP__PORT"]
        for name in ("dispatcher-1", "dispatcher-2")
    ]
    assert targets == [f"twin:{port}" for port in ports]
    assert {f"127.0.0.1:{port}:{port}" for port in ports} < set(services["twin"]["ports"])
