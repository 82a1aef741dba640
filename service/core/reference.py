"""The provider's protocol for those who run the program, made from the table and from `judge`.

Knows no answer by itself: what a row means it takes from codes.py, what a history makes of it it
asks verdicts.py. `python -m service.core.reference > docs/protocol.md` writes the page anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from service.core.codes import HOLD_TEXTS, HOLD_TEXTS_BULK, TABLE, Kind, Rule
from service.core.protocol_words import (
    ADVICE,
    AFTER,
    ENDS,
    ENDS_OF_EACH,
    ENTRIES,
    INTRODUCTION,
    MEANINGS,
    PAUSES,
    PROMISE,
    REPEATED,
    SECTIONS,
    SIGNS,
    TRYING,
    UNNAMED,
    Meaning,
)
from service.core.verdicts import (
    Accepted,
    Attempt,
    Duplicate,
    End,
    Fates,
    History,
    Refused,
    Request,
    Response,
    RetrySame,
    Shift,
    Unconfirmed,
    Verdict,
    judge,
)

NOON = 1_899_959_400.0
"""Of some day at +05:30, which is all that the examples need."""
DAY = 741_153
LOST = Attempt(End.UNANSWERED, None, DAY)
LOST_THE_DAY_BEFORE = Attempt(End.UNANSWERED, None, DAY - 1)
Entry = dict[str, object]
CERTAINTY = {
    Kind.ACCEPTED: "accepted",
    Kind.PARTIAL: "call by call",
    Kind.CHECKSUM: "by its history",
    Kind.REFUSED: "definite",
    Kind.DOUBTFUL: "ambiguous",
    Kind.UNANSWERED: "ambiguous",
    Kind.UNSENT: "not sent",
}


def protocol_markdown() -> str:
    """docs/protocol.md."""
    return "\n".join(
        [
            INTRODUCTION,
            *_index(),
            "",
            *(line for meaning in Meaning for line in _section(meaning)),
            *_repeated(),
            *_after(),
            *_entries(),
            PAUSES,
            PROMISE,
            TRYING,
        ]
    )


def meaning_of(rule: Rule) -> Meaning:
    """The section that a row of the table belongs to."""
    return MEANINGS[rule.kind, rule.remedy, rule.scope if rule.remedy else None]


def _index() -> Iterator[str]:
    yield "| answer | name | reaches | certainty | what ends | read on |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for rule in TABLE:
        meaning = meaning_of(rule)
        anchor = meaning.value.lower().replace(" ", "-")
        reaches = rule.scope.value if rule.scope else "batch"
        link = f"[{meaning.value}](#{anchor})"
        ends = ENDS_OF_EACH if rule.kind is Kind.PARTIAL else ENDS[meaning]
        yield _row(_sign(rule), _name(rule), reaches, CERTAINTY[rule.kind], ends, link)


def _section(meaning: Meaning) -> Iterator[str]:
    yield f"## {meaning.value}\n"
    yield SECTIONS[meaning]
    yield "| answer | name | what to do |\n| --- | --- | --- |"
    for rule in TABLE:
        if meaning_of(rule) is meaning:
            yield _row(_sign(rule), _name(rule), _advice(rule))
    yield ""


def _advice(rule: Rule) -> str:
    text = ADVICE.get(rule.sign) or HOLD_TEXTS[rule.name]
    bulk = HOLD_TEXTS_BULK.get(rule.name)
    if bulk is not None:
        text = f"{text}. Profile `bulk`: {bulk}"
    if rule.retries_max is not None:
        text = f"{text} (at most {rule.retries_max} resends)"
    if rule.dated:
        text = f"{text}. If a `start-time` in the batch fell on a day that ended on the way, only \
those calls end, `expired`"
    return f"{text[0].upper()}{text[1:]}."


def _repeated() -> Iterator[str]:
    yield REPEATED
    yield "| what happened to this body before | what the 201 makes of its calls |\n| --- | --- |"
    doubtful = Attempt(End.DOUBTFUL, 500, DAY)
    refused = Attempt(End.REFUSED, None, DAY)
    for words, history in (
        ("nothing: the first attempt of calls that were in no body before", History()),
        ("attempts without an answer in protocol, and no other", History((LOST, LOST))),
        (
            "the same, with `provider.checksum_confirms: false`",
            History((LOST,), checksum_confirms=False),
        ),
        ("an attempt that was answered ambiguously (500, 206, 213, 404 …)", History((doubtful,))),
        ("an attempt without an answer, and one with an ambiguous one", History((LOST, doubtful))),
        ("an attempt without an answer, and a refusal (429 …)", History((LOST, refused))),
        ("nothing: the first attempt of a body with a tail", History(mint=1, tailed=True)),
        (
            "nothing: the first attempt of a body with a moved `start-time`",
            History(mint=2, tailed=True, shifted=True),
        ),
    ):
        yield _row(words, _told(_judged(history, _body(201))))
    yield ""


def _after() -> Iterator[str]:
    yield AFTER
    yield "| refusal | all attempts on one day (+05:30) | on different days |\n| --- | --- | --- |"
    days = (History((LOST,)), History((LOST_THE_DAY_BEFORE,)))
    alike: dict[tuple[str, ...], list[str]] = {}
    for rule in TABLE:
        if rule.kind is Kind.REFUSED:
            answer = _example(rule)
            told = tuple(_told(_judged(history, answer)) for history in days)
            alike.setdefault(told, []).append(_sign(rule))
    for told, signs in alike.items():
        yield _row(", ".join(signs), *told)
    yield ""


def _entries() -> Iterator[str]:
    yield ENTRIES
    yield "| what the list says of a call | in a 209 | in a 200 |\n| --- | --- | --- |"
    uuid: Entry = {"phonon-uuid": "u"}
    refused: Entry = {"api-response-code": 205}
    failed: Entry = {"api-response-code": 206}
    cases: tuple[tuple[str, list[Entry]], ...] = (
        ("a `phonon-uuid`", [uuid]),
        ("a code that refuses for certain (205, 402 …)", [refused]),
        ("a code that is ambiguous (206, 500, 201, an unknown one …)", [failed]),
        ("both a `phonon-uuid` and an error code", [uuid | refused]),
        ("its identifier, and nothing else", [{}]),
        ("nothing: it is not listed", []),
        ("the same thing twice", [uuid, uuid]),
        ("different things", [uuid, refused]),
    )
    for words, entries in cases:
        yield _row(words, *(_fate(code, entries) for code in (209, 200)))
    yield ""


def _fate(code: int, entries: list[Entry]) -> str:
    listed: list[Entry] = [{"client-identifier": "a"} | entry for entry in entries]
    answer = _body(code, more={"request-id": "r", "call-details": listed})
    verdict = _judged(History(), answer)
    if isinstance(verdict, Fates):
        return f"`{verdict.fates[0].kind}`"
    assert isinstance(verdict, Accepted), "nothing else comes of a list that can be read"
    return "`accepted`"


def _judged(history: History, answer: Response) -> Verdict:
    return judge("bulk", history, Request([b'"a"'], NOON - 1, NOON), answer)


def _body(code: int, message: str = "", more: Entry | None = None) -> Response:
    text: Entry = {"api-response-code": code, "api-response-message": message} | (more or {})
    return Response(200, json.dumps(text).encode())


def _example(rule: Rule) -> Response:
    if rule.sign.isdigit():
        return _body(int(rule.sign))
    if rule.sign == "202 refused":
        return _body(202, "Invalid Security Id")
    return Response(int(rule.sign.removeprefix("HTTP ")), b"")


def _told(verdict: Verdict) -> str:  # noqa: PLR0911 - one line a kind
    match verdict:
        case Accepted(confirmation=confirmation):
            return f"a result, `accepted`, `confirmation: {confirmation}`"
        case Duplicate():
            return "a dead letter, `duplicate`"
        case Unconfirmed():
            return "a dead letter, `unconfirmed`"
        case Shift():
            return "none yet: new bytes, the first `start-time` moved by a second"
        case Refused():
            return "settles: nothing was accepted, and the refusal counts as if it were the first"
        case RetrySame(hold=None):
            return "settles nothing: the same bytes again"
        case RetrySame(hold=hold):
            assert hold is not None, "the case before"
            return f"settles nothing: the {hold.scope} is held, then the same bytes again"
        case Fates():
            return "call by call"


def _sign(rule: Rule) -> str:
    return SIGNS.get(rule.sign, rule.sign)


def _name(rule: Rule) -> str:
    return "(none)" if rule.sign in UNNAMED else f"`{rule.name}`"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(protocol_markdown())
