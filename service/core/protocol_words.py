"""The words of docs/protocol.md: what each kind of answer obliges to, and what a person can do.

Knows nothing of how the page is put together (reference.py) or of what an answer is judged to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from service.core.codes import Kind, Remedy, Scope


class Meaning(Enum):
    """Sections of the page: answers that are treated alike."""

    ACCEPTED = "Accepted"
    REPEATED = "Repeated bytes"
    CALLS = "Some calls are refused"
    FORM = "The form is refused"
    SIZE = "The batch is too large"
    LATER = "Refused for now"
    PAUSE = "Too much at once"
    FLOW = "The flow is refused"
    ACCOUNT = "The account is refused"
    DOUBT = "In doubt"
    UNANSWERED = "In doubt without an answer"
    STRANGE = "In doubt and held"
    UNSENT = "Not sent"


MEANINGS: Mapping[tuple[Kind, Remedy | None, Scope | None], Meaning] = {
    (Kind.ACCEPTED, None, None): Meaning.ACCEPTED,
    (Kind.PARTIAL, None, None): Meaning.ACCEPTED,
    (Kind.CHECKSUM, None, None): Meaning.REPEATED,
    (Kind.REFUSED, Remedy.BISECT, Scope.CALL): Meaning.CALLS,
    (Kind.REFUSED, Remedy.PROBE, Scope.CALL): Meaning.FORM,
    (Kind.REFUSED, Remedy.HALVE, Scope.BATCH): Meaning.SIZE,
    (Kind.REFUSED, Remedy.BACK_OFF, Scope.BATCH): Meaning.LATER,
    (Kind.REFUSED, Remedy.PAUSE, Scope.ACCOUNT): Meaning.PAUSE,
    (Kind.REFUSED, Remedy.HOLD, Scope.FLOW): Meaning.FLOW,
    (Kind.REFUSED, Remedy.HOLD, Scope.ACCOUNT): Meaning.ACCOUNT,
    (Kind.DOUBTFUL, None, None): Meaning.DOUBT,
    (Kind.UNANSWERED, None, None): Meaning.UNANSWERED,
    (Kind.DOUBTFUL, Remedy.HOLD, Scope.ACCOUNT): Meaning.STRANGE,
    (Kind.UNSENT, None, None): Meaning.UNSENT,
}

ENDS: Mapping[Meaning, str] = {
    Meaning.ACCEPTED: "`accepted`",
    Meaning.REPEATED: "`accepted`, `duplicate` or `unconfirmed`",
    Meaning.CALLS: "`rejected`: the calls at fault",
    Meaning.FORM: "`rejected`: the calls at fault; `exhausted`",
    Meaning.SIZE: "`oversize`: a call alone",
    Meaning.LATER: "`exhausted`",
    Meaning.PAUSE: "none",
    Meaning.FLOW: "`exhausted`",
    Meaning.ACCOUNT: "none",
    Meaning.DOUBT: "`unconfirmed`, or as a later answer says",
    Meaning.UNANSWERED: "`accepted` or `unconfirmed`",
    Meaning.STRANGE: "`unconfirmed`, or as a later answer says",
    Meaning.UNSENT: "none",
}
"""As what calls can end because of such an answer."""
ENDS_OF_EACH = "each call: `accepted`, `rejected` or `unconfirmed`"

SIGNS = {
    "202 refused": "202 with a message of an invalid security-id, and no request-id",
    "202": "202 with a request-id",
    "other code": "any other code",
    "HTTP 2xx": "HTTP 2xx, its body empty or malformed",
    "other status": "any other HTTP status",
    "no answer": "time limit, reset, close, or an answer that is no HTTP",
    "not sent": "no connection, DNS or TLS failure, closed before a byte was sent",
}
"""How the page writes a row's sign, where the sign alone would not be plain."""

UNNAMED = frozenset(
    (
        "other code",
        "other status",
        "no answer",
        "not sent",
        "HTTP 2xx",
        "HTTP 3xx",
        "HTTP 404",
        "HTTP 405",
        "HTTP 429",
        "HTTP 502",
        "HTTP 503",
        "HTTP 504",
    )
)
"""Rows whose name is ours and stands in no answer and in no document."""

ADVICE = {
    "200": "nothing. With neither a request-id nor call-details it is [in doubt](#in-doubt)",
    "202": "nothing. With neither a request-id nor the message it is [in doubt](#in-doubt)",
    "209": "look at the dead letters of the calls that were not taken",
    "201": "nothing for `accepted`; look up what is dead-lettered, and publish each call once",
    "205": "correct the numbers of the dead-lettered calls upstream",
    "402": "have the numbers put on the provider's list, or use an account without one",
    "400": "correct what the message names; if a flow is held by it, look at the flow's variables",
    "210": "send what is missing (the dialer needs `start-time`); for a held flow as for 400",
    "303": "nothing, or lower `batching.calls_max` to what the account takes",
    "HTTP 413": "nothing, or lower `batching.body_bytes_max`: a front may allow less",
    "208": "wait; if it lasts, ask the provider for more caller ids for the flow",
    "HTTP 429": "lower `provider.calls_per_minute` if it comes again: others use the account too",
    "206": "look up the calls that end `unconfirmed`, then replay those that were not placed",
    "500": "as for 206; if it lasts, ask the provider",
    "213": "ask the provider: this code belongs to another of its interfaces",
    "HTTP 2xx": "ask what stands between here and the provider: it answers in its place",
    "HTTP 502": "wait: the provider is down behind its front",
    "HTTP 503": "wait: the provider is down or overloaded",
    "HTTP 504": "wait: the provider answers its front too slowly",
    "other status": "read the log line, which has the status; ask the provider",
    "no answer": "see that `provider.timeout_seconds` is longer than the provider takes",
    "not sent": "check `provider.url`, DNS, certificates, egress rules; `check --connect` tries it",
}
"""By sign: what a person can do, where no hold says it (codes.py, HOLD_TEXTS)."""

INTRODUCTION = """\
# The provider's answers

What each answer of the provider means to this program, what becomes of the calls, and what you
can do. One request carries a batch, calls of one flow. An answer is told by the
`api-response-code` in its body (an integer, or a string of digits); only if there is none that
can be read by the HTTP status, and if there was no answer by how the connection ended. Where you
meet a code: `dispatch.code` of a dead letter, `api-response-code` of a result, label `code` of
`dispatcher_requests_total`, the log's `request ended`, and the reason of a hold in `/status`.

- **Reaches** is how far the trouble goes: one call, this batch, its flow, or the account
  (everything that uses one security-id).
- **Definite** means that no call of the request was accepted. It may be cut or changed, and goes
  out again as *new bytes*: its JSON is followed by 64 spaces and tabs which nothing else ever
  ends in, for the provider may remember refused bytes.
- **Ambiguous** means that calls may have been accepted. Only the very same bytes may go out
  again, because the provider answers bytes that it knows with 201 and calls nobody. What stays
  unknown ends `unconfirmed`, for a person to look up; the program never guesses.
- `accepted` says that the provider took the request over. In profile `bulk` it has not looked at
  the numbers yet.

This page is made from the program: `python -m service.core.reference > docs/protocol.md` writes
it anew.

## Every answer

What ends is a result, `accepted`, or a dead letter of that reason; "none" means that calls wait,
and go on when the trouble is over.
"""

SECTIONS: Mapping[Meaning, str] = {
    Meaning.ACCEPTED: """\
All calls get a result, `accepted`; of a partial success (209) each call its own outcome. Lists of
calls are [read call by call](#lists-of-calls).
""",
    Meaning.REPEATED: """\
The provider has seen these bytes before. Whether that is good news is decided by [what happened
to them before](#what-a-201-means).
""",
    Meaning.CALLS: """\
Nothing was accepted, and the answer does not say which call is at fault. The batch is cut in two,
and the part that is refused again too, until the calls at fault stand alone: they end `rejected`,
all others are sent. Each cut is durable before its parts are sent, and each request counts
towards the limit.
""",
    Meaning.FORM: """\
As above, but the fault may be in all calls alike, or in this program. If both halves of the first
cut are refused in the same way, one single call is tried. Accepted: the search goes on as above.
Refused as well: the flow is held, as under [The flow is refused](#the-flow-is-refused), and
nothing is dead-lettered for it. If another call of the flow is accepted later, the one that was
tried was at fault after all, and ends `rejected`.
""",
    Meaning.SIZE: """\
Nothing was accepted. The batch is halved, and smaller batches are made for this account from now
on; the bound grows back slowly. A single call that is still too large ends `oversize`.
""",
    Meaning.LATER: """\
Nothing was accepted, and the reason is thought to pass. The calls go out again after a growing
wait; after `retry.attempts_max` attempts the flow is held, as under [The flow is
refused](#the-flow-is-refused).
""",
    Meaning.PAUSE: """\
Nothing was accepted. All sending rests [as long as the provider asks](#how-long-a-429-rests);
then the calls go out again. It is never counted as an attempt, and no call ends because of it.
""",
    Meaning.FLOW: """\
Nothing was accepted, and nothing of this flow would be. The flow is **held**: its calls are set
aside and kept safe, all other flows go on. Now and then one call is sent as a canary, at
intervals that grow from seconds to a quarter of an hour; once one is accepted, the hold ends by
itself and the calls set aside are sent. Only calls that waited for `retry.park_max_seconds` under
the hold end, `exhausted` (safe to replay), or `expired` if their date went by.
""",
    Meaning.ACCOUNT: """\
Nothing was accepted, and nothing of the account would be. The account is **held**: nothing new is
sent, the backlog stays in Kafka, and no call is dead-lettered because of it, however long it
lasts (a date or `expires-at` that goes by still counts, and a batch in doubt still ends
`unconfirmed` when the provider's memory may be over). Canaries are sent as for a flow; any answer
that speaks only of a call, a batch or a flow ends the hold as well. The 202 holds nothing where the
batch still has one of `previous_security_ids`, for no new one has: see decision 020.
""",
    Meaning.DOUBT: """\
Something of it may have been accepted. The same bytes go out again after a growing wait, at most
`retry.attempts_max` times. A later success counts for all of it. A later 201 does not: the bytes
may have been remembered by an attempt that then failed. What never gets a clear answer ends
`unconfirmed`. Five such attempts in a row hold the flow if another flow of the account was
accepted meanwhile, else the account.
""",
    Meaning.UNANSWERED: """\
As above, but here a later 201 to the same bytes does prove that an earlier attempt arrived: the
calls are `accepted`, with `confirmation: checksum` and without a `phonon-uuid`.
""",
    Meaning.STRANGE: """\
In doubt as above, and more of the same would follow: the account is held at once, so that a wrong
URL costs a batch of doubt and not a backlog. The batch that met it is sent again as the hold's
canary. Redirects are never followed, because the body holds the security-id.
""",
    Meaning.UNSENT: """\
Proven: not a byte of the request left. It is no attempt, and is repeated after a growing wait for
as long as it takes; nothing else is sent meanwhile. A connection kept from an earlier request
that the provider has closed is not even that: another one is taken. Once a byte may have left,
nothing that happens to a connection proves anything.
""",
}

REPEATED = """\
## What a 201 means

It is judged by the history of this very body, which is kept through crashes and takeovers. An
attempt that may have begun when a process died counts as one without an answer.
"""

AFTER = """\
## A refusal after an attempt in doubt

The same bytes were sent before, and nobody knows whether they were accepted. A refusal that
depends on nothing but the bytes tells it: had they been accepted, the answer would have been 201
or success again. Any other refusal speaks of this one request. It is obeyed (hold, pause, wait)
but settles nothing: the same bytes are sent again, and if no clear answer comes the calls end
`unconfirmed`, never `rejected` or `exhausted`. Below: what each refusal does when an earlier
attempt of the same bytes had no answer.
"""

ENTRIES = """\
## Lists of calls

`call-details` are joined to the calls by `client-identifier`, as JSON values: order does not
matter, nor how the provider spells a value, but `1`, `1.0`, `"1"` and `true` are four different
ones. An identifier that was not sent is counted and passed over. A list that is `null` says
nothing; in a 209 that leaves the whole batch [in doubt](#in-doubt), as does a list that cannot be
read. A 202 with a request-id has taken all its calls; its list, if there is one, gives them their
`phonon-uuid`, and only a call listed with an error or twice and differently is `unconfirmed`.
While an earlier attempt is in doubt, only the codes that settle it (above) make a call of a 209
`rejected`.
"""

PAUSES = """\
## How long a 429 rests

An HTTP 429 pauses sending whatever else the answer says; a code in its body is obeyed besides.
`Retry-After` may be whole seconds or an HTTP date. It is followed up to an hour, however long it
asks for. If it is absent, cannot be read, or names a time that is past, the pause is
`retry.backoff_seconds`, doubling with each such 429 in a row up to `retry.backoff_max_seconds`, a
random part of it each time. The pause is the whole budget's, not one flow's.

## What a hostile or broken answer can cost

An attempt takes no longer than `provider.timeout_seconds` in all, from the first step of
connecting to the last byte of the answer, however slowly that comes. An answer is read only up to
a multiple of its request's size; what is longer, cut off, in a wrong encoding, or no HTTP at all
is [in doubt without an answer](#in-doubt-without-an-answer). What arrives on an idle connection
is never taken for the answer to the next request.
"""

PROMISE = """\
## Where certainty ends

What no program can know without the provider's help is listed in
[exactly-once.md](exactly-once.md), under "What remains with the provider". In short: a checksum
that is forgotten, or stored for a request that then fails; a refusal that was not all or nothing;
the same calls published twice.
"""

TRYING = """\
## Try it against your own client

Every answer on this page can be had from the provider's twin, an HTTP server that calls nobody:

```
call-dispatcher twin --list-scenarios
call-dispatcher twin --scenario code-205
```

A scenario is a JSON file in `service/twin/scenarios`: `script` is how the twin is set, `steps` are
what a client sends and what comes back to it, and `ledger` is what `GET /twin/ledger` says in the
end: which calls would have rung, and whether one would have twice. They need nothing of this
program. Run the twin, point your client at the address that it prints, send what the steps say, and
compare; `--profile` plays the same in another profile.
"""
