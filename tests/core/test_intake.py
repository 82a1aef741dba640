"""Intake by table: every rule of a call event, its reason, its field, and what is sent."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import msgspec
import pytest

from service.core.codec import CODEC_VERSION, Recipe, overhead_bytes
from service.core.intake import Intake, IntakeRules, PlainRecord
from service.core.schema import event_json_schema
from service.errors import EventRefused

FLOW = "AbCd1234"
EVENT = {"flow-id": FLOW, "client-identifier": "c-1", "contact-numbers": ["9876543210"]}
RULES = IntakeRules(
    value_bytes_max=256_000,
    meta_bytes_max=65_536,
    body_bytes_max=256_000,
    number_check="valid",
    foreign_numbers="send",
)
RECIPE = Recipe(
    codec_version=CODEC_VERSION,
    api_version="1.0",
    fills_start_time=False,
    number_format="digits",
    time_zone="Asia/Kolkata",
    correlation_key=None,
    dummy_number=None,
)
OVERHEAD = overhead_bytes(RECIPE, FLOW, "a1" * 32)
LEFT_OUT = object()


def intake(rules: IntakeRules = RULES, **recipe: Any) -> Intake:
    """An intake whose flows all have this recipe."""
    made = msgspec.structs.replace(RECIPE, **recipe)
    return Intake(rules, lambda _: made, lambda _: OVERHEAD)


def rules(**changes: Any) -> IntakeRules:
    """RULES with changes."""
    return replace(RULES, **changes)


def event(**fields: Any) -> bytes:
    """An event's bytes; names with underscores, LEFT_OUT leaves a field out."""
    merged = EVENT | {name.replace("_", "-"): value for name, value in fields.items()}
    return json.dumps({n: v for n, v in merged.items() if v is not LEFT_OUT}).encode()


def raw(identifier: bytes) -> bytes:
    """An event with exactly this client-identifier."""
    name = b'"client-identifier": '
    return event(client_identifier=0).replace(name + b"0", name + identifier)


def refused(value: bytes | None, **recipe: Any) -> EventRefused:
    """Why an event is refused."""
    with pytest.raises(EventRefused) as caught:
        intake(**recipe).accept(PlainRecord(value))
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)
    return caught.value


def sent(value: bytes, **recipe: Any) -> dict[str, Any]:
    """The element of `calls` that an event becomes."""
    fragment: dict[str, Any] = json.loads(intake(**recipe).accept_value(value).fragment)
    return fragment


def test_an_ordinary_event_becomes_exactly_this_call() -> None:
    """The main job would not be done."""
    value = event(
        start_time="2030-01-31T09:30:00Z",
        expires_at="1970-01-01T00:00:10.5Z",
        keys=[{"name": "$flow.key.Name", "value": "Ash\u0101"}],
    )
    record = PlainRecord(value, b"key", [("traceparent", b"00-1")], "calls.requests", 1, 2, 3)
    call = intake().accept(record)
    assert call.record is record
    assert (call.flow_id, call.identifier, call.identity) == (FLOW, b'"c-1"', b'"c-1"')
    assert (
        call.fragment
        == (
            '{"client-identifier":"c-1","start-time":"2030-01-31T15:00:00+05:30",'
            '"contact-numbers":["919876543210"],'
            '"keys":[{"name":"$flow.key.Name","value":"Ash\u0101"}]}'
        ).encode()
    )
    assert (call.fill_at, call.extra.expires_at) == (-1, 10.5)
    assert call.extra.start_day is not None
    assert not call.extra.expired(10.5, call.extra.start_day)
    assert call.extra.expired(10.6, call.extra.start_day)


def test_what_is_optional_may_be_left_out() -> None:
    """The least event that the contract allows would be refused."""
    call = intake().accept_value(event())
    assert call.fragment == (
        b'{"client-identifier":"c-1","contact-numbers":["919876543210"],"keys":[]}'
    )
    assert (call.fill_at, call.extra.start_day, call.extra.expires_at) == (-1, None, None)


def test_the_dialer_gets_a_place_for_the_time_of_sealing() -> None:
    """A dialer's call would go out without its start-time, or with another's."""
    call = intake(fills_start_time=True).accept_value(event())
    assert call.fragment[: call.fill_at].endswith(b'"start-time":"')
    assert call.fragment[call.fill_at + 25 :].startswith(b'"')
    assert call.extra.start_day is None
    given = intake(fills_start_time=True).accept_value(event(start_time="2030-01-31T09:30:00"))
    assert given.fill_at == -1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"flow_id": LEFT_OUT}, "flow-id"),
        ({"flow_id": None}, "flow-id"),
        ({"flow_id": 12345678}, "flow-id"),
        ({"flow_id": ""}, "flow-id"),
        ({"flow_id": "AbCd123"}, "flow-id"),
        ({"flow_id": "AbCd12345"}, "flow-id"),
        ({"flow_id": "AbCd-234"}, "flow-id"),
        ({"flow_id": "AbCd123\n"}, "flow-id"),
        ({"flow_id": "AbCd123\u0967"}, "flow-id"),
        ({"client_identifier": LEFT_OUT}, "client-identifier"),
        ({"client_identifier": None}, "client-identifier"),
        ({"client_identifier": ""}, "client-identifier"),
        ({"client_identifier": []}, "client-identifier"),
        ({"client_identifier": {}}, "client-identifier"),
        ({"contact_numbers": LEFT_OUT}, "contact-numbers"),
        ({"contact_numbers": None}, "contact-numbers"),
        ({"contact_numbers": []}, "contact-numbers"),
        ({"contact_numbers": "9876543210"}, "contact-numbers"),
        ({"contact_numbers": ["9876543210", "98765XXXXX"]}, "contact-numbers[1]"),
        ({"contact_numbers": [9876543210.0]}, "contact-numbers[0]"),
        ({"contact_numbers": [True]}, "contact-numbers[0]"),
        ({"contact_numbers": [None]}, "contact-numbers[0]"),
        ({"contact_numbers": [["9876543210"]]}, "contact-numbers[0]"),
        ({"start_time": None}, "start-time"),
        ({"start_time": 1900000000}, "start-time"),
        ({"start_time": "tomorrow"}, "start-time"),
        ({"expires_at": None}, "expires-at"),
        ({"expires_at": "tomorrow"}, "expires-at"),
        ({"keys": None}, "keys"),
        ({"keys": {"$flow.key.A": "1"}}, "keys"),
        ({"keys": ["$flow.key.A"]}, "keys[0]"),
        ({"keys": [{"value": "1"}]}, "keys[0].name"),
        ({"keys": [{"name": None}]}, "keys[0].name"),
        ({"keys": [{"name": "A"}]}, "keys[0].name"),
        ({"keys": [{"name": "$flow.key."}]}, "keys[0].name"),
        ({"keys": [{"name": "$Flow.key.A"}]}, "keys[0].name"),
        ({"keys": [{"name": "$flow.key.A"}, {"name": "$flow.key.A"}]}, "keys[1].name"),
        ({"keys": [{"name": "$flow.key.A", "value": None}]}, "keys[0].value"),
        ({"keys": [{"name": "$flow.key.A", "value": 1.5}]}, "keys[0].value"),
        ({"keys": [{"name": "$flow.key.A", "value": []}]}, "keys[0].value"),
        ({"keys": [{"name": "$flow.key.A", "value": {}}]}, "keys[0].value"),
        ({"keys": [{"name": "$flow.key.A", "valu": "1"}]}, "keys[0].valu"),
        ({"start_tiem": "2030-01-31T09:30:00"}, "start-tiem"),
        ({"x" * 100: 1}, None),
        ({"9876543210": 1}, None),
    ],
)
def test_what_breaks_the_contract_is_invalid(fields: dict[str, Any], field: str | None) -> None:
    """Upstream could not see which field to correct."""
    why = refused(event(**fields))
    assert (why.reason, why.field) == ("invalid", field)
    if field:
        assert str(why).startswith(field)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "no value"),
        (b"", "not one JSON object"),
        (b"null", "not one JSON object"),
        (b"[]", "not one JSON object"),
        (b'"text"', "not one JSON object"),
        (b"{", "not one JSON object"),
        (event() + b"x", "not one JSON object"),
        (event() + event(), "not one JSON object"),
        (event() + b"\x00", "not one JSON object"),
        (b"\xef\xbb\xbf" + event(), "byte order mark"),
        (event().decode().encode("utf-16"), "not one JSON object"),
        (event(keys=[{"name": "$flow.key.A", "value": "?"}]).replace(b"?", b"\xff"), "UTF-8"),
        (event().replace(b'"flow-id"', b'"flow\xff-id"'), "UTF-8"),
        (raw(b"NaN"), "not one JSON object"),
        (raw(b"Infinity"), "not one JSON object"),
        (raw(b"01"), "not one JSON object"),
        (raw(b'"\\ud800"'), "not one JSON object"),
        (raw(b"[" * 100_000), "deeper than 32"),
        (raw(b"[" * 100_000 + b"]" * 100_000), "deeper than 32"),
        (b"[" * 100_000, "not one JSON object"),
        (b'{"a":' * 40_000, "unknown"),
        (b" " * 256_001, "256000"),
    ],
)
def test_what_is_no_event_is_invalid(value: bytes | None, says: str) -> None:
    """One broken record would stop the lane, or its dead letter would not say what to do."""
    why = refused(value)
    assert why.reason == "invalid"
    assert says in str(why)


@pytest.mark.parametrize(
    ("identifier", "says"),
    [
        (b"1e400", "finite"),
        (b"-1e400", "finite"),
        (b'{"a":[1e400]}', "finite"),
        (b'"\xff"', "UTF-8"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b'{"\xff":1}', "UTF-8"),
        (b"[" * 32 + b"]" * 32, "deeper than 32"),
        (b'{"a":' * 32 + b"1" + b"}" * 32, "deeper than 32"),
        (b"[" * 500 + b"]" * 500, "deeper than 32"),
        (b"[ ]", "empty"),
        (b"{ }", "empty"),
    ],
)
def test_an_identifier_that_cannot_be_echoed_is_invalid(identifier: bytes, says: str) -> None:
    """The answer could not be joined to its call."""
    why = refused(raw(identifier))
    assert (why.reason, why.field) == ("invalid", "client-identifier")
    assert says in str(why)


@pytest.mark.parametrize(
    ("identifier", "out", "identity"),
    [
        (b'"c-1"', b'"c-1"', "c-1"),
        (b'"1"', b'"1"', "1"),
        (b"1", b"1", "1"),
        (b"0", b"0", "0"),
        (b"-0", b"-0", "0"),
        (b"1.0", b"1.0", "1.0"),
        (b"1.00", b"1.00", "1.0"),
        (b"1e2", b"1e2", "100.0"),
        (b"0.1000000000000000055511", b"0.1000000000000000055511", "0.1"),
        (b"true", b"true", "true"),
        (b"false", b"false", "false"),
        (b'"true"', b'"true"', "true"),
        (b"9" * 5000, b"9" * 5000, "9" * 5000),
        (b"[%b]" % (b"9" * 5000), b"[%b]" % (b"9" * 5000), "[" + "9" * 5000 + "]"),
        (b'"\\u0041\\/\\n"', b'"A/\\n"', "A/\n"),
        (b'"\\ud83d\\ude00"', '"\U0001f600"'.encode(), "\U0001f600"),
        (b'"\\u0000"', b'"\\u0000"', "\x00"),
        ('"\x7f\u2028\u00e9"'.encode(), '"\x7f\u2028\u00e9"'.encode(), "\x7f\u2028\u00e9"),
        (b" [ 1 , 2.50 ] ", b"[1,2.50]", "[1,2.5]"),
        (b'{"b": 1, "a": null}', b'{"a":null,"b":1}', '{"a":null,"b":1}'),
        (b'{"a": 1, "a": 2}', b'{"a":2}', '{"a":2}'),
        (b'{"a": {"c": true, "b": ""}}', b'{"a":{"b":"","c":true}}', '{"a":{"b":"","c":true}}'),
        (b"[null]", b"[null]", "[null]"),
        (b"[" * 31 + b"]" * 31, b"[" * 31 + b"]" * 31, "[" * 31 + "]" * 31),
    ],
)
def test_the_same_json_value_goes_out(identifier: bytes, out: bytes, identity: str) -> None:
    """Two customers would share an identifier, or a result name one that upstream never sent."""
    call = intake().accept_value(raw(identifier))
    assert (call.identifier, call.identity) == (out, msgspec.json.encode(identity))
    assert call.fragment.startswith(b'{"client-identifier":' + out + b',"')


@pytest.mark.parametrize(
    ("numbers", "out"),
    [
        (["09876543210", "9123456789"], ["919876543210", "919123456789"]),
        (["9876543210", "+91 98765 43210", 9876543210], ["919876543210"]),
        (["9123456789", "9876543210", "9123456789"], ["919123456789", "919876543210"]),
        (["+6581234567"], ["+6581234567"]),
        ([9876543210], ["919876543210"]),
    ],
)
def test_numbers_keep_their_order_and_lose_their_repeats(numbers: list[Any], out: Any) -> None:
    """A customer's second number would be tried first, or the same one twice."""
    assert sent(event(contact_numbers=numbers))["contact-numbers"] == out


def test_the_configured_rules_for_numbers_reach_them() -> None:
    """number_format, number_check and foreign_numbers would change nothing."""
    number = event(contact_numbers=["9876543210"])
    assert sent(number, number_format="e164")["contact-numbers"] == ["+919876543210"]
    possible = intake(rules(number_check="possible"))
    assert possible.accept_value(event(contact_numbers=["+870123456789"])).flow_id == FLOW
    strict = intake(rules(foreign_numbers="refuse"))
    with pytest.raises(EventRefused) as caught:
        strict.accept_value(event(contact_numbers=["9876543210", "+6581234567"]))
    assert caught.value.field == "contact-numbers[1]"


@pytest.mark.parametrize("numbers", [LEFT_OUT, []])
def test_a_dummy_number_goes_out_exactly_as_configured(numbers: Any) -> None:
    """A flow of e-mails could not be used, or its number would be changed."""
    value = event(contact_numbers=numbers)
    assert sent(value, dummy_number="+910000000000")["contact-numbers"] == ["+910000000000"]
    assert "dummy_number" in str(refused(value))


def test_a_dummy_number_replaces_no_bad_number() -> None:
    """A mistyped number would silently become the dummy."""
    value = event(contact_numbers=["98765XXXXX"])
    assert refused(value, dummy_number="910000000000").field == "contact-numbers[0]"
    value = event(contact_numbers=None)
    assert refused(value, dummy_number="910000000000").field == "contact-numbers"
    assert sent(event(), dummy_number="910000000000")["contact-numbers"] == ["919876543210"]


def test_values_of_keys_become_strings() -> None:
    """The provider would get numbers and booleans where it wants strings."""
    values = ["", "x", 12, -3, 2**80, True, False]
    keys = [{"name": f"$flow.key.{i}", "value": value} for i, value in enumerate(values)]
    out = sent(event(keys=[*keys, {"name": "$flow.key.none"}]))["keys"]
    texts = [key["value"] for key in out]
    assert texts == ["", "x", "12", "-3", str(2**80), "true", "false", ""]
    assert [key["name"] for key in out][:2] == ["$flow.key.0", "$flow.key.1"]


def test_names_of_keys_are_case_sensitive() -> None:
    """Two variables that differ in case would be taken for one."""
    keys = [{"name": "$flow.key.a"}, {"name": "$flow.key.A"}]
    assert len(sent(event(keys=keys))["keys"]) == 2


def test_an_integer_beyond_reason_is_refused_as_a_value() -> None:
    """Thousands of digits would stop the lane."""
    value = event(keys=[{"name": "$flow.key.A", "value": 0}])
    why = refused(value.replace(b'"value": 0', b'"value": ' + b"9" * 5000))
    assert why.field == "keys[0].value"


def test_the_correlation_key_names_the_source() -> None:
    """The provider's push could not be joined to its event."""
    record = PlainRecord(event(), topic="calls.my-requests", partition=3, offset=42)
    call = intake(correlation_key="$flow.key.ref").accept(record)
    assert json.loads(call.fragment)["keys"] == [
        {"name": "$flow.key.ref", "value": "calls.my-requests-3-42"}
    ]


def test_an_event_must_not_bring_the_correlation_key() -> None:
    """Upstream could forge the join of a push to another event."""
    value = event(keys=[{"name": "$flow.key.A"}, {"name": "$flow.key.ref", "value": "x"}])
    why = refused(value, correlation_key="$flow.key.ref")
    assert (why.reason, why.field) == ("invalid", "keys[1].name")
    assert len(sent(value)["keys"]) == 2


def test_the_last_of_a_repeated_field_counts() -> None:
    """Readers of the same event would disagree on whom to call."""
    value = event()[:-1] + b',"contact-numbers":["9123456789"]}'
    assert sent(value)["contact-numbers"] == ["919123456789"]


def test_key_and_headers_are_bounded() -> None:
    """A dead letter could not carry them, and the turn could not commit."""
    fits = PlainRecord(event(), b"k" * 65_000, [("h" * 500, b"v" * 36), ("", b"")])
    assert intake().accept(fits).record is fits
    for key, headers in (
        (b"k" * 65_537, []),
        (b"k" * 65_000, [("h" * 500, b"v" * 37)]),
        (None, [("\u00e9" * 32_769, b"")]),
    ):
        with pytest.raises(EventRefused, match="meta_bytes_max") as caught:
            intake().accept(PlainRecord(event(), key, headers))
        assert caught.value.reason == "invalid"


def test_a_call_that_alone_fills_a_body_is_oversize() -> None:
    """A request above the limit would be refused with its whole batch, for ever."""
    room = RULES.body_bytes_max - OVERHEAD
    bare = len(intake().accept_value(raw(b'"x"')).fragment) - 1
    assert len(intake().accept_value(raw(b'"%b"' % (b"x" * (room - bare)))).fragment) == room
    why = refused(raw(b'"%b"' % (b"x" * (room - bare + 1))))
    assert (why.reason, why.field) == ("oversize", None)


def test_no_refusal_repeats_a_number_or_a_value() -> None:
    """Logs and headers would hold what customers' privacy forbids."""
    for fields in (
        {"contact_numbers": ["98765432101234"]},
        {"contact_numbers": ["98765432101234.5"]},
        {"keys": [{"name": "98765432101234"}]},
        {"keys": [{"name": "$flow.key.A", "98765432101234": 1}]},
        {"start_time": "98765432101234"},
        {"expires_at": "98765432101234"},
        {"flow_id": "98765432101234"},
        {"client_identifier": float("1e300"), "98765432101234": 1},
    ):
        assert "98765" not in str(refused(event(**fields)))


def test_flow_ids_do_not_fill_memory() -> None:
    """Upstream with a new flow id in each event would be forgotten, not kept for ever."""
    made = intake()
    for number in range(20_100):
        assert made.accept_value(event(flow_id=f"{number:08d}")).flow_id == f"{number:08d}"


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({}, True),
        ({"contact_numbers": LEFT_OUT}, True),
        ({"client_identifier": {"a": [1]}, "start_time": "2030-01-31T09:30:00"}, True),
        ({"keys": [{"name": "$flow.key.A"}, {"name": "$flow.key.B", "value": True}]}, True),
        ({"flow_id": "AbCd-234"}, False),
        ({"client_identifier": {}}, False),
        ({"client_identifier": LEFT_OUT}, False),
        ({"contact_numbers": [1.5]}, False),
        ({"keys": [{"name": "A"}]}, False),
        ({"start_tiem": "2030-01-31T09:30:00"}, False),
    ],
)
def test_the_schema_tells_events_from_others(fields: dict[str, Any], *, fits: bool) -> None:
    """Upstream that checks by the published schema would publish what is refused."""
    schema = event_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(json.loads(event(**fields))) is fits


def test_every_field_of_the_schema_is_described() -> None:
    """Readers of the schema would have to guess."""
    for definition in event_json_schema()["$defs"].values():
        assert all(field["description"] for field in definition["properties"].values())
