"""The laws that open verdicts.py, against answers and histories drawn at random."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from service.core.times import day_of
from service.core.verdicts import (
    Accepted,
    Answer,
    Attempt,
    Duplicate,
    End,
    Fates,
    History,
    NoAnswer,
    NotSent,
    Profile,
    Refused,
    Remedy,
    Request,
    Response,
    RetrySame,
    Shift,
    Verdict,
    judge,
)

NOON = 1_899_959_400.0
TODAY = day_of(NOON)
IDENTIFIERS = (b'"a"', b"7", b'{"x":[1]}')
KNOWN_CODES = [200, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 212, 213]
KNOWN_CODES += [301, 302, 303, 304, 400, 401, 402, 500]
SETTLING_CODES = {205, 303, 400, 210}
PRIVATE = "S" * 32 + "9" * 32

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
codes = st.sampled_from(KNOWN_CODES) | st.sampled_from(KNOWN_CODES).map(str) | anything
messages = st.sampled_from(["Accepted", "Invalid Security Id", f"No {PRIVATE}"]) | anything
identifiers = st.sampled_from(["a", 7, {"x": [1]}]) | anything
ids = st.sampled_from(["u1", "u2", "", None]) | anything
entries = st.fixed_dictionaries(
    {},
    optional={
        "client-identifier": identifiers,
        "phonon-uuid": ids,
        "api-response-code": codes,
        "api-response-message": messages,
    },
)
bodies = st.fixed_dictionaries(
    {"api-response-code": codes},
    optional={
        "api-response-message": messages,
        "request-id": ids,
        "call-details": st.lists(entries, max_size=5) | anything,
        "else": anything,
    },
).map(lambda fields: json.dumps(fields).encode())


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A body with a few bytes cut out, or others put in."""
    whole = draw(bodies)
    at = draw(st.integers(0, len(whole)))
    return whole[:at] + draw(st.binary(max_size=3)) + whole[at + draw(st.integers(0, 3)) :]


responses = st.builds(
    Response,
    st.sampled_from([200, 202, 403, 404, 413, 429, 500, 503]) | st.integers(-1, 1000),
    bodies | damaged() | st.binary() | anything.map(lambda value: json.dumps(value).encode()),
    st.none() | st.text() | st.from_regex(r"[0-9]{1,5}|Sun, [0-9]+ [A-Z][a-z]{2} [0-9]{1,20}.*"),
    st.booleans(),
)
answers: st.SearchStrategy[Answer] = (
    responses | st.builds(NoAnswer, st.text()) | st.builds(NotSent, st.text())
)
attempts = st.builds(
    Attempt,
    st.sampled_from(End),
    st.none() | st.sampled_from(KNOWN_CODES),
    st.integers(TODAY - 1, TODAY),
)
histories = st.builds(
    History,
    st.lists(attempts, max_size=3).map(tuple),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
requests = st.builds(
    Request,
    st.just(IDENTIFIERS),
    st.sampled_from([NOON, NOON - 86_400]),
    st.just(NOON),
    st.none() | st.integers(TODAY - 1, TODAY + 1),
    st.booleans(),
)
profiles: st.SearchStrategy[Profile] = st.sampled_from(["bulk", "realtime", "dialer"])


def in_doubt(history: History) -> bool:
    """Whether an earlier attempt may have been accepted."""
    return any(attempt.end is not End.REFUSED for attempt in history.attempts)


def texts(verdict: Verdict) -> list[str]:
    """Everything in a verdict that people, logs or headers may see."""
    shown = [verdict.message]
    if isinstance(verdict, RetrySame | Refused) and verdict.hold:
        shown.append(verdict.hold.text)
    if isinstance(verdict, Fates):
        shown += [fate.message for fate in verdict.fates]
    return shown


@given(profiles, histories, requests, answers)
@example("bulk", History(), Request(IDENTIFIERS, NOON, NOON), Response(200, b"[" * 100_000))
@example("bulk", History(), Request((), NOON, NOON), Response(200, b'{"api-response-code":209}'))
def test_judge_is_total_and_pure(
    profile: Profile, history: History, request: Request, answer: Answer
) -> None:
    """An answer that raises, or is judged differently after a crash, loses or doubles a batch."""
    verdict = judge(profile, history, request, answer)
    assert verdict == judge(profile, history, request, answer)
    assert verdict.code is None or abs(verdict.code) < 10**9
    match verdict:
        case Accepted(uuids=uuids):
            assert uuids is None or len(uuids) == len(request.identifiers)
        case Fates(fates=fates):
            assert len(fates) == len(request.identifiers)
            assert all((fate.kind == "accepted") or fate.uuid is None for fate in fates)


@given(profiles, histories, requests, answers)
def test_a_batch_in_doubt_never_gets_new_bytes(
    profile: Profile, history: History, request: Request, answer: Answer
) -> None:
    """New bytes for calls that may have been placed are a second call to a customer."""
    verdict = judge(profile, history, request, answer)
    if not in_doubt(history):
        assert not isinstance(verdict, Refused) or not verdict.settled
        return
    assert not isinstance(verdict, Shift | Duplicate)
    if isinstance(verdict, Refused):
        assert verdict.settled
        assert verdict.remedy in {Remedy.BISECT, Remedy.PROBE, Remedy.HALVE}
        assert verdict.code in SETTLING_CODES | {None}
    if isinstance(verdict, Fates):
        rejected = {fate.code for fate in verdict.fates if fate.kind == "rejected"}
        assert rejected <= SETTLING_CODES


@given(profiles, histories, requests, answers)
def test_nothing_is_accepted_without_the_providers_word(
    profile: Profile, history: History, request: Request, answer: Answer
) -> None:
    """A call called accepted that never was is lost, and nobody looks for it."""
    verdict = judge(profile, history, request, answer)
    if isinstance(verdict, Accepted) and verdict.confirmation == "checksum":
        assert verdict.code == 201
        assert history.attempts
        assert {attempt.end for attempt in history.attempts} == {End.UNANSWERED}
    elif isinstance(verdict, Accepted):
        assert verdict.code in {200, 202, 209}
        assert verdict.request_id or verdict.uuids or verdict.code == 200
    if not isinstance(answer, Response):
        assert isinstance(verdict, RetrySame)
        assert (verdict.attempt is None) == isinstance(answer, NotSent)


@given(profiles, histories, requests, responses)
def test_a_201_is_never_tried_again_as_it_is(
    profile: Profile, history: History, request: Request, answer: Response
) -> None:
    """The same bytes would be answered 201 for ever."""
    verdict = judge(profile, history, request, answer)
    if verdict.code == 201:
        assert not isinstance(verdict, RetrySame | Refused | Fates)
        assert isinstance(verdict, Shift) <= (not history.attempts and not history.shifted)


@given(profiles, histories, requests, answers)
def test_nothing_that_is_shown_is_secret_long_or_unprintable(
    profile: Profile, history: History, request: Request, answer: Answer
) -> None:
    """A provider's words go into logs and headers: no number, no secret, no second line."""
    for text in texts(judge(profile, history, request, answer)):
        assert text.isprintable()
        assert len(text) <= 450
        assert not re.search(r"\d{10}|S{24}", text)


@given(profiles, histories, requests, responses)
def test_what_stops_everything_is_not_counted(
    profile: Profile, history: History, request: Request, answer: Response
) -> None:
    """A dead account or a full one must not use up a batch's attempts."""
    verdict: Any = judge(profile, history, request, answer)
    assert (verdict.pause is not None) == (answer.status == 429)
    if verdict.pause is not None and verdict.pause.seconds is not None:
        assert 0 < verdict.pause.seconds <= 3600
    if isinstance(verdict, RetrySame) and (verdict.hold or verdict.pause):
        assert not verdict.counts
