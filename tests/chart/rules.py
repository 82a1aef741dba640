"""What must hold of the rendered objects, whatever the values: each rule yields what is wrong.

Knows nothing of templates, nor of what Kubernetes' schemas say already.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from tests.chart.helm import DISPATCHER, TOPICS, Object, Rendered, is_hook
from tests.chart.network import policy_opens_what_is_needed

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules.yaml"
DASHBOARDS = ROOT / "deploy/grafana/dashboards"
OBJECT_BYTES_MAX = 1_000_000
"""Kubernetes keeps no larger ConfigMap (1 MiB, with what it adds)."""
MOUNT, TLS_MOUNT = "/etc/call-dispatcher", "/etc/call-dispatcher-tls"

SELECTING = ("PodDisruptionBudget", "PodMonitor", "Service")

Faults = Iterator[str]


def pods_are_restricted(release: Rendered) -> Faults:
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
                {"configMap", "secret"} & one.keys() for one in _volumes(pod)
            ),
        }
        yield from (f"{component}: {name}" for name, holds in wanted.items() if not holds)


def pods_have_their_share(release: Rendered) -> Faults:
    """A pod without a bound takes the memory of its neighbours."""
    wanted = {DISPATCHER: release.values["resources"]}
    for component, pod in release.pods.items():
        (container,) = pod["spec"]["containers"]
        if component in wanted and container["resources"] != wanted[component]:
            yield f"{component} has {container['resources']}"
        if component == TOPICS and "memory" not in container["resources"]["limits"]:
            yield f"{component} is not bounded"


def account_has_no_token(release: Rendered) -> Faults:
    """The dispatcher asks nothing of Kubernetes."""
    account = release.one("ServiceAccount")
    if account["automountServiceAccountToken"] is not False:
        yield "the account has a token"
    if release.pods[DISPATCHER]["spec"]["serviceAccountName"] != account["metadata"]["name"]:
        yield "the pods do not use the account"


def replicas_are_lanes_and_standbys(release: Rendered) -> Faults:
    """An owner for each lane, and somebody to take over."""
    deployment = release.one("Deployment")["spec"]
    if deployment["replicas"] != release.values["lanes"] + release.values["standbys"]:
        yield f"{deployment['replicas']} replicas"
    if deployment["strategy"] != {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}:
        yield "an upgrade takes an owner away before another is there"
    topics = release.pods.get(TOPICS)
    words = ["topics", "create", "--lanes", str(release.values["lanes"])]
    words += ["--migrate"] * release.values["topics"]["migrate"]
    if topics and topics["spec"]["containers"][0]["args"] != words:
        yield "the topics are made for another number of lanes"


def selectors_mean_the_dispatcher(release: Rendered) -> Faults:
    """Who asks a Service or counts replicas must not meet the Job; the policy binds both."""
    deployment = release.one("Deployment")["spec"]
    found = {"Deployment": deployment["selector"]["matchLabels"]}
    for one in release.objects:
        selector = one["spec"]["selector"] if one["kind"] in SELECTING else {}
        if selector:
            found[one["kind"]] = selector.get("matchLabels", selector)
    for number, spread in enumerate(_spec(release).get("topologySpreadConstraints", [])):
        found[f"spread {number}"] = spread["labelSelector"]["matchLabels"]
    for what, labels in found.items():
        met = {name for name, pod in release.pods.items() if _has(pod, labels)}
        if met != {DISPATCHER}:
            yield f"{what} means {met}"
    for policy in release.all("NetworkPolicy"):
        labels = policy["spec"]["podSelector"]["matchLabels"]
        if not all(_has(pod, labels) for pod in release.pods.values()):
            yield "the policy leaves pods out"


def what_is_named_exists(release: Rendered) -> Faults:
    """A pod that names what is not there never starts; a hook starts before all else."""
    theirs = {release.values["existingSecret"], release.values["kafkaTls"]["existingSecret"]}
    for one in release.objects:
        if one["kind"] not in {"Deployment", "Job"}:
            continue
        there = {
            (other["kind"], other["metadata"]["name"])
            for other in release.objects
            if is_hook(other) == is_hook(one) and _weight(other) <= _weight(one)
        }
        for kind, name in _named(one["spec"]["template"]):
            if (kind, name) not in there and not (kind == "Secret" and name in theirs):
                yield f"{one['kind']} needs {kind} {name}"


def hooks_leave_nothing(release: Rendered) -> Faults:
    """Secrets that a hook left behind would stay after the release."""
    for one in filter(is_hook, release.objects):
        notes = one["metadata"]["annotations"]
        if notes["helm.sh/hook"] != "pre-install,pre-upgrade":
            yield f"{one['kind']} runs at {notes['helm.sh/hook']}"
        if notes["helm.sh/hook-delete-policy"] != "before-hook-creation,hook-succeeded":
            yield f"{one['kind']} stays"


def files_are_mounted(release: Rendered) -> Faults:
    """The program exits if a file that it is told of is not there."""
    security = release.config["kafka"].get("security", {})
    for pod in release.pods.values():
        (container,) = pod["spec"]["containers"]
        mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
        variables = {one["name"]: one["value"] for one in container["env"]}
        if set(mounts.values()) != {one["name"] for one in _volumes(pod)}:
            yield "volumes and mounts differ"
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


def probes_reach_the_program(release: Rendered) -> Faults:
    """Otherwise Kubernetes ends replicas that work, or keeps some that do not."""
    (container,) = _spec(release)["containers"]
    port = release.config.get("http", {}).get("port", 8080)
    if container["ports"] != [{"name": "http", "containerPort": port}]:
        yield f"ports {container['ports']}"
    paths = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for probe, path in paths.items():
        if container[probe]["httpGet"] != {"path": path, "port": "http"}:
            yield probe


def grace_is_longer_than_drain(release: Rendered) -> Faults:
    """A replica killed while it drains leaves batches in doubt."""
    drain = release.config.get("shutdown", {}).get("drain_seconds", 35)
    if _spec(release)["terminationGracePeriodSeconds"] <= drain:
        yield "it is not"


def alerts_are_those_of_the_file(release: Rendered) -> Faults:
    """Promtool and `make alerts` have judged the file, not a copy that drifted."""
    values = release.values["alerts"]
    text = RULES.read_text()
    for rule in release.all("PrometheusRule"):
        text = text.replace("vector(600)", f"vector({values['lateAfterSeconds']})")
        text = text.replace("vector(604800)", f"vector({values['requestsRetentionSeconds']})")
        text = text.replace("runbook_url: ", f"runbook_url: {values['runbooksBase']}/")
        if rule["spec"] != yaml.safe_load(text):
            yield "they differ"
        said = json.dumps(rule)
        if f"vector({values['lateAfterSeconds']})" not in said:
            yield "lateAfterSeconds is not used"
        if f"vector({values['requestsRetentionSeconds']})" not in said:
            yield "requestsRetentionSeconds is not used"
        pages = set(re.findall(rf"{re.escape(values['runbooksBase'])}/([^\"]+)", said))
        yield from (f"no page {page}" for page in pages if not (ROOT / page).is_file())


def dashboards_are_those_of_the_folder(release: Rendered) -> Faults:
    """One for each file, whole, with the label by which Grafana's sidecar finds it."""
    label = release.values["dashboards"]["labels"].items()
    maps = [one for one in release.all("ConfigMap") if label <= one["metadata"]["labels"].items()]
    found = {name: json.loads(text) for one in maps for name, text in one["data"].items()}
    wanted = {
        f"call-dispatcher-{one.name}": json.loads(one.read_text()) for one in _boards(release)
    }
    if found != wanted:
        yield f"{sorted(found)} instead of {sorted(wanted)}"


def names_and_labels_are_in_order(release: Rendered) -> Faults:
    """Two objects of one name: the later wins, and nobody is told."""
    names = Counter((one["kind"], one["metadata"]["name"]) for one in release.objects)
    yield from (f"{name} {count} times" for name, count in names.items() if count > 1)
    for one in release.objects:
        meta = one["metadata"]
        if len(meta["name"]) > 63 or len(json.dumps(one)) > OBJECT_BYTES_MAX:
            yield f"{meta['name']} is too long"
        if "namespace" in meta or meta["labels"]["app.kubernetes.io/instance"] != "calls":
            yield f"{meta['name']}: {meta}"


def switches_switch(release: Rendered) -> Faults:
    """What is off is not there, what is on is there once."""
    values = release.values
    kinds = Counter(one["kind"] for one in release.objects)
    switches = {
        "Job": values["topics"]["create"],
        "Service": values["service"]["enabled"],
        "PodDisruptionBudget": values["podDisruptionBudget"]["enabled"],
        "NetworkPolicy": values["networkPolicy"]["enabled"],
        "PodMonitor": values["podMonitor"]["enabled"],
        "PrometheusRule": values["alerts"]["enabled"],
    }
    yield from (kind for kind, on in switches.items() if kinds[kind] != on)
    secrets = (1 + values["topics"]["create"]) if values["secret"] else 0
    if kinds["Secret"] != secrets:
        yield f"{kinds['Secret']} Secrets"


def _spec(release: Rendered) -> Object:
    spec: Object = release.pods[DISPATCHER]["spec"]
    return spec


def _volumes(pod: Object) -> list[Object]:
    volumes: list[Object] = pod["spec"]["volumes"]
    return volumes


def _has(pod: Object, labels: dict[str, str]) -> bool:
    found: dict[str, str] = pod["metadata"]["labels"]
    return labels.items() <= found.items()


def _weight(one: Object) -> int:
    return int(one["metadata"].get("annotations", {}).get("helm.sh/hook-weight", 0))


def _named(pod: Object) -> Iterator[tuple[str, str]]:
    for volume in _volumes(pod):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        else:
            yield "Secret", volume["secret"]["secretName"]
    for container in pod["spec"]["containers"]:
        yield from (("Secret", one["secretRef"]["name"]) for one in container["envFrom"])


def _boards(release: Rendered) -> list[Path]:
    return sorted(DASHBOARDS.glob("*.json")) if release.values["dashboards"]["enabled"] else []


ALL: tuple[Callable[[Rendered], Faults], ...] = (
    pods_are_restricted,
    pods_have_their_share,
    account_has_no_token,
    replicas_are_lanes_and_standbys,
    selectors_mean_the_dispatcher,
    what_is_named_exists,
    hooks_leave_nothing,
    files_are_mounted,
    probes_reach_the_program,
    grace_is_longer_than_drain,
    policy_opens_what_is_needed,
    alerts_are_those_of_the_file,
    dashboards_are_those_of_the_folder,
    names_and_labels_are_in_order,
    switches_switch,
)


def broken(release: Rendered) -> list[str]:
    """All that is wrong with a release, each with its rule's name."""
    return [f"{rule.__name__}: {fault}" for rule in ALL for fault in rule(release)]
