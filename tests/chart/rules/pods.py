"""Rules of the pods: how they are confined, what they read, how they are asked and stopped.

Knows nothing of the objects around them.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from tests.chart.helm import DISPATCHER, MOUNT, TLS_MOUNT, TOPICS, Rendered
from tests.chart.written import CHART

EVERYWHERE = "0.0.0.0"  # noqa: S104 - a pod has an address of its own
"""The address on which a pod listens unless another is given."""


def the_image_is_the_one_given(release: Rendered) -> Iterator[str]:
    """Another version would run, or none could be pulled."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    image = release.values["image"]
    tag = f":{image['tag'] or chart['appVersion']}"
    wanted = image["repository"] + (f"@{image['digest']}" if image["digest"] else tag)
    for component, pod in release.pods.items():
        (container,) = pod["spec"]["containers"]
        if (container["image"], container["imagePullPolicy"]) != (wanted, image["pullPolicy"]):
            yield f"{component} is {container['image']}"
        secrets = [one["name"] for one in pod["spec"].get("imagePullSecrets", [])]
        if secrets != image["pullSecrets"]:
            yield f"{component} cannot pull"


def wishes_reach_the_pods(release: Rendered) -> Iterator[str]:
    """What somebody set would have no effect, and nobody would say so."""
    values = release.values
    for component, pod in release.pods.items():
        for name in ("nodeSelector", "tolerations", "affinity", "priorityClassName"):
            if (pod["spec"].get(name) or None) != (values[name] or None):
                yield f"{component} has no {name}"
    meta = release.pods[DISPATCHER]["metadata"]
    for part, given in (("annotations", "podAnnotations"), ("labels", "podLabels")):
        if not values[given].items() <= meta[part].items():
            yield given
    spreads = release.spec.get("topologySpreadConstraints", [])
    found = [{name: one[name] for name in ("topologyKey", "whenUnsatisfiable")} for one in spreads]
    if found != values["topologySpread"]:
        yield f"spread by {found}"


def pods_are_restricted(release: Rendered) -> Iterator[str]:
    """Pod Security's profile `restricted`, a file system that nobody writes, and no token."""
    for component, pod in release.pods.items():
        spec = pod["spec"]
        (container,) = spec["containers"]
        own = container["securityContext"]
        wanted = {
            "runAsNonRoot": spec["securityContext"]["runAsNonRoot"],
            "its user": spec["securityContext"].get("runAsUser", 0) == release.values["user"],
            "seccomp": spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"},
            "no escalation": own["allowPrivilegeEscalation"] is False,
            "read-only root": own["readOnlyRootFilesystem"],
            "no capabilities": own["capabilities"] == {"drop": ["ALL"]},
            "no token": spec["automountServiceAccountToken"] is False,
            "no variables of Services": spec["enableServiceLinks"] is False,
            "nothing of the host": not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(),
            "no volume but these": all(
                {"configMap", "secret"} & one.keys() for one in pod["spec"]["volumes"]
            ),
        }
        yield from (f"{component}: {name}" for name, holds in wanted.items() if not holds)


def pods_have_their_share(release: Rendered) -> Iterator[str]:
    """A pod without a bound takes the memory of its neighbours."""
    wanted = {DISPATCHER: release.values["resources"]}
    for component, pod in release.pods.items():
        (container,) = pod["spec"]["containers"]
        if component in wanted and container["resources"] != wanted[component]:
            yield f"{component} has {container['resources']}"
        if component == TOPICS and "memory" not in container["resources"]["limits"]:
            yield f"{component} is not bounded"


def files_are_mounted(release: Rendered) -> Iterator[str]:
    """The program exits if a file that it is told of is not there."""
    security, http = release.config["kafka"].get("security", {}), release.config.get("http", {})
    for pod in release.pods.values():
        (container,) = pod["spec"]["containers"]
        mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
        variables = {one["name"]: one["value"] for one in container["env"]}
        if set(mounts.values()) != {one["name"] for one in pod["spec"]["volumes"]}:
            yield "volumes and mounts differ"
        if variables["DISPATCHER_HTTP__HOST"] != http.get("host", EVERYWHERE):
            yield "it listens elsewhere"
        if variables["DISPATCHER_CONFIG"] != f"{MOUNT}/config.yaml" or MOUNT not in mounts:
            yield "the configuration is elsewhere"
        for field in ("ca_file", "cert_file", "key_file"):
            if field in security and TLS_MOUNT not in mounts:
                yield f"{field} is not mounted"
    tls = release.values["kafkaTls"]
    given = {tls[name] for name in ("ca", "cert", "key")} - {""} if tls["existingSecret"] else set()
    if {f"{TLS_MOUNT}/{name}" for name in given} != {
        value for field, value in security.items() if field.endswith("_file")
    }:
        yield "the configuration and kafkaTls differ"


def probes_reach_the_program(release: Rendered) -> Iterator[str]:
    """Otherwise Kubernetes ends replicas that work, or keeps some that do not."""
    (container,) = release.spec["containers"]
    port = release.config.get("http", {}).get("port", 8080)
    if container["ports"] != [{"name": "http", "containerPort": port}]:
        yield f"ports {container['ports']}"
    paths = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for probe, path in paths.items():
        if container[probe]["httpGet"] != {"path": path, "port": "http"}:
            yield probe


def grace_is_longer_than_drain(release: Rendered) -> Iterator[str]:
    """A replica killed while it drains leaves batches in doubt."""
    drain = release.config.get("shutdown", {}).get("drain_seconds", 35)
    if release.spec["terminationGracePeriodSeconds"] <= drain:
        yield "it is not"
