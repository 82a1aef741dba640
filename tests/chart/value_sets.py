"""Values that must render, and values that must be refused, with words of the sentence.

Knows nothing of what comes out.
"""

from __future__ import annotations

from typing import Any

from tests.chart.helm import Values, put_over

URL = "https://provider.example.com/kairos-apis/outbound/create"
ID = "0123456789abcdef" * 4
SECURITY_ID = "DISPATCHER_PROVIDER__SECURITY_ID"
REDIS = "DISPATCHER_PROVIDER__REDIS_URL"
LEAST: Values = {
    "config": {"kafka": {"bootstrap_servers": "kafka:9092"}, "provider": {"url": URL}},
    "secret": {SECURITY_ID: ID},
}
BASE_URL = "https://git.example.com/call-dispatcher/blob/main"
PEERS = [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]
NO_SECRET = {SECURITY_ID: None}


def _kafka(**section: Any) -> Values:
    return {"config": {"kafka": section}}


def _provider(**section: Any) -> Values:
    return {"config": {"provider": section}}


def _security(protocol: str, **more: Any) -> Values:
    return _kafka(security={"protocol": protocol, **more})


SASL = {
    "DISPATCHER_KAFKA__SECURITY__USERNAME": "calls",
    "DISPATCHER_KAFKA__SECURITY__PASSWORD": "a: 'b' #{{ c }}",
}
ALL_ON: Values = {
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "alerts": {"enabled": True, "labels": {"release": "prometheus"}, "runbooksBase": BASE_URL},
    "dashboards": {"enabled": True},
}
ALL_OFF: Values = {
    name: {"enabled": False} for name in ("service", "podDisruptionBudget", "networkPolicy")
}

SETS: dict[str, Values] = {
    "least": {},
    "all on": ALL_ON,
    "all off": {**ALL_OFF, "topics": {"create": False}},
    "existing secret": {"secret": NO_SECRET, "existingSecret": "calls.secret"},
    "all secrets": {
        "secret": {
            "DISPATCHER_PROVIDER__PREVIOUS_SECURITY_IDS": f"{ID},{ID[::-1]}",
            "DISPATCHER_HTTP__TOKEN": "0123456789abcdef",
            "DISPATCHER_FLOWS__AbCd1234__SECURITY_ID": ID[::-1],
        }
    },
    "four lanes": {"lanes": 4, "standbys": 2, "topics": {"migrate": True}},
    "no standby": {"standbys": 0},
    "sasl_ssl": {
        **_security("SASL_SSL", mechanism="SCRAM-SHA-512"),
        "secret": SASL,
        "kafkaTls": {"existingSecret": "kafka-ca"},
    },
    "sasl without tls, username in the file": {
        **_security("SASL_PLAINTEXT", mechanism="PLAIN", username="calls"),
        "secret": SASL,
    },
    "mtls": {
        **_security("SSL"),
        "kafkaTls": {"existingSecret": "kafka-tls", "cert": "tls.crt", "key": "tls.key"},
    },
    "ssl by the system's authorities": _security("SSL"),
    "redis by variable": {
        **_provider(limit_scope="redis"),
        "secret": {REDIS: "rediss://:secret@redis.calls:6380/0"},
        "lanes": 2,
    },
    "redis by file": _provider(limit_scope="redis", redis_url="redis://redis/0"),
    "redis in an existing secret": {
        **_provider(limit_scope="redis"),
        "secret": NO_SECRET,
        "existingSecret": "calls",
        "networkPolicy": {"redis": {"port": 6390, "to": PEERS}},
    },
    "ports and peers": {
        **_provider(url=URL.replace(".com/", ".com:8443/")),
        "networkPolicy": {
            "from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
            "kafka": {"to": PEERS, "ports": [9093, 9094]},
            "provider": {"to": PEERS},
            "dns": {"to": [], "port": 5353},
            "extraEgress": [{"to": PEERS, "ports": [{"port": 3128, "protocol": "TCP"}]}],
        },
    },
    "many brokers": _kafka(bootstrap_servers="a.kafka:9092, b.kafka:9092,[2001:db8::1]:9192"),
    "another port and host": {
        "config": {"http": {"port": 9000, "host": "::"}},
        "podMonitor": {"enabled": True, "interval": "30s"},
    },
    "large numbers and texts": {
        "config": {
            "events": {"window_bytes_max": 17179869184, "window_events_max": 2000000},
            "provider": {
                "url": URL,
                "calls_per_minute": 1000000000,
                "api_version": "1.0",
                "correlation_key": "$flow.key.correlation",
                "security_id": None,
                "redis_url": None,
            },
            "batching": {"calls_max": None, "linger_seconds": 0.25},
            "flows": {"AbCd1234": {"priority": 3, "calling_hours": ["mon-fri 09:00-21:00"]}},
        }
    },
    "long drain": {
        "config": {"shutdown": {"drain_seconds": 119.5}},
        "terminationGracePeriodSeconds": 120,
    },
    "pods": {
        "image": {
            "repository": "registry.example.com:5000/calls",
            "digest": f"sha256:{ID}",
            "pullSecrets": ["registry"],
            "pullPolicy": "Always",
        },
        "podAnnotations": {"example.com/owner": "calls"},
        "podLabels": {"team": "calls"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "calls", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {
            "podAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "kafka"}}}
                ]
            }
        },
        "priorityClassName": "calls",
        "topologySpread": [{"topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}],
        "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {}},
    },
    "no spread, own name, a user that the platform chooses": {
        "user": 0,
        **ALL_ON,
        "topologySpread": [],
        "fullnameOverride": "a-name-that-is-as-long-as-names-can-become-and-longer-still",
        "alerts": {**ALL_ON["alerts"], "lateAfterSeconds": 60, "requestsRetentionSeconds": 3600},
    },
    "as a part": {"global": {"of": "another chart"}},
}

REFUSALS: dict[str, tuple[Values, str]] = {
    "no brokers": (_kafka(bootstrap_servers=None), "bootstrap_servers is missing"),
    "brokers here": (_kafka(bootstrap_servers="kafka:1,127.0.0.1:9092"), "127.0.0.1, which is the"),
    "no url": (_provider(url=None), "provider.url is missing"),
    "plain http": (_provider(url="http://127.0.0.1/"), "must begin with https://"),
    "no security-id": ({"secret": NO_SECRET}, "no security-id"),
    "two secrets": ({"existingSecret": "calls"}, "keep one of the two"),
    "a secret in the file": (_provider(security_id=ID), "security_id is a secret"),
    "a token in the file": ({"config": {"http": {"token": ID}}}, "http.token is a secret"),
    "a password in the file": (
        _security("SASL_SSL", mechanism="PLAIN", username="calls", password=ID),
        "security.password is a secret",
    ),
    "a password in an address": (
        _provider(limit_scope="redis", redis_url="redis://:secret@redis/0"),
        "redis_url is a secret",
    ),
    "a flow's secret in the file": (
        {"config": {"flows": {"AbCd1234": {"security_id": ID}}}},
        "flows.AbCd1234.security_id is a secret",
    ),
    "a file that no pod has": (_provider(security_id_file="/run/id"), "a file that no pod has"),
    "a certificate that no pod has": (_security("SSL", ca_file="/ca.crt"), "ca_file names a file"),
    "redis without redis": (_provider(limit_scope="redis"), "limit_scope redis needs Redis"),
    "sasl without password": (
        _security("SASL_SSL", mechanism="PLAIN", username="calls"),
        "needs a password",
    ),
    "sasl without username": (_security("SASL_SSL", mechanism="PLAIN"), "needs a username"),
    "sasl without mechanism": (
        {**_security("SASL_SSL"), "secret": SASL},
        "mechanism is required by protocol SASL_SSL",
    ),
    "certificates without tls": ({"kafkaTls": {"existingSecret": "tls"}}, "has no use with"),
    "key without certificate": (
        {**_security("SSL"), "kafkaTls": {"existingSecret": "tls", "key": "tls.key"}},
        "of no use without kafkaTls.cert",
    ),
    "drain longer than grace": ({"terminationGracePeriodSeconds": 35}, "leaves batches in doubt"),
    "too many lanes": ({"lanes": 61}, "61 lanes have 491 calls a minute each"),
    "unreachable": ({"config": {"http": {"host": "localhost"}}}, "neither probes nor Prometheus"),
    "any port": ({"config": {"http": {"port": 0}}}, "config.http.port is 0"),
    "alerts that lead nowhere": ({"alerts": {"enabled": True}}, "runbooksBase is missing"),
    "all may go": ({"podDisruptionBudget": {"maxUnavailable": 2}}, "lets all 2 replicas go"),
    "nobody migrates": ({"topics": {"create": False, "migrate": True}}, "topics.migrate is the"),
    # What has no meaning at all is the schema's.
    "no lanes": ({"lanes": 0}, "lanes"),
    "misspelt value": ({"standby": 1}, "standby"),
    "misspelt inside": ({"networkPolicy": {"kafka": {"port": 9092}}}, "port"),
    "misspelt field": ({"config": {"batching": {"call_max": 1}}}, "call_max"),
    "out of bounds": ({"config": {"shutdown": {"drain_seconds": -1}}}, "drain_seconds"),
    "misspelt variable": ({"secret": {"DISPATCHER_HTTP__TOKENS": ID}}, "DISPATCHER_HTTP__TOKENS"),
    "root's neighbour": ({"user": 1}, "user"),
    "short security-id": ({"secret": {SECURITY_ID: "short"}}, SECURITY_ID),
}


def whole(values: Values) -> dict[str, Any]:
    """These values over the least that the chart needs."""
    return put_over(LEAST, values)
