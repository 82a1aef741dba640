"""What provider-api.md demands of codes that speak of the flow, the account or the attempt.

Written by hand from that page. Knows nothing of how a verdict is reached.
"""

from __future__ import annotations

from tests.matrix.words import Fault, Row, Rule, Says, always, once, says, says_once

NOWHERE = Says(200)
"""A success that names neither a request nor calls."""
NOBODY = Says(202, "Accepted")
UNREADABLE = Says(209, "Partial Success", request_id=True, more={"call-details": None})

ROWS = (
    Row(
        page="301, 304, 203, 204, 207, 302: definite, hold the flow",
        faults=(
            *always("code-301", "code-304", "code-203", "code-204", "code-207", "code-302"),
            says("301-as-text", Says("301", "INVALID FLOW ID"), code=301),
            says("301-under-404", Says(301, "Invalid Flow Id", status=404)),
            says("301-under-500", Says(301, "Invalid Flow Id", status=500)),
        ),
        first="flow held, then accepted",
        lost="flow held, then accepted",
        kept="flow held, then unconfirmed 201",
        failed="flow held, then accepted",
        reminted="flow held, then accepted",
        taken_lost="flow held, then accepted",
        taken_kept="flow held, then unconfirmed 201",
    ),
    Row(
        page="202 with neither a request-id nor another meaning than an invalid security-id, and "
        "the flow has its own",
        faults=(
            *always("code-202"),
            says("202-security-in-capitals", Says(202, "INVALID SECURITY ID")),
            says(
                "202-security-under-401",
                Says(202, "Invalid Security Id", status=401, more={"request-id": ""}),
            ),
        ),
        first="flow held, then accepted",
        lost="flow held, then accepted",
        kept="flow held, then unconfirmed 201",
        failed="flow held, then accepted",
        reminted="flow held, then accepted",
        taken_lost="flow held, then accepted",
        taken_kept="flow held, then unconfirmed 201",
    ),
    Row(
        page="the same, and the flow has the security-id of all: hold the account (once only, for "
        "there is one such account)",
        faults=(Fault("202-of-the-account", (Rule("code-202"),), 202, own_account=False),),
        first="account held, then accepted",
        lost=None,
        kept=None,
        failed=None,
        reminted=None,
        taken_lost=None,
        taken_kept=None,
    ),
    Row(
        page="401, 211, 212: definite, hold the account",
        faults=(
            *always("code-401", "code-211", "code-212"),
            says("401-as-text", Says("401", "ip not whitelisted"), code=401),
            says("401-under-404", Says(401, "IP not Whitelisted", status=404)),
            says("212-under-500", Says(212, "Insufficient Balance", status=500)),
        ),
        first="account held, then accepted",
        lost="account held, then accepted",
        kept="account held, then unconfirmed 201",
        failed="account held, then accepted",
        reminted="account held, then accepted",
        taken_lost="account held, then accepted",
        taken_kept="account held, then unconfirmed 201",
    ),
    Row(
        page="an unknown code: ambiguous, and hold the account",
        faults=(
            *always("code-100", "code-214", "code-299", "code-404", "code-999"),
            says("code-negative", Says(-1)),
            says("code-0", Says(0)),
            says("code-of-30-digits", Says(raw=f'{{"api-response-code":{10**29}}}')),
            says("999-under-403", Says(999, status=403)),
        ),
        first="account held, then accepted",
        lost="account held, then accepted",
        kept="account held, then unconfirmed 201",
        failed="account held, then accepted",
        reminted="account held, then accepted",
        taken_lost="account held, then accepted",
        taken_kept="account held, then unconfirmed 201",
    ),
    Row(
        page="an unknown code over calls that were placed: the 201 that follows tells nothing",
        faults=once("code-999-after"),
        first="unconfirmed 201",
        lost="unconfirmed 201",
        kept="unconfirmed 201",
        failed="unconfirmed 201",
        reminted="unconfirmed 201",
        taken_lost="unconfirmed 201",
        taken_kept="unconfirmed 201",
    ),
    Row(
        page="208: definite, back off; after the retry budget hold the flow",
        faults=always("code-208"),
        first="flow held, then accepted",
        lost="flow held, then accepted",
        kept="flow held, then unconfirmed 201",
        failed="flow held, then accepted",
        reminted="flow held, then accepted",
        taken_lost="flow held, then accepted",
        taken_kept="flow held, then unconfirmed 201",
    ),
    Row(
        page="208 once: a refusal, so that a 201 to the same bytes tells nothing any more",
        faults=once("code-208"),
        first="accepted",
        lost="accepted",
        kept="unconfirmed 201",
        failed="accepted",
        reminted="accepted",
        taken_lost="accepted",
        taken_kept="unconfirmed 201",
    ),
    Row(
        page="206, 500, 213, a 200 or 202 that names nothing, a 209 without a readable list: "
        "ambiguous; same bytes, then unconfirmed",
        faults=(
            *always("code-206", "code-500", "code-213"),
            says("500-as-text", Says("500", "FAILURE"), code=500),
            says("500-under-503", Says(500, "Failure", status=503)),
            says("200-names-nothing", NOWHERE),
            says("200-details-null", Says(200, more={"request-id": None, "call-details": None})),
            says("202-names-nothing", NOBODY),
            says("202-request-id-empty", Says(202, "Accepted", more={"request-id": ""})),
            says("202-request-id-null", Says(202, "Accepted", more={"request-id": None})),
            *always("code-209"),
            says("209-details-null", UNREADABLE),
            says(
                "209-details-a-text",
                Says(209, "Partial Success", request_id=True, more={"call-details": "a"}),
            ),
        ),
        first="unconfirmed *",
        lost="unconfirmed *",
        kept="unconfirmed *",
        failed="unconfirmed *",
        reminted="unconfirmed *",
        taken_lost="unconfirmed *",
        taken_kept="unconfirmed *",
    ),
    Row(
        page="206, 500, 213 and their like over calls that were placed: the 201 that follows tells "
        "nothing",
        faults=(
            *once("code-206-after", "code-500-after", "code-213-after"),
            says_once("200-names-nothing", NOWHERE, placed=True),
            says_once("202-names-nothing", NOBODY, placed=True),
            says_once("209-details-null", UNREADABLE, placed=True),
        ),
        first="unconfirmed 201",
        lost="unconfirmed 201",
        kept="unconfirmed 201",
        failed="unconfirmed 201",
        reminted="unconfirmed 201",
        taken_lost="unconfirmed 201",
        taken_kept="unconfirmed 201",
    ),
    Row(
        page="206, 500, 213 and their like before any call was placed: the same bytes are taken",
        faults=(
            *once("code-206", "code-500", "code-213"),
            says_once("200-names-nothing", NOWHERE, placed=False),
            says_once("202-names-nothing", NOBODY, placed=False),
            says_once("209-details-null", UNREADABLE, placed=False),
        ),
        first="accepted",
        lost="accepted",
        kept="unconfirmed 201",
        failed="accepted",
        reminted="accepted",
        taken_lost="accepted",
        taken_kept="unconfirmed 201",
    ),
    Row(
        page="201: by what this very mint has behind it",
        faults=(
            *always("code-201"),
            says("201-as-text", Says("201", "CHECKSUM REPEATED"), code=201),
            says("201-under-409", Says(201, "Checksum Repeated", status=409)),
        ),
        first="duplicate 201",
        lost="checksum",
        kept="checksum",
        failed="unconfirmed 201",
        reminted="unconfirmed 201",
        taken_lost="checksum",
        taken_kept="checksum",
    ),
    Row(
        page="201 to the first attempt of a new mint: moved by a second, and taken",
        faults=once("code-201"),
        first="duplicate 201",
        lost="checksum",
        kept="checksum",
        failed="unconfirmed 201",
        reminted="accepted",
        taken_lost="checksum",
        taken_kept="checksum",
    ),
)
