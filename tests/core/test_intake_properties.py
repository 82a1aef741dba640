"""Laws of intake over generated events: nothing else is raised, and bytes can be made again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import jsonschema
import msgspec
from hypothesis import assume, example, given
from hypothesis import strategies as st

from service.core import codec
from service.core.calls import Call
from service.core.codec import CODEC_VERSION, Recipe
from service.core.intake import Intake, IntakeRules, PlainRecord
from service.core.schema import event_json_schema
from service.errors import EventRefused

FLOW = "AbCd1234"
LENIENT = IntakeRules(256_000, 65_536, 256_000, "possible", "send")
STRICT = IntakeRules(256_000, 65_536, 256_000, "valid", "refuse")
SCHEMA = jsonschema.Draft202012Validator(event_json_schema())
SOURCES = st.tuples(st.sampled_from(["calls.requests", "r"]), st.integers(0, 9), st.integers(0))

RECIPES = st.builds(
    Recipe,
    codec_version=st.just(CODEC_VERSION),
    api_version=st.just("1.0"),
    fills_start_time=st.booleans(),
    number_format=st.sampled_from(["digits", "e164"]),
    time_zone=st.sampled_from(["Asia/Kolkata", "Europe/London", "UTC"]),
    correlation_key=st.sampled_from([None, "$flow.key.reference"]),
    dummy_number=st.sampled_from([None, "+910000000000"]),
    fill_time=st.just("2030-01-31T09:30:00+05:30"),
)
PLAIN = Recipe(
    CODEC_VERSION,
    "1.0",
    fills_start_time=False,
    number_format="digits",
    time_zone="UTC",
    correlation_key=None,
    dummy_number=None,
)
TEXT = st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
MOBILES = st.from_regex(r"(\+91|91|0|\+91 )?[6-9][0-9]{4}[- ]?[0-9]{5}", fullmatch=True)
NUMBERS = st.one_of(
    MOBILES,
    st.integers(6_000_000_000, 9_999_999_999),
    st.sampled_from(["2223456789", "+6581234567", "+870123456789", "+14155552671"]),
)  # fmt: skip
TIMES = st.sampled_from(
    [
        "2030-01-31T09:30:00",
        "2030-06-30T23:30:00.5Z",
        "2030-01-31T09:30:00Z+05:30",
        "20300131T0930-0800",
    ]
)
KEYS = st.lists(
    st.fixed_dictionaries(
        {"name": st.builds("$flow.key.{}".format, st.text(min_size=1, max_size=8))},
        optional={"value": TEXT | st.integers() | st.booleans()},
    ),
    max_size=4,
    unique_by=lambda key: key["name"],
)
EVENTS = st.fixed_dictionaries(
    {
        "flow-id": st.just(FLOW),
        "client-identifier": JSON.filter(lambda value: value not in (None, "", [], {})),
        "contact-numbers": st.lists(NUMBERS, min_size=1, max_size=3),
    },
    optional={"start-time": TIMES, "expires-at": TIMES, "keys": KEYS},
)
WRONG = st.fixed_dictionaries(
    {},
    optional={
        "flow-id": st.just(FLOW) | JSON,
        "client-identifier": JSON,
        "contact-numbers": st.lists(NUMBERS | JSON, max_size=3) | JSON,
        "start-time": TIMES | JSON,
        "expires-at": TIMES | JSON,
        "keys": KEYS | st.lists(st.dictionaries(st.sampled_from(["name", "value", "x"]), JSON)),
        "extra": JSON,
    },
)


def compact(event: Any) -> bytes:
    """An event's bytes without blanks or escapes."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def spacious(event: Any) -> bytes:
    """An event's bytes with both."""
    return json.dumps(event, indent=1).encode()


Encode = Callable[[Any], bytes]
ENCODERS = st.sampled_from([compact, spacious])


def made(recipe: Recipe, rules: IntakeRules = LENIENT) -> Intake:
    """An intake whose flows all have this recipe."""
    return Intake(
        rules, lambda _: recipe, lambda flow: codec.overhead_bytes(recipe, flow, "a" * 64)
    )


@given(EVENTS, RECIPES, SOURCES, ENCODERS)
def test_what_was_accepted_is_made_into_the_same_bytes_again(
    event: dict[str, Any], recipe: Recipe, source: tuple[str, int, int], encode: Encode
) -> None:
    """After a crash a batch could not be sent again, and its calls would end unconfirmed."""
    value = encode(event)
    topic, partition, offset = source
    record = PlainRecord(value, topic=topic, partition=partition, offset=offset)
    call = made(recipe).accept(record)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(recipe), type=Recipe)
    rebuilt = codec.rebuild(value, kept, source)
    assert rebuilt == (
        call.flow_id,
        call.fragment,
        call.identifier_end,
        call.extra.start_day,
        call.extra.expires_at,
    )


@given(EVENTS, RECIPES, ENCODERS)
def test_the_element_says_what_the_event_says(
    event: dict[str, Any], recipe: Recipe, encode: Encode
) -> None:
    """A call would be placed with another identifier or other values than upstream sent."""
    call = made(recipe).accept_value(encode(event))
    element = json.loads(call.fragment)
    assert json.dumps(element["client-identifier"], sort_keys=True) == json.dumps(
        event["client-identifier"], sort_keys=True
    )
    assert element["client-identifier"] == json.loads(call.identifier)
    ours = [key for key in element["keys"] if key["name"] != recipe.correlation_key]
    assert [key["name"] for key in ours] == [key["name"] for key in event.get("keys", [])]
    assert all(type(key["value"]) is str for key in element["keys"])
    assert len(element["contact-numbers"]) == len(set(element["contact-numbers"]))
    starts = "start-time" in event or recipe.fills_start_time
    assert ("start-time" in element) is starts
    assert list(element) == [
        name
        for name in ("client-identifier", "start-time", "contact-numbers", "keys")
        if name != "start-time" or starts
    ]


@given(JSON, JSON)
def test_equal_values_share_a_string_form(one: Any, other: Any) -> None:
    """Two calls of a batch could not be told apart in the answer."""
    assume(one not in (None, "", [], {}) and other not in (None, "", [], {}))
    calls = [
        made(PLAIN).accept_value(
            compact(
                {"flow-id": FLOW, "client-identifier": value, "contact-numbers": ["9876543210"]}
            )
        )
        for value in (one, other)
    ]
    if json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True):
        assert calls[0].identity == calls[1].identity
    elif not isinstance(one, str) and not isinstance(other, str):
        assert calls[0].identity != calls[1].identity or _negative_zero(one, other)


def _negative_zero(one: Any, other: Any) -> bool:
    return any("-0" in json.dumps(value) for value in (one, other))


@given(WRONG, RECIPES, st.sampled_from([LENIENT, STRICT]), ENCODERS)
def test_any_json_is_accepted_or_refused(
    event: Any, recipe: Recipe, rules: IntakeRules, encode: Encode
) -> None:
    """One strange event would stop the lane; or a schema check upstream would reject good ones."""
    if _accepted(made(recipe, rules), encode(event)) is not None:
        assert SCHEMA.is_valid(event)


@given(st.binary())
@example(b"[" * 250_000)
@example(b'{"client-identifier":' + b"[" * 250_000)
@example(b'{"client-identifier":' + b'{"a":' * 40_000)
@example(b'{"client-identifier":"\\ud800"}')
@example(b'{"flow-id":"AbCd1234","client-identifier":-,"contact-numbers":[]}')
def test_any_bytes_are_refused(value: bytes) -> None:
    """One strange record would stop the lane."""
    _accepted_or_refused(value, PLAIN)


@given(EVENTS, RECIPES, st.data())
def test_damaged_events_are_accepted_or_refused(
    event: dict[str, Any], recipe: Recipe, data: st.DataObject
) -> None:
    """A flipped or lost byte would stop the lane."""
    value = bytearray(compact(event))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.binary(max_size=2) | st.sampled_from([b"\\u", b'"', b"[", b"1e999", b"{", b"-"])
        )
        if not value:
            break
    _accepted_or_refused(bytes(value), recipe)


def _accepted_or_refused(value: bytes, recipe: Recipe) -> None:
    call = _accepted(made(recipe), value)
    if call is not None:
        identifier = json.loads(call.fragment)["client-identifier"]
        assert not isinstance(identifier, float) or math.isfinite(identifier)


def _accepted(intake: Intake, value: bytes) -> Call | None:
    """The call, or None if the event was refused as upstream can understand."""
    try:
        return intake.accept_value(value)
    except EventRefused as refused:
        why = refused
    assert why.reason == "invalid"
    assert len(str(why)) < 300
    return None
