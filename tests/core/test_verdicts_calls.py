"""judge for each call of an answer with call-details, by hand from provider-api.md, 200 and 209."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.verdicts import (
    Accepted,
    Attempt,
    End,
    Fates,
    History,
    Request,
    Response,
    RetrySame,
    Verdict,
    judge,
)

NOON = 1_899_959_400.0
TODAY = 741_153
FIRST = History()
TIMED_OUT = History((Attempt(End.UNANSWERED, None, TODAY),))
TIMED_OUT_YESTERDAY = History((Attempt(End.UNANSWERED, None, TODAY - 1),))
SENT = (b'"a"', b"1", b'"1.0"')


def answered(
    code: int, *entries: str, history: History = FIRST, sent: tuple[bytes, ...] = SENT
) -> Verdict:
    """The verdict on an answer with these call-details."""
    text = f'{{"api-response-code":{code},"request-id":"r","call-details":[{",".join(entries)}]}}'
    request = Request(sent, NOON - 1, NOON)
    return judge("realtime", history, request, Response(200, text.encode()))


def fates(verdict: Verdict) -> list[str]:
    """One word a call, with uuid or code where there is one."""
    if isinstance(verdict, Accepted):
        return [f"accepted {uuid}" for uuid in verdict.uuids or ()]
    assert isinstance(verdict, Fates)
    return [
        " ".join(str(part) for part in (fate.kind, fate.uuid or fate.code) if part is not None)
        for fate in verdict.fates
    ]


def took(identifier: str, uuid: str) -> str:
    """An entry of a call that was accepted."""
    return f'{{"client-identifier":{identifier},"phonon-uuid":"{uuid}"}}'


def refused(identifier: str, code: Any = 205, more: str = "") -> str:
    """An entry of a call with a code of its own."""
    return f'{{"client-identifier":{identifier},"api-response-code":{json.dumps(code)}{more}}}'


A, ONE, TEXT = took('"a"', "u1"), took("1", "u2"), took('"1.0"', "u3")


@pytest.mark.parametrize("code", [200, 202, 209])
def test_uuids_are_joined_by_identifier(code: int) -> None:
    """A uuid given to the wrong call sends a user to the wrong customer's record."""
    for entries in ((A, ONE, TEXT), (TEXT, A, ONE), (A, ONE, TEXT, A), (ONE, A, A, TEXT, TEXT)):
        verdict = answered(code, *entries)
        assert isinstance(verdict, Accepted)
        assert verdict.uuids == ("u1", "u2", "u3")
        assert verdict.request_id == "r"
        assert verdict.strangers == 0


@pytest.mark.parametrize("code", [200, 202, 209])
def test_strangers_are_passed_over_and_counted(code: int) -> None:
    """An identifier that was never sent must not take a call's place."""
    others = [took(i, "x") for i in ('"A"', '"1"', "1.0", "true", "null", '""', "[1]", "1e999")]
    nameless = ['{"phonon-uuid":"x"}', "{}"]
    verdict = answered(code, *others, A, ONE, TEXT, *nameless)
    assert isinstance(verdict, Accepted)
    assert verdict.uuids == ("u1", "u2", "u3")
    assert verdict.strangers == 10


def test_a_call_missing_from_a_success() -> None:
    """A call that is not listed may have been placed or not: it is never sent again by itself."""
    assert fates(answered(200, A)) == ["accepted u1", "unconfirmed", "unconfirmed"]
    assert fates(answered(209, A)) == ["accepted u1", "unconfirmed", "unconfirmed"]
    # A 202 with a request-id has taken the whole batch.
    assert fates(answered(202, A)) == ["accepted u1", "accepted None", "accepted None"]


@pytest.mark.parametrize(
    ("entry", "in_209", "in_200"),
    [
        (took('"a"', "u"), "accepted u", "accepted u"),
        (refused('"a"'), "rejected 205", "unconfirmed 205"),
        (refused('"a"', "402"), "rejected 402", "unconfirmed 402"),
        # Where a whole batch would stay in doubt, one call does: it may be about to ring.
        (refused('"a"', 777), "unconfirmed 777", "unconfirmed 777"),
        (refused('"a"', 201), "unconfirmed 201", "unconfirmed 201"),
        (refused('"a"', 206), "unconfirmed 206", "unconfirmed 206"),
        (refused('"a"', 213), "unconfirmed 213", "unconfirmed 213"),
        (refused('"a"', "500"), "unconfirmed 500", "unconfirmed 500"),
        (refused('"a"', 303), "rejected 303", "unconfirmed 303"),
        (refused('"a"', 211), "rejected 211", "unconfirmed 211"),
        (refused('"a"', 209, ',"phonon-uuid":"u"'), "accepted u", "accepted u"),
        (refused('"a"', 209), "unconfirmed", "accepted"),
        (refused('"a"', 205, ',"phonon-uuid":null'), "rejected 205", "unconfirmed 205"),
        (refused('"a"', 205, ',"phonon-uuid":""'), "rejected 205", "unconfirmed 205"),
        (refused('"a"', 205, ',"phonon-uuid":"u"'), "unconfirmed 205", "unconfirmed 205"),
        (refused('"a"', 200, ',"phonon-uuid":"u"'), "accepted u", "accepted u"),
        (refused('"a"', None, ',"phonon-uuid":"u"'), "accepted u", "accepted u"),
        (refused('"a"', 200), "unconfirmed", "accepted"),
        (refused('"a"', None), "unconfirmed", "accepted"),
        (refused('"a"', "bad"), "unconfirmed", "unconfirmed"),
        (refused('"a"', 2.5, ',"phonon-uuid":"u"'), "unconfirmed", "unconfirmed"),
        ('{"client-identifier":"a"}', "unconfirmed", "accepted"),
        ('{"client-identifier":"a","phonon-uuid":7}', "unconfirmed", "accepted"),
    ],
)
def test_what_an_entry_says(entry: str, in_209: str, in_200: str) -> None:
    """`rejected` tells upstream that a replay is safe: only a plain refusal may become it."""
    assert fates(answered(209, entry, ONE, TEXT))[0] == in_209
    # The third call is left out, so that the answer is told call by call.
    assert fates(answered(200, entry, ONE))[0] == in_200


@pytest.mark.parametrize("code", [200, 202, 209])
def test_listed_twice_and_differently(code: int) -> None:
    """Two answers for one call are none: whichever is believed may be the wrong one."""
    for first, second in (
        (A, took('"a"', "u9")),
        (A, refused('"a"')),
        (refused('"a"'), A),
        (refused('"a"'), refused('"a"', 402)),
        (A, '{"client-identifier":"a"}'),
    ):
        for entries in ((first, second), (first, second, first), (first, second, second)):
            assert fates(answered(code, *entries, ONE, TEXT))[0] == "unconfirmed"


def test_a_rejected_call_carries_code_and_words() -> None:
    """Upstream corrects the call by what its dead letter says."""
    words = ',"api-response-message":"Invalid Contact\\nNumber 919876543210"'
    verdict = answered(209, refused('"a"', "205", words), ONE, TEXT)
    assert isinstance(verdict, Fates)
    assert verdict.fates[0].code == 205
    assert verdict.fates[0].message == "205 INVALID_CONTACT_NUMBER: Invalid Contact Number …"


def test_a_partial_success_after_an_ambiguous_attempt() -> None:
    """The first attempt may have placed what the second refuses, unless the bytes alone decide."""
    entries = (refused('"a"', 205), refused("1", 402), refused('"1.0"', 400))
    for history, expected in (
        (FIRST, ["rejected 205", "rejected 402", "rejected 400"]),
        (TIMED_OUT, ["rejected 205", "unconfirmed 402", "rejected 400"]),
        (TIMED_OUT_YESTERDAY, ["rejected 205", "unconfirmed 402", "unconfirmed 400"]),
    ):
        assert fates(answered(209, *entries, history=history)) == expected


@pytest.mark.parametrize(
    ("sent", "echo"),
    [
        (b'"a b"', r'"\u0061 b"'),
        ('"é"'.encode(), r'"\u00e9"'),
        (b"100.0", "1e2"),
        (b"1e2", "1.0E+2"),
        (b"true", " true "),
        (b'{"a":1,"b":[2,{}]}', '{ "b" : [ 2 , { } ], "a" : 1 }'),
        (b"123456789012345678901234567890", "123456789012345678901234567890"),
        (b"[0.5]", "[5e-1]"),
    ],
)
def test_the_same_value_in_another_spelling(sent: bytes, echo: str) -> None:
    """A provider may write JSON its own way; the call must still be found."""
    verdict = answered(209, took(echo, "u"), sent=(sent,))
    assert isinstance(verdict, Accepted)
    assert verdict.uuids == ("u",)


@pytest.mark.parametrize(
    ("sent", "echo"),
    [
        (b"1", '"1"'),
        (b"1", "1.0"),
        (b"1", "true"),
        (b"1", "[1]"),
        (b"1.0", "1"),
        (b'"true"', "true"),
        (b"false", "0"),
        (b'"[1]"', "[1]"),
        (b"[1]", '["1"]'),
        (b"[1]", "[1.0]"),
        (b"[1,2]", "[2,1]"),
        (b"[[1]]", "[1]"),
        (b'{"a":1}', '{"a":true}'),
        (b'{"a":1}', '{"A":1}'),
        (b"9007199254740993", "9007199254740992"),
        (b"123456789012345678901234567890", "123456789012345678901234567891"),
        (b'"a"', '"a "'),
    ],
)
def test_another_value_is_a_stranger(sent: bytes, echo: str) -> None:
    """`1` and `"1"` may be two customers."""
    verdict = answered(209, took(echo, "u"), sent=(sent,))
    assert isinstance(verdict, Fates)
    assert fates(verdict) == ["unconfirmed"]
    assert verdict.strangers == 1


ANSWER_BYTES = 2_000_000
"""About what the adapter reads at most of one answer."""
CPU_SECONDS_MAX = 0.8
"""Generous for a slow machine: a fifth of it is usual."""


@pytest.mark.parametrize(
    "entry",
    [
        "{}",
        '{"client-identifier":1}',
        '{"client-identifier":[[[[[1]]]]]}',
        took('"a"', "u1"),
        f'{{"client-identifier":[{"1," * (ANSWER_BYTES // 4)}1]}}',
        f'{{"client-identifier":"{"x" * (ANSWER_BYTES // 2)}"}}',
        f'{{"client-identifier":1.{"1" * (ANSWER_BYTES // 2)}}}',
    ],
)
def test_a_list_made_to_cost_time_is_not_read(entry: str) -> None:
    """While one answer is judged no lane renews its lease: a hostile list must not take seconds."""
    entries = [entry] * (ANSWER_BYTES // (len(entry) + 1))
    began = time.process_time()
    verdict = answered(209, *entries)
    assert time.process_time() - began < CPU_SECONDS_MAX
    assert isinstance(verdict, RetrySame) or set(fates(verdict)) == {"unconfirmed"}


def test_a_list_of_some_entries_too_many_is_read() -> None:
    """Repeats and strangers are passed over; only a list beyond all reason is none."""
    strangers = [took(f'"s{n}"', "x") for n in range(90)]
    verdict = answered(209, *strangers, A, ONE, TEXT, A, ONE, TEXT)
    assert isinstance(verdict, Accepted)
    assert verdict.strangers == 90


def test_ids_are_bounded() -> None:
    """An id goes into a header of every result; megabytes of it would stop the lane."""
    text = f'{{"api-response-code":202,"request-id":"{"r" * 150}\\n{"r" * 5000}"}}'.encode()
    verdict = judge("bulk", FIRST, Request(SENT, NOON, NOON), Response(202, text))
    assert isinstance(verdict, Accepted)
    assert verdict.request_id == "r" * 199


scalars = (
    st.text(max_size=4)
    | st.integers()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, 1.0, 2.0])
    | st.booleans()
)
values = st.recursive(
    scalars | st.none(),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3)
    ),
    max_leaves=5,
).filter(lambda value: value not in ("", None))


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values, the naive way: types count, the order of names does not."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and one == other
    return bool(one == other)


def encoded(value: Any) -> bytes:
    """The value as an event's fragment has it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@given(values, values)
def test_joining_is_equality_of_values(sent: Any, other: Any) -> None:
    """Whatever ids upstream uses, an entry finds its own call and never another's."""
    for echo, spelling in ((other, json.dumps(other)), (sent, json.dumps(sent, indent=1))):
        verdict = answered(209, took(spelling, "u"), sent=(encoded(sent),))
        assert isinstance(verdict, Accepted) == same(sent, echo)


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_order_of_entries_does_not_matter(order: list[int], refuse: set[int]) -> None:
    """A provider that answers in its own order must not mix two customers up."""
    sent = tuple(str(n).encode() for n in range(12))
    entries = [refused(str(n)) if n in refuse else took(str(n), f"u{n}") for n in order]
    expected = ["rejected 205" if n in refuse else f"accepted u{n}" for n in range(12)]
    assert fates(answered(209, *entries, sent=sent)) == expected
