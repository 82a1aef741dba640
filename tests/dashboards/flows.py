"""The dashboard flows: "Whose customers are not called?".

Knows nothing of how a panel is drawn.
"""

from __future__ import annotations

from tests.dashboards.model import Dashboard, Panel

ACCEPTED = 'dispatcher_calls_dispatched_total{%,outcome="accepted"}'
REJECTED = 'dispatcher_calls_dispatched_total{%,outcome!="accepted"}'

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
