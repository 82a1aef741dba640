"""judge over every code, status and failure, against a table written by hand from provider-api.md.

The table says what the page demands; nothing in it is computed by the code under test.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import pytest

from service.core.codes import HOLD_TEXTS, TABLE, Kind, Remedy
from service.core.times import day_of
from service.core.verdicts import (
    Accepted,
    Attempt,
    Duplicate,
    End,
    Fates,
    History,
    NoAnswer,
    NotSent,
    Profile,
    Refused,
    Request,
    Response,
    RetrySame,
    Scope,
    Shift,
    Unconfirmed,
    Verdict,
    judge,
)

PROFILES: tuple[Profile, ...] = get_args(Profile)
NOON = 1_900_000_000.0 - 1_900_000_000.0 % 86_400 + 6.5 * 3600
"""Noon at +05:30."""
TODAY = day_of(NOON)
ASKED = Request([b'"a"', b"7"], NOON - 1, NOON)
REQUEST_ID = "8f0c-request"

FIRST = History()
TIMED_OUT = History((Attempt(End.UNANSWERED, None, TODAY),))
TIMED_OUT_YESTERDAY = History((Attempt(End.UNANSWERED, None, TODAY - 1),))
AFTER_500 = History((Attempt(End.DOUBTFUL, 500, TODAY),))
TIMED_OUT_THEN_500 = History((*TIMED_OUT.attempts, *AFTER_500.attempts))
TIMED_OUT_THEN_429 = History((*TIMED_OUT.attempts, Attempt(End.REFUSED, None, TODAY)))
REMINTED = History(mint=1, tailed=True)
TAILED = History(tailed=True)
SHIFTED = History(mint=2, tailed=True, shifted=True)
SHIFTED_TIMED_OUT = replace(SHIFTED, attempts=TIMED_OUT.attempts)
UNTRUSTED = replace(TIMED_OUT, checksum_confirms=False)


def body(code: Any, message: str = "Some Words", **more: Any) -> bytes:
    """An answer in the provider's form."""
    fields = {name.replace("_", "-"): value for name, value in more.items()}
    return json.dumps(
        {"api-response-code": code, "api-response-message": message, **fields}
    ).encode()


def told(verdict: Verdict) -> str:  # noqa: PLR0911 - one line a kind
    """A verdict as the words of the table below."""
    match verdict:
        case Accepted(confirmation=confirmation):
            return f"accepted by {confirmation}"
        case Fates(fates=fates):
            return " ".join(fate.kind for fate in fates)
        case Unconfirmed():
            return "unconfirmed"
        case Duplicate():
            return "duplicate"
        case Shift():
            return "shift"
        case Refused(remedy=remedy, hold=hold, settled=settled):
            words = ["new mint", remedy.value, f"the {hold.scope}" if hold else ""]
            return " ".join(filter(None, [*words, "and settled" if settled else ""]))
        case RetrySame(attempt=None, counts=False):
            return "same bytes, free"
        case RetrySame(attempt=attempt, hold=hold, counts=counts, retries_max=retries_max):
            assert attempt is not None
            words = ["same bytes", attempt.end.name.lower()]
            words += [f"hold the {hold.scope}"] if hold else []
            words += ["few"] if retries_max else []
            return ", ".join(words if counts else [*words, "uncounted"])


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


@pytest.mark.parametrize("code", [*CODES, 201])
def test_a_429_always_pauses_as_well(code: int) -> None:
    """Going on against a 429 gets the account shut out, whatever else the answer says."""
    answer = Response(429, body(code, request_id=REQUEST_ID), "30")
    verdict = judge("bulk", TIMED_OUT, ASKED, answer)
    assert verdict.pause is not None
    assert verdict.pause.seconds == 30
    assert not isinstance(verdict, RetrySame) or not verdict.counts
    assert judge("bulk", TIMED_OUT, ASKED, replace(answer, status=200)).pause is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("0", None),
        ("1.5", None),
        ("٣", None),
        ("7", 7),
        (" 120 ", 120),
        ("3600", 3600),
        ("86400", 3600),
        ("9" * 9000, 3600),
        ("Sat, 17 Mar 2030 06:31:00 GMT", 60),
        ("Sunday, 17-Mar-30 06:31:00 GMT", 60),
        ("Sun Mar 17 06:31:00 2030", 60),
        ("Sun, 17 Mar 2030 12:01:00 +0530", 60),
        ("Sun, 17 Mar 2030 06:30:00 GMT", None),
        ("Sun, 17 Mar 2030 06:29:00 GMT", None),
        ("Sun, 17 Mar 9999 06:31:00 GMT", 3600),
        ("Sun, 99 Mar 2030 06:31:00 GMT", None),
        ("Sun, 17 Mar 99999999999999999999 06:31:00 GMT", None),
        ("Sun, 17 Mar 2030 06:31:00 +99999999999999", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    """An absurd Retry-After must not stop a campaign for a year, nor be read as no pause."""
    assert NOON == 1_899_959_400  # 2030-03-17T06:30:00Z
    verdict = judge("bulk", FIRST, ASKED, Response(429, b"", header))
    assert verdict.pause is not None
    assert verdict.pause.seconds == seconds


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"\x00",
        b"\xff\xfe{\x00}\x00",
        b'\xef\xbb\xbf{"api-response-code":205}',
        '{"api-response-code":205}'.encode("utf-16"),
        b'{"api-response-code":205',
        b'{"api-response-code":205}}',
        b'[{"api-response-code":205}]',
        b'{"api-response-code":NaN}',
        b'{"api-response-code":205,"x":NaN}',
        b'{"api-response-code":205,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 1_000_000,
        b'{"api-response-code":205.0}',
        b'{"api-response-code":2e2}',
        b'{"api-response-code":true}',
        b'{"api-response-code":null}',
        b'{"api-response-code":""}',
        b'{"api-response-code":"205a"}',
        b'{"api-response-code":" 205"}',
        b'{"api-response-code":"-205"}',
        b'{"api-response-code":[205]}',
        '{"api-response-code":"२०५"}'.encode(),
        b'{"Api-Response-Code":205}',
        b'{"api-response-code":205,"api-response-message":"\\ud800"}',
        b"205",
        b'"205"',
    ],
)
def test_malformed_bodies_are_ambiguous(text: bytes) -> None:
    """What cannot be read proves nothing: the same bytes, and nothing else, may follow."""
    assert told(judge("bulk", FIRST, ASKED, Response(200, text))) == "same bytes, unanswered"


def test_a_truncated_body_is_not_believed() -> None:
    """A body that ended early may lack the calls that matter, however whole it looks."""
    whole = Response(200, body(200, request_id=REQUEST_ID))
    cut = replace(whole, truncated=True)
    assert told(judge("bulk", FIRST, ASKED, whole)) == "accepted by response"
    assert told(judge("bulk", FIRST, ASKED, cut)) == "same bytes, unanswered"
    assert told(judge("bulk", FIRST, ASKED, replace(cut, status=413))) == "new mint halve"


def test_a_wrong_charset_in_the_message_does_not_hide_the_code() -> None:
    """A refusal read as no answer would make a later 201 look like an acceptance."""
    text = b'{"api-response-message":"Num\xe9ro","api-response-code":205}'
    verdict = judge("bulk", FIRST, ASKED, Response(200, text))
    assert told(verdict) == "new mint bisect"
    assert verdict.message == "205 INVALID_CONTACT_NUMBER: Num\ufffdro"


def test_messages_are_safe_to_log() -> None:
    """A provider that quotes a number or a secret must not put it into our logs and headers."""
    secret = "s3cr3t" * 10 + "abcd"
    words = f"bad\r\nX-Evil: 1 \u202e +91 98765-43210, 0919876543210 {secret} " + "long " * 99
    verdict = judge("bulk", FIRST, ASKED, Response(200, body(205, words)))
    assert verdict.message.startswith("205 INVALID_CONTACT_NUMBER: bad X-Evil: 1 +…, … … long")
    assert len(verdict.message) < 240
    cause = judge("bulk", FIRST, ASKED, NoAnswer("reset\n" * 999)).message
    assert cause.isprintable()
    assert len(cause) < 240


@pytest.mark.parametrize("message", ["7", '["x"]', "null", '""'])
def test_a_message_that_is_no_text_is_passed_over(message: str) -> None:
    """The code decides; a strange message must not turn a refusal into doubt."""
    text = f'{{"api-response-code":205,"api-response-message":{message}}}'.encode()
    verdict = judge("bulk", FIRST, ASKED, Response(200, text))
    assert told(verdict) == "new mint bisect"
    assert verdict.message == "205 INVALID_CONTACT_NUMBER"


def test_a_hold_says_what_to_do() -> None:
    """The operator at three in the morning reads the hold, not our source."""
    bulk = judge("bulk", FIRST, ASKED, Response(403, b""))
    dialer = judge("dialer", FIRST, ASKED, Response(403, b""))
    assert isinstance(bulk, Refused)
    assert isinstance(dialer, Refused)
    assert bulk.hold is not None
    assert dialer.hold is not None
    assert "account manager; the portal's list has no effect" in bulk.hold.text
    assert "portal's list has no effect" not in dialer.hold.text
    for code, text in ((202, "Invalid Security Id"), (301, "Invalid Flow Id")):
        verdict = judge("bulk", FIRST, ASKED, Response(200, body(code, text)))
        assert isinstance(verdict, Refused)
        assert verdict.hold is not None
        assert "provider.profile and provider.url" in verdict.hold.text


def test_the_table_is_whole() -> None:
    """A row without its hold's text would raise at the worst moment; a code twice would hide."""
    assert len({rule.sign for rule in TABLE}) == len(TABLE)
    assert {r.name for r in TABLE if r.remedy is Remedy.HOLD} == set(HOLD_TEXTS)
    assert all(rule.remedy for rule in TABLE if rule.kind is Kind.REFUSED)
    codes = {int(rule.sign) for rule in TABLE if rule.sign.isdigit()}
    assert len(codes) == 22
    assert codes == {code for code in CODES if code in codes} | {201}
