"""The dashboard overview: "Is it bad?", on one page.

Knows nothing of how a panel is drawn.
"""

from __future__ import annotations

from tests.dashboards.model import Dashboard, Panel, quantiles, rates
from tests.dashboards.provider import CODES

BACKLOG = "sum(dispatcher_lag_records{%})"
OLDEST = "max(dispatcher_oldest_event_age_seconds{%})"
USED = (
    "sum(dispatcher_limiter_utilisation_ratio{%} * dispatcher_limit_calls_per_minute{%})"
    " / sum(dispatcher_limit_calls_per_minute{%})"
)
LETTERS = Panel(
    "Dead letters by reason",
    "Customers who were not called (unconfirmed: perhaps). docs/runbooks/replay.md "
    "sends them again.",
    "eps",
    rates("dead_letters_total", "reason"),
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
