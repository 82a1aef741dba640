"""judge over every code, status and failure, against a table written by hand from provider-api.md.

The table says what the page demands; nothing in it is computed by the code under test.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from service.core.verdicts import (
    Attempt,
    End,
    History,
    NoAnswer,
    NotSent,
    Profile,
    Refused,
    Remedy,
    Response,
    RetrySame,
    Scope,
    judge,
)
from tests.core.verdict_words import (
    AFTER_500,
    ASKED,
    FIRST,
    NOON,
    PROFILES,
    REMINTED,
    REQUEST_ID,
    SHIFTED,
    SHIFTED_TIMED_OUT,
    TAILED,
    TIMED_OUT,
    TIMED_OUT_THEN_429,
    TIMED_OUT_THEN_500,
    TIMED_OUT_YESTERDAY,
    TODAY,
    UNTRUSTED,
    body,
    told,
)

BISECT = ("new mint bisect", "new mint bisect and settled", "new mint bisect and settled")
WHITELIST = ("new mint bisect", "same bytes, refused", "same bytes, refused")
FORMAT = ("new mint probe", "new mint probe and settled", "same bytes, refused")
HALVE = ("new mint halve", "new mint halve and settled", "new mint halve and settled")
HOLD_FLOW = ("new mint hold the flow", *["same bytes, refused, hold the flow, uncounted"] * 2)
HOLD_ACCOUNT = (
    "new mint hold the account",
    *["same bytes, refused, hold the account, uncounted"] * 2,
)
BACK_OFF = ("new mint back off", "same bytes, refused", "same bytes, refused")
PAUSE = ("new mint pause", *["same bytes, refused, uncounted"] * 2)
ACCEPTED = ("accepted by response",) * 3
DOUBTFUL = ("same bytes, doubtful",) * 3
GATEWAY = ("same bytes, doubtful, few",) * 3
STRANGE = ("same bytes, doubtful, hold the account, uncounted",) * 3
UNANSWERED = ("same bytes, unanswered",) * 3
FREE = ("same bytes, free",) * 3
UNLISTED = ("unconfirmed unconfirmed",) * 3

Expected = tuple[str, ...]
CODES: dict[int, Expected] = {
    # code: first attempt or re-mint, after a timeout today, after a timeout yesterday
    205: BISECT,
    402: WHITELIST,
    400: FORMAT,
    210: FORMAT,
    303: HALVE,
    302: HOLD_FLOW,
    301: HOLD_FLOW,
    304: HOLD_FLOW,
    203: HOLD_FLOW,
    204: HOLD_FLOW,
    207: HOLD_FLOW,
    208: BACK_OFF,
    401: HOLD_ACCOUNT,
    211: HOLD_ACCOUNT,
    212: HOLD_ACCOUNT,
    206: GATEWAY,
    500: DOUBTFUL,
    213: DOUBTFUL,
    # With neither request-id nor call-details these tell nothing.
    200: DOUBTFUL,
    202: DOUBTFUL,
    209: DOUBTFUL,
    # Not in the documents.
    0: STRANGE,
    -1: STRANGE,
    299: STRANGE,
    404: STRANGE,
    429: STRANGE,
    999: STRANGE,
    10**30: STRANGE,
}
STATUSES: dict[int, Expected] = {
    # The same three histories, where the body holds no readable code.
    403: HOLD_ACCOUNT,
    413: HALVE,
    429: PAUSE,
    404: STRANGE,
    405: STRANGE,
    300: STRANGE,
    301: STRANGE,
    302: STRANGE,
    304: STRANGE,
    307: STRANGE,
    308: STRANGE,
    400: DOUBTFUL,
    401: DOUBTFUL,
    408: DOUBTFUL,
    418: DOUBTFUL,
    500: DOUBTFUL,
    501: DOUBTFUL,
    505: DOUBTFUL,
    599: DOUBTFUL,
    999: DOUBTFUL,
    0: DOUBTFUL,
    -5: DOUBTFUL,
    100: DOUBTFUL,
    502: UNANSWERED,
    503: UNANSWERED,
    504: UNANSWERED,
    200: UNANSWERED,
    201: UNANSWERED,
    202: UNANSWERED,
    204: UNANSWERED,
}
SUCCESSES: list[tuple[dict[str, Any], Expected]] = [
    ({"code": 200, "request_id": REQUEST_ID}, ACCEPTED),
    ({"code": 200, "request_id": REQUEST_ID, "call_details": None}, ACCEPTED),
    ({"code": 202, "request_id": REQUEST_ID, "call_details": None}, ACCEPTED),
    ({"code": 202, "request_id": REQUEST_ID, "message": "Invalid Security Id"}, ACCEPTED),
    ({"code": 202, "request_id": REQUEST_ID, "call_details": []}, ACCEPTED),
    ({"code": 202, "request_id": REQUEST_ID, "call_details": "none"}, ACCEPTED),
    ({"code": 202, "request_id": "", "message": "invalid SECURITY-ID"}, HOLD_ACCOUNT),
    ({"code": 202, "request_id": " ", "message": "Message Accepted"}, DOUBTFUL),
    ({"code": 202, "request_id": None, "message": "Invalid Security ID"}, HOLD_ACCOUNT),
    ({"code": 202, "message": "INVALID SECURITY"}, HOLD_ACCOUNT),
    ({"code": 202, "call_details": []}, DOUBTFUL),
    ({"code": 200, "request_id": {"id": 1}}, DOUBTFUL),
    ({"code": 200, "request_id": None, "call_details": None}, DOUBTFUL),
    ({"code": 200, "call_details": "none"}, DOUBTFUL),
    ({"code": 200, "call_details": []}, UNLISTED),
    ({"code": 200, "request_id": REQUEST_ID, "call_details": []}, UNLISTED),
    ({"code": 200, "request_id": REQUEST_ID, "call_details": "none"}, UNLISTED),
    ({"code": 209, "request_id": REQUEST_ID, "call_details": []}, UNLISTED),
    ({"code": 209, "request_id": REQUEST_ID}, DOUBTFUL),
    ({"code": 209, "request_id": REQUEST_ID, "call_details": None}, DOUBTFUL),
    ({"code": 209, "request_id": REQUEST_ID, "call_details": {"a": 1}}, DOUBTFUL),
    ({"code": 209, "request_id": REQUEST_ID, "call_details": ["a", 7]}, DOUBTFUL),
]
HISTORIES = [
    (FIRST, 0),
    (REMINTED, 0),
    (TAILED, 0),
    (SHIFTED, 0),
    (TIMED_OUT, 1),
    (TIMED_OUT_THEN_429, 1),
    (AFTER_500, 1),
    (TIMED_OUT_THEN_500, 1),
    (SHIFTED_TIMED_OUT, 1),
    (UNTRUSTED, 1),
    (TIMED_OUT_YESTERDAY, 2),
]
every_profile = pytest.mark.parametrize("profile", PROFILES)
every_history = pytest.mark.parametrize(("history", "column"), HISTORIES)


@every_profile
@every_history
def test_every_code(profile: Profile, history: History, column: int) -> None:
    """A code read wrongly bisects what was placed, or burns a backlog into dead letters."""
    expected = {code: words[column] for code, words in CODES.items()}
    for status in (200, 400, 404, 500, 503):
        for spell in (int, str):
            answers = {code: Response(status, body(spell(code))) for code in CODES}
            # A string of digits has no sign: -1 is a code, "-1" is none.
            answers[-1] = Response(status, body(-1))
            found = {c: told(judge(profile, history, ASKED, answers[c])) for c in CODES}
            assert found == expected


@every_profile
@every_history
@pytest.mark.parametrize("text", [b"", b"<html></html>", b'{"error":"oops"}', b"[1]", b"null"])
def test_every_status(profile: Profile, history: History, column: int, text: bytes) -> None:
    """A gateway's own answer must be told from the provider's refusal."""
    verdicts = {s: judge(profile, history, ASKED, Response(s, text)) for s in STATUSES}
    expected = {status: words[column] for status, words in STATUSES.items()}
    assert {status: told(verdict) for status, verdict in verdicts.items()} == expected
    assert {verdict.code for verdict in verdicts.values()} == {None}


@every_profile
@every_history
def test_every_form_of_success(profile: Profile, history: History, column: int) -> None:
    """Two meanings of 202, and successes that name nothing, decide over a whole batch."""
    for fields, expected in SUCCESSES:
        verdict = judge(profile, history, ASKED, Response(200, body(**fields)))
        assert told(verdict) == expected[column], fields


@every_profile
@every_history
def test_no_answer_and_not_sent(profile: Profile, history: History, column: int) -> None:
    """A timeout may have placed the calls; what never left must not count as an attempt."""
    assert told(judge(profile, history, ASKED, NoAnswer("timeout"))) == UNANSWERED[column]
    assert told(judge(profile, history, ASKED, NotSent("refused"))) == FREE[column]


@every_profile
@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (FIRST, "duplicate"),
        (TAILED, "shift"),
        (REMINTED, "shift"),
        (History(mint=1), "shift"),
        (SHIFTED, "unconfirmed"),
        (replace(SHIFTED, mint=0), "unconfirmed"),
        (TIMED_OUT, "accepted by checksum"),
        (TIMED_OUT_YESTERDAY, "accepted by checksum"),
        (History(TIMED_OUT.attempts * 3), "accepted by checksum"),
        (replace(TIMED_OUT, tailed=True, mint=4), "accepted by checksum"),
        (SHIFTED_TIMED_OUT, "accepted by checksum"),
        (UNTRUSTED, "unconfirmed"),
        (AFTER_500, "unconfirmed"),
        (replace(AFTER_500, checksum_confirms=False), "unconfirmed"),
        (TIMED_OUT_THEN_500, "unconfirmed"),
        (TIMED_OUT_THEN_429, "unconfirmed"),
        (History((Attempt(End.REFUSED, 402, TODAY),)), "unconfirmed"),
    ],
)
def test_201_is_judged_by_the_history(profile: Profile, history: History, expected: str) -> None:
    """201 is what makes a resend safe; misread, it loses a call or places it twice."""
    for code in (201, "201"):
        verdict = judge(profile, history, ASKED, Response(200, body(code)))
        assert told(verdict) == expected
        assert verdict.code == 201
        assert verdict.scope is Scope.BATCH


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (FIRST, {400: "new mint reseal", 210: "new mint reseal", 211: "new mint reseal"}),
        (TIMED_OUT, dict.fromkeys((400, 210, 211), "same bytes, refused")),
    ],
)
def test_a_day_that_ended_on_the_way(history: History, expected: dict[int, str]) -> None:
    """At midnight a past date must neither hold an account nor settle what is in doubt."""
    asked = replace(ASKED, first_start_day=TODAY - 1)
    for code, words in expected.items():
        assert told(judge("bulk", history, asked, Response(200, body(code)))) == words
    today = replace(ASKED, first_start_day=TODAY)
    assert told(judge("bulk", FIRST, today, Response(200, body(400)))) == "new mint probe"
    assert told(judge("bulk", FIRST, asked, Response(200, body(212)))) == HOLD_ACCOUNT[0]


def test_attempts_on_both_sides_of_midnight_settle_nothing() -> None:
    """400 may mean the date alone: what was sent the day before may have been accepted."""
    asked = replace(ASKED, sent_at=NOON - 13 * 3600)
    assert told(judge("bulk", TIMED_OUT, asked, Response(200, body(400)))) == "same bytes, refused"
    over = replace(ASKED, answered_at=NOON + 13 * 3600)
    assert told(judge("bulk", TIMED_OUT, over, Response(200, body(400)))) == "same bytes, refused"
    late = judge("bulk", FIRST, asked, NoAnswer("timeout"))
    assert isinstance(late, RetrySame)
    assert late.attempt == Attempt(End.UNANSWERED, None, TODAY - 1)


def test_a_flow_with_its_own_security_id_is_held_alone() -> None:
    """One flow's wrong secret must not stop all the others."""
    asked = replace(ASKED, own_security_id=True)
    invalid = Response(200, body(202, "Invalid Security Id"))
    assert told(judge("bulk", FIRST, asked, invalid)) == "new mint hold the flow"
    other = Response(200, body(212))
    assert told(judge("bulk", FIRST, asked, other)) == "new mint hold the account"


def test_a_refused_previous_security_id_holds_nothing() -> None:
    """One old batch in doubt would hold the whole account, whose security-id is good, for a day."""
    invalid = Response(200, body(202, "Invalid Security Id"))
    for own in (False, True):
        asked = replace(ASKED, own_security_id=own, previous_security_id=True)
        fresh = judge("bulk", FIRST, asked, invalid)
        assert isinstance(fresh, Refused)
        assert (fresh.remedy, fresh.hold, fresh.scope) == (Remedy.RESEAL, None, None)
        again = judge("bulk", TIMED_OUT, asked, invalid)
        assert isinstance(again, RetrySame)
        assert (again.counts, again.hold, again.hold_at_end, again.scope) == (True, *[None] * 3)
    other = replace(ASKED, previous_security_id=True)
    assert told(judge("bulk", FIRST, other, Response(200, body(212)))) == HOLD_ACCOUNT[0]


def test_attempts_remember_code_and_day() -> None:
    """A successor judges the next answer by what the checkpoint holds of this one."""
    for answer, attempt in (
        (Response(200, body(500)), Attempt(End.DOUBTFUL, 500, TODAY)),
        (Response(503, b""), Attempt(End.UNANSWERED, None, TODAY)),
        (Response(200, body(402)), Attempt(End.REFUSED, 402, TODAY)),
    ):
        verdict = judge("bulk", TIMED_OUT, ASKED, answer)
        assert isinstance(verdict, RetrySame)
        assert verdict.attempt == attempt
    refused = judge("bulk", FIRST, ASKED, Response(200, body(205)))
    assert isinstance(refused, Refused)
    assert refused.attempt == Attempt(End.REFUSED, 205, TODAY)
