"""Ways to break the chart, each of which the rules must notice.

Knows nothing of the rules.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.chart.helm import Helm, RefusedError, put_over
from tests.chart.rules import broken
from tests.chart.value_sets import ALL_ON, SETS, whole
from tests.chart.written import CHART

POD, DEPLOYMENT, JOB = "_pod.tpl", "deployment.yaml", "topics.yaml"
POLICY, RULE = "networkpolicy.yaml", "prometheusrule.yaml"
EDITS: tuple[tuple[str, str, str], ...] = (
    (POD, "runAsNonRoot: true", "runAsNonRoot: false"),
    (POD, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
    (POD, "drop: [ALL]", "drop: []"),
    (POD, "type: RuntimeDefault", "type: Unconfined"),
    (POD, "enableServiceLinks: false", "enableServiceLinks: true"),
    (POD, "automountServiceAccountToken: false", "automountServiceAccountToken: true"),
    (POD, "mountPath: /etc/call-dispatcher-tls", "mountPath: /etc/tls"),
    (POD, 'value: {{ include "call-dispatcher.host" .root | quote }}', 'value: ""'),
    (POD, "imagePullPolicy: {{ .root.Values.image.pullPolicy }}", "imagePullPolicy: Never"),
    ("_names.tpl", "{{ if .digest }}@{{ .digest }}{{ else }}:", "{{ if false }}{{ else }}-"),
    (DEPLOYMENT, "whenUnsatisfiable: {{ .whenUnsatisfiable }}", "whenUnsatisfiable: DoNotSchedule"),
    (POD, "value: /etc/call-dispatcher/config.yaml", "value: /etc/config.yaml"),
    (POD, "secretRef: {name: {{ .secret }}}", "secretRef: {name: other}"),
    ("_config.tpl", "/etc/call-dispatcher-tls/%s", "/tls/%s"),
    ("_config.tpl", '"default" "6379"', '"default" "6380"'),
    ("serviceaccount.yaml", "Token: false", "Token: true"),
    (DEPLOYMENT, "add .Values.lanes .Values.standbys", "add .Values.lanes 1"),
    (DEPLOYMENT, "maxUnavailable: 0", "maxUnavailable: 1"),
    (DEPLOYMENT, "path: /readyz", "path: /livez"),
    (DEPLOYMENT, "{name: http, containerPort", "{name: page, containerPort"),
    (DEPLOYMENT, "{{ .Values.terminationGracePeriodSeconds }}", "30"),
    (DEPLOYMENT, "resources: {{- toYaml .Values.resources | nindent 12 }}", "resources: {}"),
    (DEPLOYMENT, "labelSelector: {matchLabels: *selector}", "labelSelector: {matchLabels: {a: b}}"),
    (JOB, "{{ .Values.lanes | quote }}", '"1"'),
    (JOB, 'helm.sh/hook-weight: "-1"', 'helm.sh/hook-weight: "1"'),
    (JOB, ",hook-succeeded", ""),
    (JOB, "pre-install,pre-upgrade", "pre-install"),
    (JOB, "component: topics", "component: dispatcher"),
    ("service.yaml", "component: dispatcher", "component: other"),
    ("poddisruptionbudget.yaml", "      app.kubernetes.io/component: dispatcher\n", ""),
    ("podmonitor.yaml", "      app.kubernetes.io/component: dispatcher\n", ""),
    (POLICY, "{port: {{ .dns.port }}, protocol: TCP}", "{port: 443, protocol: TCP}"),
    (POLICY, '"redis" }}', '"never" }}'),
    (POLICY, "policyTypes: [Ingress, Egress]", "policyTypes: [Ingress]"),
    (POLICY, 'include "call-dispatcher.kafkaPorts" $', 'list "9092" | join " "'),
    (RULE, "expr: vector(604800)", "expr: vector(0)"),
    (RULE, '"runbook_url: docs/"', '"runbook: docs/"'),
    ("dashboards.yaml", "{{ base $path | trimSuffix", '{{ "same" | trimSuffix'),
)
VALUES = whole(
    put_over(
        put_over(ALL_ON, SETS["sasl_ssl"]),
        put_over(
            {"lanes": 4, "standbys": 2, "alerts": {"requestsRetentionSeconds": 3600}},
            {
                "config": {
                    "kafka": {"bootstrap_servers": "a:9092,b:9093"},
                    "provider": {"limit_scope": "redis", "redis_url": "redis://redis/0"},
                    "shutdown": {"drain_seconds": 40},
                }
            },
        ),
    )
)


def unnoticed(program: Path, folder: Path, every: int = 1) -> Iterator[str]:
    """The breakages that nothing held against the chart, of all or of each so-many-th."""
    copy = folder / "chart"
    shutil.copytree(CHART, copy)
    for file, old, new in EDITS[::every]:
        template = copy / "templates" / file
        text = template.read_text()
        assert old in text, f"{file} does not hold {old}"
        template.write_text(text.replace(old, new))
        try:
            noticed = bool(broken(Helm(program, copy).render(VALUES)))
        except (RefusedError, LookupError, ValueError):
            # No chart any more, or none of the kind that the rules can read.
            noticed = True
        template.write_text(text)
        if not noticed:
            yield f"{file}: {new or 'without'} instead of {old}"
