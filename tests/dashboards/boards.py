"""The four dashboards: what an operator asks, from "is it bad?" down to "which process is it?".

Knows nothing of how a panel is drawn.
"""

from __future__ import annotations

from tests.dashboards.model import Dashboard, Panel, quantiles, rates

BACKLOG = "sum(dispatcher_lag_records{%})"
OLDEST = "max(dispatcher_oldest_event_age_seconds{%})"
USED = (
    "sum(dispatcher_limiter_utilisation_ratio{%} * dispatcher_limit_calls_per_minute{%})"
    " / sum(dispatcher_limit_calls_per_minute{%})"
)
ACCEPTED = 'dispatcher_calls_dispatched_total{%,outcome="accepted"}'
REJECTED = 'dispatcher_calls_dispatched_total{%,outcome!="accepted"}'
LETTERS = Panel(
    "Dead letters by reason",
    "Customers who were not called (unconfirmed: perhaps). docs/runbooks/replay.md "
    "sends them again.",
    "eps",
    rates("dead_letters_total", "reason"),
)
CODES = Panel(
    "Requests by code",
    "The provider's code; http_ where only a status came; no_answer; not_sent. "
    "docs/protocol.md has each.",
    "reqps",
    rates("requests_total", "code"),
)

OVERVIEW = Dashboard(
    "overview",
    "call-dispatcher: overview",
    {
        "Now": (
            Panel(
                "Backlog",
                "Events without an outcome.",
                "short",
                {"events": BACKLOG},
                figure=True,
            ),
            Panel(
                "Until drained",
                "At the pace of the last minute. No value: nothing is sent.",
                "s",
                {"time": "max(dispatcher_until_drained_seconds{%})"},
                figure=True,
                red_from=3600,
            ),
            Panel(
                "Oldest event",
                "How late the latest customer is.",
                "s",
                {"age": OLDEST},
                figure=True,
                red_from=600,
            ),
            Panel(
                "Limit used",
                "Of the provider's calls a minute. At 100 % more replicas do not help.",
                "percentunit",
                {"used": USED},
                figure=True,
            ),
            Panel(
                "Holds",
                "Accounts and flows that are not called. `call-dispatcher holds list` says why.",
                "short",
                {"holds": "sum(max by (scope, flow) (dispatcher_hold_active{%}))"},
                figure=True,
                red_from=1,
            ),
            Panel(
                "Lanes without owner",
                "Their share of the customers is not called.",
                "short",
                {"lanes": "count(max by (lane) (dispatcher_lane_owned{%}) == 0) or vector(0)"},
                figure=True,
                red_from=1,
            ),
        ),
        "Are customers called?": (
            Panel(
                "Calls by outcome",
                "Committed outcomes: accepted, or the reason of the dead letter.",
                "cps",
                rates("calls_dispatched_total", "outcome"),
            ),
            LETTERS,
            CODES,
        ),
        "Are they called in time?": (
            Panel(
                "Oldest event without an outcome",
                "Rises by a second a second while nothing moves.",
                "s",
                {"oldest": OLDEST},
            ),
            Panel(
                "From event to outcome",
                "The oldest event of each batch. Parked calls come in late, and are not a fault.",
                "s",
                quantiles("end_to_end_seconds"),
            ),
            Panel(
                "Where events wait",
                "Not read or without an outcome; of these, set aside for a held flow, or for a "
                "flow with too many.",
                "short",
                {
                    "without outcome": BACKLOG,
                    "parked": "sum(dispatcher_parked_calls{%})",
                    "overflow": "sum(dispatcher_overflow_calls{%})",
                },
            ),
        ),
    },
)

FLOWS = Dashboard(
    "flows",
    "call-dispatcher: flows",
    {
        "Which flow?": (
            Panel(
                "Accepted by flow",
                "Flows that are configured by name; other: all others together.",
                "cps",
                {"{{flow}}": f"sum by (flow) (rate({ACCEPTED}[$__rate_interval]))"},
            ),
            Panel(
                "Not accepted by flow",
                "Dead letters of events that became a call.",
                "cps",
                {
                    "{{flow}} {{outcome}}": (
                        f"sum by (flow, outcome) (rate({REJECTED}[$__rate_interval]))"
                    )
                },
            ),
            Panel(
                "Share accepted by flow",
                "Over a quarter of an hour. A flow far below the others has a cause of its own.",
                "percentunit",
                {
                    "{{flow}}": (
                        f"sum by (flow) (rate({ACCEPTED}[15m]))"
                        " / sum by (flow) (rate(dispatcher_calls_dispatched_total{%}[15m]))"
                    )
                },
            ),
        ),
        "Is it held?": (
            Panel(
                "Holds",
                "1 while it is held; `other` counts the flows that are not configured by name.",
                "short",
                {"{{scope}} {{flow}}": ("max by (scope, flow) (dispatcher_hold_active{%})")},
            ),
            Panel(
                "Set aside",
                "Calls that went into the parked topic (held, or outside calling hours) and the "
                "overflow topic (a flow with too many).",
                "cps",
                {
                    "parked": "sum(rate(dispatcher_parked_total{%}[$__rate_interval]))",
                    "overflow": "sum(rate(dispatcher_overflowed_total{%}[$__rate_interval]))",
                },
            ),
            Panel(
                "Waiting aside",
                "Parked calls of a held flow end as exhausted after retry.park_max_seconds, a "
                "day unless it is set.",
                "short",
                {
                    "parked": "sum(dispatcher_parked_calls{%})",
                    "overflow": "sum(dispatcher_overflow_calls{%})",
                },
            ),
        ),
    },
)

PROVIDER = Dashboard(
    "provider",
    "call-dispatcher: provider",
    {
        "What does it say?": (
            CODES,
            Panel(
                "Retries by cause",
                "Batches that will be sent again. Some are usual; a rise means trouble at the "
                "provider or on the way.",
                "reqps",
                rates("retries_total", "cause"),
            ),
            Panel(
                "Account held",
                "1: nobody is called until the provider takes the account again, or an operator "
                "releases it.",
                "short",
                {"account": 'max(dispatcher_hold_active{%,scope="account"})'},
            ),
        ),
        "How fast is it?": (
            Panel(
                "Time to an answer",
                "From the start of a request to its end; up to provider.timeout_seconds.",
                "s",
                quantiles("request_duration_seconds"),
            ),
            Panel(
                "Requests in flight",
                "Up to provider.concurrency a lane. At that height the provider's slowness is "
                "what limits.",
                "short",
                {"{{instance}}": "sum by (instance) (dispatcher_requests_in_flight{%})"},
            ),
            Panel(
                "Calls a request",
                "Mean, and the largest batches. Small batches under a backlog waste the limit of "
                "requests.",
                "short",
                {
                    "mean": (
                        "sum(rate(dispatcher_batch_calls_sum{%}[$__rate_interval]))"
                        " / sum(rate(dispatcher_batch_calls_count{%}[$__rate_interval]))"
                    ),
                    "p95": quantiles("batch_calls")["p95"],
                },
            ),
        ),
        "How much of the limit?": (
            Panel(
                "Calls in the sliding minute",
                "Beside the limit. The window never goes beyond it.",
                "short",
                {
                    "used": (
                        "sum(dispatcher_limiter_utilisation_ratio{%}"
                        " * dispatcher_limit_calls_per_minute{%})"
                    ),
                    "limit": "sum(dispatcher_limit_calls_per_minute{%})",
                },
            ),
            Panel(
                "Wait for a place in the limit",
                "Of each batch. Long waits are the limit at work, not a fault.",
                "s",
                quantiles("limiter_wait_seconds"),
            ),
            Panel(
                "Lanes by what they send by",
                "shared: the window of all lanes; silent: nothing is sent, "
                "docs/runbooks/limit-silent.md.",
                "short",
                {"{{standing}}": "sum by (standing) (dispatcher_limit_standing{%})"},
            ),
        ),
        "What is sent?": (
            Panel(
                "Batches by what filled them",
                "The linger time, the number of calls, or bytes.",
                "reqps",
                rates("batches_sealed_total", "cause"),
            ),
            Panel(
                "Bytes of a body",
                "Up to batching.body_bytes_max.",
                "bytes",
                quantiles("batch_bytes"),
            ),
        ),
    },
)

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

BOARDS = (OVERVIEW, FLOWS, PROVIDER, INTERNALS)
