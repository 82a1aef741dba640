"""The dashboard provider: "What does the provider say, and what do we send it?".

Knows nothing of how a panel is drawn.
"""

from __future__ import annotations

from tests.dashboards.model import Dashboard, Panel, quantiles, rates

CODES = Panel(
    "Requests by code",
    "The provider's code; http_ where only a status came; no_answer; not_sent. "
    "docs/protocol.md has each.",
    "reqps",
    rates("requests_total", "code"),
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
