"""Rules of objects that name each other: selectors, references, hooks, names, switches.

Knows nothing of what is inside a pod.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from tests.chart.helm import DISPATCHER, TOPICS, Object, Rendered, is_hook

OBJECT_BYTES_MAX = 1_000_000
"""Kubernetes keeps no larger ConfigMap (1 MiB, with what it adds)."""
SELECTING = ("PodDisruptionBudget", "PodMonitor", "Service")


def account_has_no_token(release: Rendered) -> Iterator[str]:
    """The dispatcher asks nothing of Kubernetes."""
    account = release.one("ServiceAccount")
    if account["automountServiceAccountToken"] is not False:
        yield "the account has a token"
    if release.pods[DISPATCHER]["spec"]["serviceAccountName"] != account["metadata"]["name"]:
        yield "the pods do not use the account"


def replicas_are_lanes_and_standbys(release: Rendered) -> Iterator[str]:
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


def selectors_mean_the_dispatcher(release: Rendered) -> Iterator[str]:
    """Who asks a Service or counts replicas must not meet the Job; the policy binds both."""
    deployment = release.one("Deployment")["spec"]
    found = {"Deployment": deployment["selector"]["matchLabels"]}
    for one in release.objects:
        selector = one["spec"]["selector"] if one["kind"] in SELECTING else {}
        if selector:
            found[one["kind"]] = selector.get("matchLabels", selector)
    for number, spread in enumerate(release.spec.get("topologySpreadConstraints", [])):
        found[f"spread {number}"] = spread["labelSelector"]["matchLabels"]
    for what, labels in found.items():
        met = {name for name, pod in release.pods.items() if _has(pod, labels)}
        if met != {DISPATCHER}:
            yield f"{what} means {met}"
    for policy in release.all("NetworkPolicy"):
        labels = policy["spec"]["podSelector"]["matchLabels"]
        if not all(_has(pod, labels) for pod in release.pods.values()):
            yield "the policy leaves pods out"


def what_is_named_exists(release: Rendered) -> Iterator[str]:
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


def hooks_leave_nothing(release: Rendered) -> Iterator[str]:
    """Secrets that a hook left behind would stay after the release."""
    for one in filter(is_hook, release.objects):
        notes = one["metadata"]["annotations"]
        if notes["helm.sh/hook"] != "pre-install,pre-upgrade":
            yield f"{one['kind']} runs at {notes['helm.sh/hook']}"
        if notes["helm.sh/hook-delete-policy"] != "before-hook-creation,hook-succeeded":
            yield f"{one['kind']} stays"


def names_and_labels_are_in_order(release: Rendered) -> Iterator[str]:
    """Two objects of one name: the later wins, and nobody is told."""
    names = Counter((one["kind"], one["metadata"]["name"]) for one in release.objects)
    yield from (f"{name} {count} times" for name, count in names.items() if count > 1)
    for one in release.objects:
        meta = one["metadata"]
        if len(meta["name"]) > 63 or len(json.dumps(one)) > OBJECT_BYTES_MAX:
            yield f"{meta['name']} is too long"
        if "namespace" in meta or meta["labels"]["app.kubernetes.io/instance"] != "calls":
            yield f"{meta['name']}: {meta}"


def switches_switch(release: Rendered) -> Iterator[str]:
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


def _has(pod: Object, labels: dict[str, str]) -> bool:
    found: dict[str, str] = pod["metadata"]["labels"]
    return labels.items() <= found.items()


def _weight(one: Object) -> int:
    return int(one["metadata"].get("annotations", {}).get("helm.sh/hook-weight", 0))


def _named(pod: Object) -> Iterator[tuple[str, str]]:
    for volume in pod["spec"]["volumes"]:
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        else:
            yield "Secret", volume["secret"]["secretName"]
    for container in pod["spec"]["containers"]:
        yield from (("Secret", one["secretRef"]["name"]) for one in container["envFrom"])
