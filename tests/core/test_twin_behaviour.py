"""The twin's pure behaviour, by table: what each switch makes of the same request."""

from __future__ import annotations

from typing import Any

import pytest

from service.errors import ConfigurationError
from service.twin.behaviour import Decision
from service.twin.options import PATHS
from tests.core.twin_requests import FLOW, WALL, answer_of, body, call, make, send


@pytest.mark.parametrize(
    ("switches", "status", "code", "details"),
    [
        ({}, 202, 202, None),
        ({"success": "details"}, 200, 200, 1),
        ({"profile": "realtime"}, 200, 200, 1),
        ({"profile": "dialer"}, 200, 200, 1),
        ({"profile": "realtime", "code_as_text": True}, 200, "200", 1),
        ({"profile": "realtime", "details": "null"}, 200, 200, None),
        ({"profile": "realtime", "details": "empty"}, 200, 200, 0),
        ({"profile": "realtime", "details": "missing"}, 200, 200, 0),
        ({"profile": "realtime", "details": "missing,missing"}, 200, 200, 0),
        ({"profile": "realtime", "details": ["extra"]}, 200, 200, 2),
        ({"profile": "realtime", "details": ["repeated", "shuffled"]}, 200, 200, 2),
        ({"profile": "realtime", "details": ["conflicting"]}, 200, 200, 2),
        ({"profile": "realtime", "details": ["both"]}, 200, 200, 1),
        ({"profile": "realtime", "details": ["bare"]}, 200, 200, 1),
    ],
)
def test_success(switches: dict[str, Any], status: int, code: Any, details: int | None) -> None:
    """A twin that answers success unlike the profile would hide a wrong reading from us."""
    twin = make(**switches)
    decision = send(twin, body())
    decoded = answer_of(decision)
    assert (decision.answer.status, decoded["api-response-code"]) == (status, code)
    assert len(decoded["request-id"]) == 36
    listed = decoded["call-details"]
    assert (None if listed is None else len(listed)) == details
    assert twin.ledger.times_accepted(FLOW, b'"c-1"') == 1


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (body(calls=5), 400),
        (body(calls=["x"]), 400),
        (body(calls=None), 210),
        (body(api_version=None), 210),
        (body(security_id=None), 210),
        (body(flow_id=None), 210),
        (body(api_version="TEST"), 203),
        (body(api_version=1.0), 203),
        (body(security_id="b1" * 32), 202),
        (body(security_id=5), 202),
        (body(flow_id="short"), 301),
        (body(flow_id=["AbCd1234"]), 301),
        (body(calls=[]), 302),
        (body(*[call(n) for n in range(501)]), 303),
    ],
)
@pytest.mark.parametrize("profile", ["bulk", "realtime"])
def test_whole_refusals(profile: str, data: bytes, code: int) -> None:
    """A malformed request that the twin took would pass our tests and fail at the provider."""
    twin = make(profile=profile)
    decoded = answer_of(send(twin, data))
    assert decoded["api-response-code"] == code
    assert "request-id" not in decoded
    assert twin.ledger.summary().calls_accepted == 0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, 200),
        ({"start_time": None}, 200),
        ({"contact_numbers": ["+919000000001", "9000000001", "+14155552671"]}, 200),
        ({"keys": []}, 200),
        ({"identifier": {"a": [1]}}, 200),
        ({"identifier": 0}, 200),
        ({"identifier": ""}, 210),
        ({"identifier": []}, 210),
        ({"identifier": None}, 210),
        ({"contact_numbers": None}, 210),
        ({"contact_numbers": []}, 210),
        ({"keys": None}, 210),
        ({"contact_numbers": "919000000001"}, 400),
        ({"contact_numbers": [919000000001]}, 400),
        ({"contact_numbers": ["91900000000"]}, 205),
        ({"contact_numbers": ["919000000001", "91 9000000001"]}, 205),
        ({"contact_numbers": ["09000000001"]}, 205),
        ({"contact_numbers": ["6581234567890123"]}, 205),
        ({"contact_numbers": ["+91900000000"]}, 205),
        ({"contact_numbers": ["91900000000\u0661"]}, 205),
        ({"keys": [{"name": "Name", "value": "x"}]}, 400),
        ({"keys": [{"name": "$flow.key.N", "value": 1}]}, 400),
        ({"keys": [{"name": "$flow.key.N"}]}, 400),
        ({"start_time": "2030-03-17T00:00:00+05:30"}, 200),
        ({"start_time": "2030-03-16T23:59:59+05:30"}, 400),
        ({"start_time": "2030-03-17T00:00:00Z"}, 400),
        ({"start_time": "2030-13-17T00:00:00+05:30"}, 400),
        ({"start_time": 5}, 400),
    ],
)
def test_single_calls_while_waiting(fields: dict[str, Any], code: int) -> None:
    """A form that only our twin allows would be called a working dispatcher."""
    made = call(
        fields.get("identifier", "c-1"), **{k: v for k, v in fields.items() if k != "identifier"}
    )
    assert answer_of(send(make(profile="realtime"), body(made)))["api-response-code"] == code
    assert answer_of(send(make(), body(made)))["api-response-code"] == 202, "bulk looks later"
    late = make(validate_calls="true")
    assert answer_of(send(late, body(made)))["api-response-code"] == (202 if code == 200 else code)


def test_dialer_needs_a_start_time_and_knows_testing() -> None:
    """The dialer's flows wait for a time that no one named: its calls would never go out."""
    twin = make(profile="dialer")
    assert answer_of(send(twin, body(call(start_time=None))))["api-response-code"] == 210
    assert answer_of(send(twin, body(api_version="TEST")))["api-response-code"] == 200


@pytest.mark.parametrize("past_day", ["400", "210", "211"])
def test_past_day_answers(past_day: str) -> None:
    """What a past day answers is unknown, so each of the three must be playable."""
    twin = make(profile="realtime", past_day=past_day)
    made = call(start_time="2029-01-01T00:00:00+05:30")
    assert answer_of(send(twin, body(made)))["api-response-code"] == int(past_day)


def test_wrong_endpoint() -> None:
    """A wrong path must look as it would at the provider: unknown flow, or no such page."""
    twin = make()
    assert answer_of(twin.arrive(body(), PATHS["dialer"], 0, WALL))["api-response-code"] == 301
    assert twin.arrive(body(), "/nowhere", 0, WALL).answer.status == 404


THREE = body(call("a"), call("b", contact_numbers=["919000000013"]), call("c"))


@pytest.mark.parametrize(
    ("switches", "code", "accepted", "listed"),
    [
        ({"refused": "number-ending=13"}, 205, "", None),
        ({"refused": "402:number-pattern=13$"}, 402, "", None),
        ({"refused": '400:identifier-pattern="b"'}, 400, "", None),
        ({"refused": ["share=1"]}, 205, "", None),
        ({"refused": ["share=0"]}, 202, "abc", None),
        ({"refused": ["number-ending=13"], "rejection": "partly"}, 205, "ac", None),
        ({"refused": ["number-ending=13"], "refuse_as": "entries"}, 209, "ac", 3),
        ({"refused": ["number-ending=13"], "refuse_as": "left-out"}, 209, "ac", 2),
        ({"refused": ["share=1"], "refuse_as": "left-out"}, 205, "", None),
        ({"calls_max": 2}, 303, "", None),
        ({"calls_max": 2, "rejection": "partly"}, 303, "ab", None),
        ({"security_ids": 1, "flows": "Other123", "rejection": "partly"}, 301, "", None),
    ],
)
def test_refused_calls(
    switches: dict[str, Any], code: int, accepted: str, listed: int | None
) -> None:
    """The ledger must say of each call what the answer said, or hide what it hid: no other."""
    switches.pop("security_ids", None)
    twin = make(**switches)
    decoded = answer_of(send(twin, THREE))
    assert decoded["api-response-code"] == code
    taken = [name for name in "abc" if twin.ledger.times_accepted(FLOW, b'"%b"' % name.encode())]
    assert "".join(taken) == accepted
    details = decoded.get("call-details")
    assert (None if details is None else len(details)) == listed


def test_209_entry_carries_the_code() -> None:
    """Demo and dispatcher tell refused calls by this entry."""
    twin = make(refused="402:number-ending=13", refuse_as="entries")
    details = answer_of(send(twin, THREE))["call-details"]
    assert [entry.get("api-response-code") for entry in details] == [None, 402, None]
    assert ["phonon-uuid" in entry for entry in details] == [True, False, True]


@pytest.mark.parametrize(
    ("body_status", "code", "status"),
    [
        ("200", 205, 200),
        ("mirrored", 205, 205),
        ("mirrored", 204, 400),
        ("4xx", 205, 400),
        ("4xx", 402, 402),
    ],
)
def test_body_status(body_status: str, code: int, status: int) -> None:
    """Which HTTP status goes with a body error is unknown: each must be playable."""
    twin = make(body_status=body_status, refused=f"{code}:share=1")
    assert send(twin, body()).answer.status == status


def test_same_seed_same_answers() -> None:
    """A simulator's seed that fails must fail again."""

    def run() -> list[Decision]:
        rules = [{"fault": "cut-after", "share": 0.5}]
        twin = make(rules, details="shuffled,missing", profile="realtime", latency_ms_max=9)
        return [send(twin, body(*[call(f"{n}-{m}") for m in range(9)]), n) for n in range(20)]

    assert run() == run()


@pytest.mark.parametrize(
    "switches",
    [
        {"nonsense": 1},
        {"excess": "418"},
        {"calls_max": 0},
        {"refused": "nonsense"},
        {"refused": "number-pattern=("},
        {"refused": "share=x"},
        {"number_forms": "roman"},
        {"latency_ms_min": "soon"},
    ],
)
def test_bad_switches_name_themselves(switches: dict[str, Any]) -> None:
    """A misspelt switch that was passed over would make a test prove nothing."""
    with pytest.raises(ConfigurationError) as caught:
        make(**switches)
    assert "\n" not in str(caught.value)


def test_sink_counts_and_accepts_without_a_ledger() -> None:
    """Load tests use it as the provider that costs nothing."""
    twin = make(sink=True)
    assert send(twin, THREE).answer.status == 202
    summary = twin.ledger.summary()
    assert (summary.calls_received, summary.calls_accepted) == (3, 0)
