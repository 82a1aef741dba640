"""judge on what is in answers besides their code: pauses, bytes that cannot be read, words."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from service.core.answers import looks_accepted
from service.core.codes import HOLD_TEXTS, TABLE, Kind, Remedy
from service.core.verdicts import (
    NoAnswer,
    Refused,
    Response,
    RetrySame,
    judge,
)
from tests.core.verdict_words import (
    ASKED,
    FIRST,
    KNOWN_CODES,
    NOON,
    REQUEST_ID,
    TIMED_OUT,
    body,
    told,
)


@pytest.mark.parametrize("code", KNOWN_CODES)
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


@pytest.mark.parametrize("code", [b'"0205"', rb'"\u0032\u00305"', b" 205 ", b'"205"'])
def test_a_code_in_another_spelling_of_json(code: bytes) -> None:
    """The same JSON value is the same code, however the provider's encoder writes it."""
    verdict = judge("bulk", FIRST, ASKED, Response(200, b'{"api-response-code":%b}' % code))
    assert told(verdict) == "new mint bisect"
    assert verdict.code == 205


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
    assert codes == set(KNOWN_CODES)


@pytest.mark.parametrize(
    ("answer", "looks"),
    [
        (b'{"api-response-code":202,"request-id":"r"}', True),
        (b'{"request-id" : "r", "api-response-code" : "200" }', True),
        (b'{"api-response-code":202,"api-response-message":"Invalid Security Id"}', False),
        (b'{"api-response-code":202,"request-id":null}', False),
        (b'{"api-response-code":201,"request-id":"r"}', False),
        (b'{"api-response-code":2020,"request-id":"r"}', False),
        (b'{"api-response-code":401,"request-id":"r","api-response-message":"code 202"}', False),
        (b"", False),
    ],
)
def test_a_look_at_an_answer(answer: bytes, *, looks: bool) -> None:
    """What looks accepted may wait for others; a refusal never does."""
    assert looks_accepted(Response(200, answer)) == looks
    assert not looks_accepted(Response(429, answer))
