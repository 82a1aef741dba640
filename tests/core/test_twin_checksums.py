"""The twin's checksum memory: when it records, what it takes for the same, and what it excuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.twin_requests import FLOW, WALL, answer_of, body, call, make, send

BAD = body(call("a"), call("b", contact_numbers=["919000000013"]))


@pytest.mark.parametrize(
    ("switches", "code"),
    [
        ({}, 205),
        ({"checksum_at": "validation"}, 205),
        ({"checksum_at": "receipt"}, 201),
    ],
)
def test_refused_body_sent_again(switches: dict[str, Any], code: int) -> None:
    """A refusal that burns the checksum is what forces the dispatcher to mint anew."""
    twin = make(refused="number-ending=13", **switches)
    assert answer_of(send(twin, BAD))["api-response-code"] == 205
    assert answer_of(send(twin, BAD))["api-response-code"] == code


@pytest.mark.parametrize(
    ("checksum_at", "fault", "again", "times"),
    [
        ("acceptance", "cut-before", 202, 1),
        ("acceptance", "cut-inside", 202, 1),
        ("acceptance", "cut-after", 201, 1),
        ("validation", "cut-before", 202, 1),
        ("validation", "cut-inside", 201, 0),
        ("receipt", "cut-before", 202, 1),
        ("receipt", "code-500", 201, 0),
        ("receipt", "silence-after", 201, 1),
    ],
)
def test_lost_answer_then_the_same_bytes(
    checksum_at: str, fault: str, again: int, times: int
) -> None:
    """The promise of no second call rests on what the provider does here."""
    twin = make([{"fault": fault, "nth": 1}], checksum_at=checksum_at)
    send(twin, body())
    assert answer_of(send(twin, body()))["api-response-code"] == again
    assert twin.ledger.times_accepted(FLOW, b'"c-1"') == times
    assert set(twin.ledger.exceptions) == ({"stored-unplaced"} if times == 0 else set())


@pytest.mark.parametrize(
    ("switches", "variant", "code"),
    [
        ({}, body() + b" \t", 202),
        ({"checksum_over": "values"}, body() + b" \t", 201),
        ({"checksum_over": "values"}, body(call("other")), 202),
        ({"checksum_over": "values"}, body(flow_id="Other123"), 202),
        ({"checksum_over": "values", "checksum_scope": "account"}, body(flow_id="Other123"), 201),
        ({"checksum_scope": "account"}, body(flow_id="Other123"), 201),
        ({"checksum_scope": "account"}, body() + b" ", 202),
        ({}, body(flow_id="Other123"), 202),
    ],
)
def test_what_counts_as_the_same(switches: dict[str, Any], variant: bytes, code: int) -> None:
    """Tails of white space make new mints only where the provider counts bytes."""
    twin = make(**switches)
    send(twin, body())
    assert answer_of(send(twin, variant))["api-response-code"] == code
    assert ("values-alike" in twin.ledger.exceptions) == (code == 201)


def test_forgotten_checksum_doubles_and_says_so() -> None:
    """A call doubled by the provider's short memory must not be blamed on the dispatcher."""
    twin = make(checksum_memory_seconds=10)
    send(twin, body(), 0.0)
    assert answer_of(send(twin, body(), 9.9))["api-response-code"] == 201
    assert answer_of(send(twin, body(), 10.0))["api-response-code"] == 202
    assert twin.ledger.summary().doubled == 1
    assert twin.ledger.exceptions == {"forgotten": {(FLOW, (b'"c-1"', None))}}


@pytest.mark.parametrize(("checksum_at", "doubled"), [("acceptance", 1), ("receipt", 0)])
def test_overlap_of_two_attempts(checksum_at: str, doubled: int) -> None:
    """The same bytes while the first are worked on: doubled if checksums come with acceptance."""
    twin = make(checksum_at=checksum_at, act_at="end", latency_ms_min=5000)
    first = twin.arrive(body(), twin.options.path, 0.0, WALL)
    second = twin.arrive(body(), twin.options.path, 1.0, WALL + 1)
    assert first.act_after_seconds == 5.0
    assert twin.ledger.summary().calls_accepted == 0
    twin.act(first, 5.0, WALL + 5)
    twin.act(second, 6.0, WALL + 6)
    summary = twin.ledger.summary()
    assert (summary.doubled, summary.exceptions) == (doubled, {"overlap": 1} if doubled else {})


def test_bulk_may_drop_the_copy_in_silence() -> None:
    """A second 202 whose copy is dropped later is one call all the same."""
    twin = make(repeats="drop")
    first, second = send(twin, body()), send(twin, body())
    assert answer_of(second)["api-response-code"] == 202
    assert first.answer.body != second.answer.body
    assert twin.ledger.times_accepted(FLOW, b'"c-1"') == 1


def test_partly_accepted_refusal_is_named() -> None:
    """Bisecting such a refusal calls twice, and no promise is made there."""
    twin = make(refused="number-ending=13", rejection="partly")
    send(twin, BAD)
    send(twin, body(call("a")))
    summary = twin.ledger.summary()
    assert (summary.doubled, summary.exceptions) == (1, {"partly-accepted": 1})


def test_identity_key_tells_equal_identifiers_apart() -> None:
    """An upstream that repeats an identifier on purpose is no doubled call."""
    twin = make(identity_key="$flow.key.Ref")
    for ref in ("r-1", "r-2"):
        send(twin, body(call(keys=[{"name": "$flow.key.Ref", "value": ref}])))
    assert twin.ledger.summary().doubled == 0
    assert twin.ledger.times_accepted(FLOW, b'"c-1"', "r-2") == 1
    assert [seen.key for seen in twin.ledger.accepted_calls()] == ["r-1", "r-2"]
