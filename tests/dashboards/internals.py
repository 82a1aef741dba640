"""The dashboard internals: "Which process is it, and does Kafka keep up?".

Knows nothing of how a panel is drawn.
"""

from __future__ import annotations

from tests.dashboards.model import Dashboard, Panel, quantiles, rates

INTERNALS = Dashboard(
    "internals",
    "call-dispatcher: internals",
    {
        "Who owns what?": (
            Panel(
                "Lanes and owners",
                "1 at exactly one replica a lane.",
                "short",
                {
                    "lane {{lane}} {{instance}}": (
                        "max by (lane, instance) (dispatcher_lane_owned{%})"
                    )
                },
            ),
            Panel(
                "Takeovers and recovered batches",
                "In ten minutes. A deployment makes one a lane; more are crashes, or a weak "
                "connection to Kafka.",
                "short",
                {
                    "takeovers {{instance}}": (
                        "sum by (instance) (increase(dispatcher_takeovers_total{%}[10m]))"
                    ),
                    "recovered {{instance}}": (
                        "sum by (instance) (increase(dispatcher_recovered_batches_total{%}[10m]))"
                    ),
                },
            ),
            Panel(
                "Up since",
                "Hours since the start of each process. A saw is a process that restarts.",
                "s",
                {"{{instance}}": "time() - process_start_time_seconds{%}"},
            ),
        ),
        "Does Kafka keep up?": (
            Panel(
                "Time of a turn",
                "One transaction. Above a second the brokers are slow.",
                "s",
                quantiles("turn_duration_seconds"),
            ),
            Panel(
                "Turns",
                "Transactions a second; few while nothing is to do.",
                "ops",
                {
                    "{{instance}}": (
                        "sum by (instance)"
                        " (rate(dispatcher_turn_duration_seconds_count{%}[$__rate_interval]))"
                    )
                },
            ),
            Panel(
                "Lag by partition",
                "Records of the requests topic without an outcome. One far above the others: a "
                "key with too many events.",
                "short",
                {"{{partition}}": "max by (partition) (dispatcher_lag_records{%})"},
            ),
            Panel(
                "Checkpoint",
                "Kafka refuses one of 1 MiB, and the lane can go on no longer.",
                "bytes",
                {"{{instance}}": "max by (instance) (dispatcher_checkpoint_bytes{%})"},
            ),
            Panel(
                "Events read",
                "By replica; a standby reads none.",
                "eps",
                rates("events_consumed_total", "instance"),
            ),
            Panel(
                "Events lost to retention",
                "In an hour. Kafka deleted them before they had an outcome: "
                "docs/runbooks/events-lost.md.",
                "short",
                {"events": "sum(increase(dispatcher_events_lost_total{%}[1h]))"},
            ),
        ),
        "What does it cost?": (
            Panel(
                "CPU",
                "Cores. One process cannot use more than one.",
                "short",
                {"{{instance}}": "rate(process_cpu_seconds_total{%}[$__rate_interval])"},
            ),
            Panel(
                "Memory",
                "Resident. It is bounded by the window, whatever the backlog.",
                "bytes",
                {"{{instance}}": "process_resident_memory_bytes{%}"},
            ),
            Panel(
                "Versions",
                "Replicas of each version; two lines during a deployment.",
                "short",
                {"{{version}}": "count by (version) (dispatcher_build_info{%})"},
            ),
        ),
    },
)
