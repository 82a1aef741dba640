"""What must hold of the rendered objects, whatever the values: each rule yields what is wrong.

Knows nothing of templates, nor of what Kubernetes' schemas say already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.chart.helm import Rendered
from tests.chart.rules import network, objects, pods, watching

ALL: tuple[Callable[[Rendered], Iterator[str]], ...] = (
    pods.pods_are_restricted,
    pods.pods_have_their_share,
    pods.the_image_is_the_one_given,
    pods.wishes_reach_the_pods,
    pods.files_are_mounted,
    pods.probes_reach_the_program,
    pods.grace_is_longer_than_drain,
    objects.account_has_no_token,
    objects.replicas_are_lanes_and_standbys,
    objects.selectors_mean_the_dispatcher,
    objects.what_is_named_exists,
    objects.hooks_leave_nothing,
    objects.names_and_labels_are_in_order,
    objects.switches_switch,
    network.policy_opens_what_is_needed,
    watching.prometheus_finds_them,
    watching.alerts_are_those_of_the_file,
    watching.dashboards_are_those_of_the_folder,
)


def broken(release: Rendered) -> list[str]:
    """All that is wrong with a release, each with its rule's name."""
    return [f"{rule.__name__}: {fault}" for rule in ALL for fault in rule(release)]
