"""What an answer of the provider means for each call of the batch it answers.

Laws (provider-api.md):
1. `judge` is total and pure: whatever came back it answers, from its arguments alone.
2. While an earlier attempt of the same bytes is in doubt and nothing settles it, no verdict makes
   new bytes: there is an outcome, or the same bytes again.
3. A code outranks the HTTP status; a 429 asks for a pause besides.

Knows nothing of batches under way, clocks or connections.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from service.core.answers import (
    Answer,
    Body,
    Entry,
    NoAnswer,
    NotSent,
    Response,
    read,
    readable,
    retry_after_seconds,
)
from service.core.codes import (
    HOLD_TEXTS,
    HOLD_TEXTS_BULK,
    RULES,
    Kind,
    Remedy,
    Rule,
    Scope,
    Settles,
    rule_of_code,
    rule_of_status,
)
from service.core.history import Attempt, End, History, Request
from service.core.times import day_of
from service.core.verdict_kinds import (
    Accepted,
    Duplicate,
    Fate,
    Fates,
    Hold,
    Pause,
    Refused,
    RetrySame,
    Said,
    Shift,
    Unconfirmed,
    Verdict,
)

__all__ = [
    "Accepted",
    "Answer",
    "Attempt",
    "Duplicate",
    "End",
    "Fate",
    "Fates",
    "History",
    "Hold",
    "NoAnswer",
    "NotSent",
    "Pause",
    "Profile",
    "Refused",
    "Remedy",
    "Request",
    "Response",
    "RetrySame",
    "Said",
    "Scope",
    "Shift",
    "Unconfirmed",
    "Verdict",
    "judge",
]

Profile = Literal["bulk", "realtime", "dialer"]

HTTP_TOO_MANY_REQUESTS = 429
QUEUED = 202
INVALID = "invalid security"
"""In the message of a 202 that is a refusal, in some case."""

INVALID_SECURITY_ID = "INVALID_SECURITY_ID"
"""The table's name of that refusal."""

_SUCCESSES = (Kind.ACCEPTED, Kind.PARTIAL)
_TAKEN = Fate("accepted")
_UNKNOWN = Fate("unconfirmed", message="the answer does not tell this call's fate")


def judge(profile: Profile, history: History, request: Request, answer: Answer) -> Verdict:
    """What `answer` means for the calls of `request`. Never raises, whatever came back."""
    return _Case.of(profile, history, request, answer).verdict()


class _Case(msgspec.Struct, frozen=True):
    """One answer, read and found in the table, with what it is judged by."""

    profile: Profile
    history: History
    request: Request
    rule: Rule
    body: Body | None = None
    words: str = ""
    pause: Pause | None = None

    @classmethod
    def of(cls, profile: Profile, history: History, request: Request, answer: Answer) -> _Case:
        case = (profile, history, request)
        if isinstance(answer, NotSent):
            return cls(*case, RULES["not sent"], words=readable(answer.cause))
        if isinstance(answer, NoAnswer):
            return cls(*case, RULES["no answer"], words=readable(answer.cause))
        body, pause = read(answer, len(request.identifiers)), None
        if answer.status == HTTP_TOO_MANY_REQUESTS:
            pause = Pause(retry_after_seconds(answer.retry_after, request.answered_at))
        if body is None:
            words = f"HTTP {answer.status} without a readable code"
            return cls(*case, rule_of_status(answer.status), None, words, pause)
        rule = rule_of_code(body.code)
        if body.code == QUEUED and body.request_id is None and INVALID in body.message.casefold():
            rule = RULES["202 refused"]
        return cls(*case, rule, body, body.message, pause)

    def verdict(self) -> Verdict:
        match self.rule.kind:
            case Kind.ACCEPTED | Kind.PARTIAL:
                return self._taken()
            case Kind.CHECKSUM:
                return self._repeated()
            case Kind.REFUSED:
                return self._refused()
            case Kind.UNSENT:
                return RetrySame(**self._said(), attempt=None, counts=False)
            case kind:
                return self._ambiguous(End.UNANSWERED if kind is Kind.UNANSWERED else End.DOUBTFUL)

    @property
    def _partial(self) -> bool:
        return self.rule.kind is Kind.PARTIAL

    def _taken(self) -> Verdict:
        """200, 202, 209: some calls, or all, were accepted."""
        body = self.body
        assert body is not None, "only a code says that calls were accepted"
        listed, named = body.details is not None, body.request_id is not None
        if not (listed if self._partial else named or (listed and body.code != QUEUED)):
            return self._ambiguous(End.DOUBTFUL)
        if not body.has_details or (body.code == QUEUED and not listed):
            return Accepted(**self._said(), request_id=body.request_id, confirmation="response")
        entries, strangers = body.join(self.request.identifiers)
        fates = tuple(map(self._fate, entries))
        shared = {**self._said(), "request_id": body.request_id, "strangers": strangers}
        if any(fate.kind != "accepted" for fate in fates):
            return Fates(**shared, fates=fates)
        uuids = tuple(fate.uuid for fate in fates)
        return Accepted(**shared, confirmation="response", uuids=uuids if any(uuids) else None)

    def _fate(self, entry: Entry | None) -> Fate:
        """What became of one call of a batch that was not refused as a whole."""
        if entry is None:
            return _TAKEN if self.rule.sign == str(QUEUED) else _UNKNOWN
        if entry.odd:
            return _UNKNOWN
        rule = None if entry.code is None else rule_of_code(entry.code)
        if rule is None or rule.kind in _SUCCESSES:
            known = entry.uuid is not None or not self._partial
            return Fate("accepted", entry.uuid) if known else _UNKNOWN
        message = _line(f"{entry.code} {rule.name}", entry.message)
        # No proof that nobody is called: an error beside a success, a code that is ambiguous for
        # a whole batch too, or one that speaks of this attempt only while an earlier is in doubt.
        plain = self._partial and entry.uuid is None and rule.kind is Kind.REFUSED
        sure = plain and (not self._in_doubt() or self._settles(rule))
        return Fate("rejected" if sure else "unconfirmed", None, entry.code, message)

    def _repeated(self) -> Verdict:
        """201: what it means depends on what this batch did before."""
        history = self.history
        if history.attempts:
            arrived = all(attempt.end is End.UNANSWERED for attempt in history.attempts)
            if arrived and history.checksum_confirms:
                return Accepted(**self._said(), request_id=None, confirmation="checksum")
            return Unconfirmed(**self._said("an earlier send of the batch may have been accepted"))
        if history.shifted:
            return Unconfirmed(**self._said("although these bytes had not been sent before"))
        if history.mint == 0 and not history.tailed:
            return Duplicate(**self._said("the provider had received these very bytes before"))
        return Shift(**self._said(), attempt=self._attempt(End.REFUSED))

    def _refused(self) -> Verdict:
        """Definite: nothing of this request was accepted."""
        said, attempt, doubt = self._said(), self._attempt(End.REFUSED), self._in_doubt()
        hold = self._hold()
        if doubt and not self._settles(self.rule):
            counts = hold is None and self.pause is None
            backs_off = self.rule.remedy is Remedy.BACK_OFF
            at_end = Hold("flow", said["message"]) if backs_off else None
            return RetrySame(**said, attempt=attempt, counts=counts, hold=hold, hold_at_end=at_end)
        passing = self._went_by(self.rule) or self._outdated
        remedy = Remedy.RESEAL if passing else self.rule.remedy
        assert remedy is not None, "every refusal of the table has a remedy"
        return Refused(**said, attempt=attempt, remedy=remedy, settled=doubt, hold=hold)

    def _ambiguous(self, end: End) -> RetrySame:
        """It may have been accepted: nothing but the same bytes may follow."""
        hold = self._hold()
        return RetrySame(
            **self._said(),
            attempt=self._attempt(end),
            counts=hold is None and self.pause is None,
            retries_max=self.rule.retries_max,
            hold=hold,
        )

    def _in_doubt(self) -> bool:
        return any(attempt.end is not End.REFUSED for attempt in self.history.attempts)

    def _settles(self, rule: Rule) -> bool:
        """Whether a refusal tells the fate of the earlier attempts too."""
        if rule.settles is not Settles.SAME_DAY:
            return rule.settles is Settles.ALWAYS
        days = {attempt.day for attempt in self.history.attempts}
        days |= {day_of(self.request.sent_at), day_of(self.request.answered_at)}
        return len(days) == 1 and not self._went_by(rule)

    def _went_by(self, rule: Rule) -> bool:
        """Whether the refusal may only mean that a start-time's day ended on the way."""
        first = self.request.first_start_day
        return rule.dated and first is not None and first < day_of(self.request.answered_at)

    @property
    def _outdated(self) -> bool:
        """Whether a secret is refused that no new body holds: it says nothing of the account."""
        return self.rule.name == INVALID_SECURITY_ID and self.request.previous_security_id

    def _hold(self) -> Hold | None:
        rule = self.rule
        if rule.remedy is not Remedy.HOLD or self._went_by(rule) or self._outdated:
            return None
        text = HOLD_TEXTS[rule.name]
        if self.profile == "bulk":
            text = HOLD_TEXTS_BULK.get(rule.name, text)
        own = rule.name == INVALID_SECURITY_ID and self.request.own_security_id
        scope: Literal["flow", "account"] = "flow" if own or rule.scope is Scope.FLOW else "account"
        return Hold(scope, _line(self._title(), self.words, text))

    def _attempt(self, end: End) -> Attempt:
        code = None if self.body is None else self.body.code
        return Attempt(end, code, day_of(self.request.sent_at))

    def _title(self) -> str:
        return self.rule.name if self.body is None else f"{self.body.code} {self.rule.name}"

    def _said(self, what: str = "") -> dict[str, Any]:
        return {
            "code": None if self.body is None else self.body.code,
            "message": _line(self._title(), self.words, what),
            "scope": None if self._outdated else self.rule.scope,
            "pause": self.pause,
        }


def _line(*parts: str) -> str:
    return ": ".join(part for part in parts if part)
