"""What provider-api.md demands of bare HTTP statuses, answers without meaning, and lost ones.

Written by hand from that page. Knows nothing of how a verdict is reached.
"""

from __future__ import annotations

from tests.matrix.words import Row, Says, always, once, says, says_once

ROWS = (
    Row(
        page="timeout, reset, HTTP 502-504, an empty or malformed body: ambiguous; same bytes, "
        "then unconfirmed",
        faults=(
            *always("silence-before", "silence-after", "cut-before", "cut-after", "drip-after"),
            *always("empty-after", "malformed-inside", "malformed-after"),
            *always("truncated-after", "wrong-length-after", "http-502", "http-503", "http-504"),
            says("body-empty", Says(raw="")),
            says("body-a-page", Says(raw="<html>Welcome</html>")),
            says("body-a-list", Says(raw="[]")),
            says("body-null", Says(raw="null")),
            says("body-an-object", Says(raw='{"error":"oops"}')),
            says("code-a-fraction", Says("205.0")),
            says("code-true", Says(raw='{"api-response-code":true}')),
            says("code-null", Says(raw='{"api-response-code":null}')),
            says("code-a-word", Says("OK")),
            says("code-empty", Says("")),
            says("code-a-list", Says(raw='{"api-response-code":[205]}')),
        ),
        first="unconfirmed",
        lost="unconfirmed",
        kept="unconfirmed",
        failed="unconfirmed",
        reminted="unconfirmed",
        taken_lost="unconfirmed",
        taken_kept="unconfirmed",
    ),
    Row(
        page="the same once, over calls that were placed: the 201 that follows shows it",
        faults=(
            *once("silence-after", "cut-after", "drip-after", "empty-after", "malformed-after"),
            *once("truncated-after", "wrong-length-after"),
            *once("http-502-after", "http-503-after", "http-504-after"),
            says_once("body-a-page", Says(raw="<html>Welcome</html>"), placed=True),
            says_once("code-a-word", Says("OK"), placed=True),
        ),
        first="checksum",
        lost="checksum",
        kept="checksum",
        failed="unconfirmed 201",
        reminted="checksum",
        taken_lost="checksum",
        taken_kept="checksum",
    ),
    Row(
        page="the same once, before any call was placed: the same bytes are taken",
        faults=(
            *once("silence-before", "cut-before", "malformed-inside", "http-503"),
            says_once("body-empty", Says(raw=""), placed=False),
        ),
        first="accepted",
        lost="accepted",
        kept="checksum",
        failed="accepted",
        reminted="accepted",
        taken_lost="accepted",
        taken_kept="checksum",
    ),
    Row(
        page="any other HTTP status without a readable code: ambiguous; same bytes, then "
        "unconfirmed",
        faults=always(
            *("http-400", "http-401", "http-402", "http-406", "http-409", "http-418", "http-422"),
            *("http-500", "http-501", "http-505", "http-507"),
        ),
        first="unconfirmed",
        lost="unconfirmed",
        kept="unconfirmed",
        failed="unconfirmed",
        reminted="unconfirmed",
        taken_lost="unconfirmed",
        taken_kept="unconfirmed",
    ),
    Row(
        page="such a status is not among those after which a 201 shows that the calls arrived",
        faults=once("http-400-after", "http-409-after", "http-500-after", "http-501-after"),
        first="unconfirmed 201",
        lost="unconfirmed 201",
        kept="unconfirmed 201",
        failed="unconfirmed 201",
        reminted="unconfirmed 201",
        taken_lost="unconfirmed 201",
        taken_kept="unconfirmed 201",
    ),
    Row(
        page="HTTP 403: definite, hold the account",
        faults=(
            *always("http-403"),
            says("403-json", Says(raw='{"error":"forbidden"}', status=403)),
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
        page="3xx, 404, 405: ambiguous, and hold the account; no redirect is followed",
        faults=always(
            *("http-300", "http-301", "http-302", "http-304", "redirect", "http-308"),
            *("http-404", "http-405"),
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
        page="3xx, 404, 405 over calls that were placed: the 201 that follows tells nothing",
        faults=once("http-302-after", "redirect-after", "http-404-after", "http-405-after"),
        first="unconfirmed 201",
        lost="unconfirmed 201",
        kept="unconfirmed 201",
        failed="unconfirmed 201",
        reminted="unconfirmed 201",
        taken_lost="unconfirmed 201",
        taken_kept="unconfirmed 201",
    ),
)
