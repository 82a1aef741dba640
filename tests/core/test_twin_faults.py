"""The twin's faults, outages and limits, by table."""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from service.errors import ConfigurationError
from service.twin.faults import read_script
from tests.core.twin_requests import FLOW, WALL, answer_of, body, call, make, send


@pytest.mark.parametrize(
    ("fault", "delivery", "status", "times"),
    [
        ("cut", "cut", 0, 1),
        ("cut-before", "cut", 0, 0),
        ("cut-inside", "cut", 0, 0),
        ("silence", "silence", 0, 1),
        ("silence-before", "silence", 0, 0),
        ("empty", "whole", 202, 1),
        ("malformed", "whole", 200, 1),
        ("truncated", "whole", 202, 1),
        ("wrong-length", "short", 202, 1),
        ("drip", "drip", 202, 1),
        ("redirect", "whole", 307, 0),
        ("503", "whole", 503, 0),
        ("http-500", "whole", 500, 0),
        ("http-500-after", "whole", 500, 1),
        ("http-404-before", "whole", 404, 0),
        ("code-500", "whole", 200, 0),
        ("code-206-after", "whole", 200, 1),
        ("code-205-before", "whole", 200, 0),
        ("truncated-before", "whole", 502, 0),
        ("none", "whole", 202, 1),
        ("nameless", "whole", 202, 1),
        ("huge", "whole", 202, 1),
        ("wrong-type", "whole", 202, 1),
        ("wide-text", "whole", 202, 1),
        ("byte-mark", "whole", 202, 1),
        ("over-length", "raw", 202, 1),
        ("bad-chunks", "raw", 202, 1),
        ("old-http", "raw", 202, 1),
        ("no-http", "raw", 202, 1),
        ("interim", "raw", 202, 1),
        ("giant-header", "raw", 202, 1),
        ("twice", "raw", 202, 1),
        ("hang-up", "raw", 202, 1),
        ("hang-up-before", "raw", 502, 0),
        ("drip-head", "drip", 202, 1),
    ],
)
def test_faults(fault: str, delivery: str, status: int, times: int) -> None:
    """Before and after acting look alike to the dispatcher and differ in the ledger alone."""
    twin = make([{"fault": fault}])
    decision = send(twin, body())
    assert (decision.answer.delivery, decision.answer.status) == (delivery, status)
    assert twin.ledger.times_accepted(FLOW, b'"c-1"') == times


@pytest.mark.parametrize(
    ("switches", "header"),
    [
        ({}, None),
        ({"retry_after": "soon"}, "soon"),
        ({"retry_after": "-7"}, "-7"),
        ({"retry_after": "99999999999"}, "99999999999"),
        ({"excess": "429-seconds", "retry_after": "0"}, "0"),
    ],
)
def test_any_retry_after(switches: dict[str, Any], header: str | None) -> None:
    """A client that believes an absurd Retry-After sleeps through the campaign."""
    twin = make([{"fault": "http-429", "nth": 2}], calls_per_minute=1, **switches)
    send(twin, body())
    answer = send(twin, body(call("c-2")), 1.0).answer
    assert answer.status == 429
    assert dict(answer.headers).get("Retry-After") == header
    excess = send(twin, body(call("c-3")), 2.0).answer
    assert switches.get("excess") is None or dict(excess.headers)["Retry-After"] == header


def test_a_retry_after_that_is_no_header_is_refused() -> None:
    """A line break in a switch would end the answer's head."""
    with pytest.raises(ConfigurationError):
        make(retry_after="1\r\nX: y")


def test_a_429_may_stand_above_any_code() -> None:
    """Code and status may disagree: the code decides, and the pause is kept besides."""
    decision = send(make(body_status="429"), body(flow_id="short"))
    assert (decision.answer.status, answer_of(decision)["api-response-code"]) == (429, 301)


def test_too_long_by_its_header_alone() -> None:
    """A front refuses without reading; nothing of such a request may count as accepted."""
    twin = make(oversize="413-early", body_bytes_max=1000)
    assert twin.turn_away(1000, 0.0, WALL) is None
    answer = twin.turn_away(1001, 0.0, WALL)
    assert answer is not None
    assert (answer.delivery, answer.status) == ("raw", 413)
    assert twin.ledger.summary().requests == 1
    assert make(body_bytes_max=1000).turn_away(1001, 0.0, WALL) is None


@pytest.mark.parametrize(("fault", "times"), [("says", 0), ("says-after", 1)])
def test_an_answer_word_for_word(fault: str, times: int) -> None:
    """Without it, odd answers could only be tried on something that is not the twin."""
    says = {"status": 429, "headers": {"Retry-After": "1"}, "body": "{}"}
    twin = make([{"fault": fault, "says": says}])
    answer = send(twin, body()).answer
    assert (answer.delivery, answer.status, answer.body) == ("whole", 429, b"{}")
    assert dict(answer.headers) == {"Content-Type": "application/json", "Retry-After": "1"}
    assert twin.ledger.times_accepted(FLOW, b'"c-1"') == times


@pytest.mark.parametrize("rule", [{"fault": "says"}, {"fault": "cut", "says": {}}])
def test_an_answer_needs_its_fault_and_the_fault_its_answer(rule: dict[str, Any]) -> None:
    """Else a script would seem to say what is never said."""
    with pytest.raises(ConfigurationError):
        read_script([rule])


@pytest.mark.parametrize("fault", ["", "cut-later", "http-99", "code-5", "http", "drop", "cut "])
def test_unknown_faults_are_refused(fault: str) -> None:
    """A misspelt fault that never strikes would make a chaos run prove nothing."""
    with pytest.raises(ConfigurationError):
        read_script([{"fault": fault}])


@pytest.mark.parametrize(
    ("rule", "struck"),
    [
        ({"nth": 3}, [2]),
        ({"flow": "Other123"}, [1, 3, 5]),
        ({"flow": "Other123", "nth": 2}, [3]),
        ({"from-second": 2, "to-second": 4}, [2, 3]),
        ({"times": 2}, [0, 1]),
        ({"attempt": 2}, [2, 3]),
        ({"attempt": 2, "flow": FLOW}, [2]),
        ({"share": 0}, []),
    ],
)
def test_rules(rule: dict[str, Any], struck: list[int]) -> None:
    """Scripted failures must strike the request that the test means."""
    twin = make([rule | {"fault": "503"}])
    hits = []
    for second in range(6):
        data = body(flow_id="Other123" if second % 2 else FLOW)
        if send(twin, data, float(second)).answer.status == 503:
            hits.append(second)
    assert hits == struck


def test_first_rule_that_holds_decides_and_delay_adds() -> None:
    """Two rules must not add up to a third fault that nobody wrote."""
    twin = make([{"delay-seconds": 40, "nth": 1}, {"fault": "503"}], latency_ms_min=1000)
    assert send(twin, body()).answer_after_seconds == 41.0
    assert send(twin, body()).answer.status == 503


def test_share_is_met_over_many() -> None:
    """A probability that is off makes fault mixes other than the seed says."""
    twin = make([{"fault": "503", "share": 0.3}])
    hits = sum(send(twin, body(call(n))).answer.status == 503 for n in range(2000))
    assert 500 < hits < 700


@pytest.mark.parametrize(("answer", "delivery"), [(503, "whole"), ("reset", "cut")])
def test_outage_and_its_end(answer: Any, delivery: str) -> None:
    """Seconds of a script given at run time count from then, not from the start."""
    twin = make()
    outage = {"answer": answer, "from-second": 5, "to-second": 10}
    twin.program(read_script({"outages": [outage]}), 100.0)
    kinds = [send(twin, body(), t).answer for t in (104.9, 105.0, 109.9)]
    assert [kind.status for kind in kinds[:1]] == [202]
    assert [kind.delivery for kind in kinds[1:]] == [delivery] * 2
    assert answer_of(send(twin, body(), 110.0))["api-response-code"] == 201


def test_program_changes_switches_and_goes_back() -> None:
    """A test that ends its outage must find the twin as it was, with its ledger."""
    twin = make([{"fault": "503", "nth": 1}], calls_per_minute=100)
    twin.program(read_script({"switches": {"repeats": "drop", "excess": 429}}), 0.0)
    assert send(twin, body()).answer.status == 202
    assert (twin.options.repeats, twin.options.calls_limit) == ("drop", 100)
    with pytest.raises(ConfigurationError):
        twin.program(read_script({"switches": {"refused": "?"}}), 0.0)
    assert twin.options.repeats == "drop"
    twin.program(None, 1.0)
    assert (twin.options.repeats, twin.script.rules) == ("201", ())
    assert answer_of(send(twin, body(), 1.0))["api-response-code"] == 201
    twin.reset(2.0)
    assert twin.ledger.summary().requests == 0
    assert send(twin, body(), 2.0).answer.status == 503


@pytest.mark.parametrize(
    ("excess", "delivery", "status", "retry_after"),
    [
        ("accept", "whole", 202, None),
        ("429", "whole", 429, None),
        ("429-seconds", "whole", 429, "50"),
        ("429-date", "whole", 429, "date"),
        ("500", "whole", 500, None),
        ("403", "whole", 403, None),
        ("silence", "silence", 0, None),
    ],
)
def test_excess(excess: str, delivery: str, status: int, retry_after: str | None) -> None:
    """What excess answers is unknown; that it happened must be seen whatever the answer."""
    twin = make(excess=excess, calls_per_minute=3)
    send(twin, body(call("a"), call("b")), 0.0)
    decision = send(twin, body(call("c"), call("d")), 10.0)
    assert (decision.answer.delivery, decision.answer.status) == (delivery, status)
    headers = dict(decision.answer.headers)
    if retry_after == "date":
        assert parsedate_to_datetime(headers["Retry-After"]).timestamp() == WALL + 60
    else:
        assert headers.get("Retry-After") == retry_after
    assert twin.ledger.summary().windows_above_limit == 1
    assert send(twin, body(call("e"), call("f")), 70.0).answer.status == 202


def test_requests_have_a_limit_too() -> None:
    """Small batches must not hide an excess of requests."""
    twin = make(excess="429", calls_per_minute=100, requests_per_minute=1)
    send(twin, body(call("a")))
    assert send(twin, body(call("b"))).answer.status == 429
    assert twin.ledger.summary().windows_above_limit == 1


@pytest.mark.parametrize(
    ("oversize", "delivery", "status", "code"),
    [
        ("413", "whole", 413, None),
        ("303", "whole", 200, 303),
        ("400", "whole", 200, 400),
        ("403", "whole", 403, None),
        ("silence", "silence", 0, None),
        ("accept", "whole", 202, 202),
    ],
)
def test_oversize(oversize: str, delivery: str, status: int, code: int | None) -> None:
    """What a body over the size answers is unknown: each must be playable."""
    twin = make(oversize=oversize, body_bytes_max=len(body()))
    assert send(twin, body()).answer.status == 202
    answer = send(twin, body() + b" ").answer
    assert (answer.delivery, answer.status, answer.code) == (delivery, status, code)


def test_latency_stays_between_its_bounds() -> None:
    """Latency beyond its bounds would break the time limits that a test counts on."""
    twin = make(latency_ms_min=20, latency_ms_max=200)
    drawn = [send(twin, body(call(n))).answer_after_seconds for n in range(200)]
    assert 0.02 <= min(drawn) < 0.04
    assert 0.18 < max(drawn) <= 0.2


def test_no_input_breaks_the_twin() -> None:
    """Any bytes must get an answer: a traceback in the oracle spoils the run."""
    rng = random.Random(3)
    twin = make(checksum_over="values", checksum_scope="account", profile="dialer")
    whole = body(call("a"), call({"x": [1.5]}))
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        cut = rng.choice([len(data), rng.randrange(len(data))])
        assert send(twin, bytes(data[:cut])).answer.delivery == "whole"
