"""Every recorded scenario on a real twin: what comes back, and what the dispatcher makes of it.

The verdicts are written by hand from provider-api.md; nothing in the table is computed.
"""

from __future__ import annotations

import datetime as dt
import re

import pytest

from service.adapters.provider import HttpProvider
from service.core.codes import TABLE
from service.core.verdicts import (
    Attempt,
    History,
    Profile,
    Refused,
    Request,
    RetrySame,
    Verdict,
    judge,
)
from service.twin.answers import MESSAGES
from service.twin.faults import PLAIN
from service.twin.options import Options
from service.twin.scenarios import Scenario, read_scenario, scenario_names
from tests.contracts.scenario_player import play, staged
from tests.core.verdict_words import PROFILES, told

YES = "accepted by response"
KNOWN = "accepted by checksum"
DOUBT = "same bytes, doubtful"
NOTHING = "same bytes, unanswered"
STRANGE = "same bytes, doubtful, hold the account, uncounted"
FLOW = "new mint hold the flow"
ACCOUNT = "new mint hold the account"
BISECT = "new mint bisect"
PROBE = "new mint probe"
HALVE = "new mint halve"
PAUSE = "new mint pause"

VERDICTS: dict[str, list[str]] = {
    "success-bulk": [YES],
    "success-realtime": [YES],
    "success-dialer": [YES],
    "success-before-2023": [YES],
    "success-code-as-text": [YES],
    "success-nameless": [DOUBT],
    "success-nameless-200": [DOUBT],
    "identifiers": [YES],
    "details-shuffled": [YES],
    "details-missing": ["accepted unconfirmed accepted"],
    "details-extra": [YES],
    "details-repeated": [YES],
    "details-conflicting": ["accepted unconfirmed accepted"],
    "details-both": ["accepted unconfirmed accepted"],
    "details-bare": [YES],
    "details-empty": ["unconfirmed unconfirmed unconfirmed"],
    "details-null": [YES],
    "code-201": [YES, "duplicate"],
    "code-201-dropped": [YES, YES],
    "code-202": [ACCOUNT],
    "code-203": [FLOW],
    "code-204": [FLOW, YES],
    "code-205": [BISECT, YES, BISECT],
    "code-206": ["same bytes, doubtful, few", "unconfirmed"],
    "code-206-unplaced": ["same bytes, doubtful, few", YES],
    "code-207": [FLOW, YES],
    "code-208": ["new mint back off", YES],
    "code-209-entries": ["accepted rejected"],
    "code-209-left-out": ["accepted unconfirmed"],
    "code-209-conflicting": ["accepted unconfirmed"],
    "code-209-ambiguous": ["accepted unconfirmed"],
    "code-209-null": [DOUBT],
    "code-210": [PROBE, YES],
    "code-211": [ACCOUNT, YES],
    "code-212": [ACCOUNT, YES],
    "code-213": [DOUBT],
    "code-301": [FLOW],
    "code-302": [FLOW],
    "code-303": [HALVE, YES],
    "code-304": [FLOW],
    "code-400": [PROBE, YES],
    "code-401": [ACCOUNT, YES],
    "code-402": [BISECT, YES],
    "code-500": [DOUBT, YES],
    "code-500-placed": [DOUBT, "unconfirmed"],
    "code-999": [STRANGE],
    "code-in-4xx": [FLOW],
    "code-mirrored": [FLOW],
    "code-in-429": [FLOW],
    "past-day-400": ["new mint reseal"],
    "past-day-210": ["new mint reseal"],
    "past-day-211": ["new mint reseal"],
    "http-400": [DOUBT],
    "http-401": [DOUBT],
    "http-403": [ACCOUNT],
    "http-404": [STRANGE],
    "http-405": [STRANGE],
    "http-418": [DOUBT],
    "http-500": [DOUBT],
    "http-502": [NOTHING],
    "http-503": [NOTHING],
    "http-504": [NOTHING],
    "http-503-placed": [NOTHING, KNOWN],
    "redirect": [STRANGE],
    "excess-429": [YES, PAUSE],
    "excess-429-seconds": [YES, PAUSE],
    "excess-429-date": [YES, PAUSE],
    "excess-500": [YES, DOUBT],
    "excess-403": [YES, ACCOUNT],
    "excess-silence": [YES, NOTHING],
    "retry-after-absurd": [PAUSE],
    "retry-after-negative": [PAUSE],
    "retry-after-past": [PAUSE],
    "retry-after-words": [PAUSE],
    "oversize-413": [HALVE],
    "oversize-413-early": [HALVE],
    "oversize-303": [HALVE],
    "oversize-400": [PROBE],
    "oversize-403": [ACCOUNT],
    "oversize-silence": [NOTHING],
    "answer-empty": [NOTHING],
    "answer-malformed": [NOTHING],
    "answer-truncated": [NOTHING],
    "answer-wrong-length": [NOTHING],
    "answer-over-length": [NOTHING],
    "answer-bad-chunks": [NOTHING],
    "answer-huge": [NOTHING],
    "answer-wrong-type": [YES],
    "answer-wide-text": [NOTHING],
    "answer-byte-mark": [NOTHING],
    "answer-old-http": [YES],
    "answer-no-http": [NOTHING],
    "answer-interim": [YES],
    "answer-giant-header": [NOTHING],
    "answer-twice": [YES],
    "answer-hang-up": [YES],
    "answer-drip": [YES],
    "answer-drip-head": [YES],
    "answer-silence": [NOTHING, KNOWN],
    "answer-reset": [NOTHING, KNOWN],
    "request-reset": [NOTHING, YES],
    "request-silence": [NOTHING, YES],
    "outage-503": [NOTHING, NOTHING],
    "outage-reset": [NOTHING, NOTHING],
    "outage-silence": [NOTHING, NOTHING],
    # From here on the provider's own ways; some are where no client can keep the promise.
    "checksum-at-receipt": [NOTHING, KNOWN],
    "checksum-at-receipt-of-a-refusal": [ACCOUNT, "unconfirmed", YES],
    "checksum-at-validation": [DOUBT, "unconfirmed"],
    "checksum-forgotten": [NOTHING, YES],
    "checksum-of-values": [YES, "shift", YES],
    "checksum-of-bytes": [YES, YES],
    "checksum-of-account": [YES, "duplicate"],
    "partly-accepted": [BISECT, YES],
    "overlap": [NOTHING, YES],
    "late-placing": [NOTHING],
}
PAUSES: dict[str, float | None] = {
    "excess-429": None,
    "excess-429-seconds": 60,
    "retry-after-absurd": 3600,
    "retry-after-negative": None,
    "retry-after-past": None,
    "retry-after-words": None,
    "code-in-429": None,
}
START_DAY = re.compile(rb'"start-time":"(\d{4}-\d\d-\d\d)T')


@pytest.mark.parametrize("name", scenario_names())
async def test_what_was_recorded_comes_back(name: str) -> None:
    """Others hold their own client to these files: a stale one teaches them what is not so.

    To record them anew: python -m tests.contracts.scenario_player
    """
    scenario = read_scenario(name)
    seen, ledger = await play(scenario)
    assert seen == [step.answer for step in scenario.steps]
    assert ledger == scenario.ledger


async def verdicts(scenario: Scenario, profile: Profile) -> list[Verdict]:
    """What the dispatcher's own adapter and judge make of each step."""
    found: list[Verdict] = []
    attempts: tuple[Attempt, ...] = ()
    now = dt.datetime.now(dt.UTC)
    bodies = scenario.bodies(now)
    async with staged(scenario, profile) as (_, url):
        for n, (step, body) in enumerate(zip(scenario.steps, bodies, strict=True)):
            provider = HttpProvider(url, step.patience_seconds, "test")
            answer = await provider.post(body, lambda: True)
            await provider.close()
            attempts = attempts if n and body == bodies[n - 1] else ()
            tailed = bool(step.tail)
            history = History(attempts, int(tailed), tailed)
            verdict = judge(profile, history, request(body, now), answer)
            if isinstance(verdict, RetrySame | Refused) and verdict.attempt is not None:
                attempts += (verdict.attempt,)
            found.append(verdict)
    return found


def request(body: bytes, now: dt.datetime) -> Request:
    """What judge needs to know of a body."""
    identifiers = re.findall(rb'"client-identifier":(.+?),"start-time"', body)
    days = [dt.date.fromisoformat(day.decode()).toordinal() for day in START_DAY.findall(body)]
    return Request(identifiers, now.timestamp(), now.timestamp(), min(days, default=None))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", VERDICTS)
async def test_every_scenario_ends_in_the_right_verdict(name: str, profile: Profile) -> None:
    """Twin, wire, adapter and judge together, in every profile, against the table above."""
    found = await verdicts(read_scenario(name), profile)
    assert [told(verdict) for verdict in found] == VERDICTS[name]
    paused = [verdict.pause for verdict in found if verdict.pause is not None]
    if name in PAUSES:
        assert [pause.seconds for pause in paused] == [PAUSES[name]]
    else:
        assert len(paused) == (name == "excess-429-date")
        assert all(0 < (pause.seconds or 0) <= 61 for pause in paused)


def codes_of(scenario: Scenario) -> set[int]:
    """The codes that its answers hold."""
    found = [step.answer.json for step in scenario.steps]
    return {int(body["api-response-code"]) for body in found if isinstance(body, dict)}


def test_there_is_a_scenario_of_everything() -> None:
    """A code or a fault without one is a code that nobody tries before it comes."""
    scenarios = {name: read_scenario(name) for name in scenario_names()}
    assert set(VERDICTS) == set(scenarios)
    for code in {*MESSAGES, *(int(rule.sign) for rule in TABLE if rule.sign.isdigit())} - {200}:
        assert code in codes_of(scenarios.get(f"code-{code}") or scenarios[f"code-{code}-entries"])
    statuses = {f"HTTP {step.answer.status}" for s in scenarios.values() for step in s.steps}
    assert {rule.sign for rule in TABLE if re.fullmatch(r"HTTP \d+", rule.sign)} <= statuses
    faults = {rule.fault for scenario in scenarios.values() for rule in scenario.script.rules}
    named = {fault.removesuffix("-before").removesuffix("-after") for fault in faults}
    assert set(PLAIN) - {"none", "says"} <= named


UNSHOWN = {"requests-per-minute", "number-forms", "latency-ms-max", "identity-key", "sink"}
"""Switches that shape no answer of their own."""


def test_every_switch_is_in_a_scenario() -> None:
    """Each thing that the documents leave open can be tried out by others."""
    used = {switch for n in scenario_names() for switch in read_scenario(n).script.switches}
    assert {*Options.__struct_encode_fields__} - used <= UNSHOWN
