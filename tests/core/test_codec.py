"""The exact bytes of a request: layout, size, tail and fill."""

from __future__ import annotations

import hashlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core import codec
from service.core.calls import Call
from service.core.codec import CODEC_VERSION, Recipe
from service.core.intake import PlainRecord
from service.errors import EventRefused
from service.pipeline.bodies import fragments

FLOW = "AbCd1234"
SECURITY_ID = "a1" * 32
RECIPE = Recipe(
    codec_version=CODEC_VERSION,
    api_version="1.0",
    fills_start_time=False,
    number_format="digits",
    time_zone="Asia/Kolkata",
    correlation_key=None,
    dummy_number=None,
)
FILLING = msgspec.structs.replace(RECIPE, fills_start_time=True)
EVENT = b'{"flow-id":"AbCd1234","client-identifier":"c-1","contact-numbers":["9876543210"]}'
SOURCE = ("calls.requests", 3, 42)
MIDNIGHT = "2030-03-17T00:00:00+05:30"


def test_a_body_has_exactly_these_bytes() -> None:
    """The provider would refuse every request, or a release would change bytes after a crash."""
    fragments = [b'{"client-identifier":1}', b'{"client-identifier":2}']
    made = codec.body(RECIPE, FLOW, SECURITY_ID, fragments, None)
    assert made == (
        b'{"api-version":"1.0","security-id":"' + SECURITY_ID.encode() + b'","flow-id":"AbCd1234",'
        b'"calls":[{"client-identifier":1},{"client-identifier":2}]}'
    )
    assert codec.sha256(made) == hashlib.sha256(made).digest()


@given(st.lists(st.sampled_from([b"{}", b'{"a":1}']), min_size=1), st.integers(0, 2**64 - 1))
def test_the_size_of_a_body_is_known_before_it_is_made(fragments: list[bytes], mint: int) -> None:
    """A batch would outgrow the provider's limit at the last moment."""
    made = codec.body(RECIPE, FLOW, SECURITY_ID, fragments, mint)
    bound = codec.overhead_bytes(RECIPE, FLOW, SECURITY_ID)
    bound += sum(map(len, fragments)) + len(fragments) - 1
    assert len(made) == bound - codec.SHIFT_BYTES
    assert len(codec.body(RECIPE, FLOW, SECURITY_ID, fragments, None)) == len(made) - 64


@given(st.integers(0, 2**64 - 1))
def test_the_tail_spells_the_mint_and_means_nothing(mint: int) -> None:
    """Two mints would have the same bytes, or a mint another meaning."""
    plain = codec.body(RECIPE, FLOW, SECURITY_ID, [b"{}"], None)
    made = codec.body(RECIPE, FLOW, SECURITY_ID, [b"{}"], mint)
    tail = made.removeprefix(plain)
    assert len(tail) == codec.TAIL_BYTES
    assert int(tail.translate(bytes.maketrans(b" \t", b"01")), 2) == mint
    assert json.loads(made) == json.loads(plain)


def test_a_start_time_fits_the_reserve_for_it() -> None:
    """A re-mint that adds a start-time would be too large to send."""
    assert len(f', "start-time": "{MIDNIGHT}"') <= codec.SHIFT_BYTES
    assert len(codec.PLACEHOLDER) == len(MIDNIGHT)


def test_filling_changes_the_start_time_only_and_can_be_repeated() -> None:
    """A batch sealed anew on the next day would keep yesterday's time."""
    rebuilt = codec.rebuild(EVENT, FILLING, SOURCE)
    assert rebuilt.start_day is None, "a filled time never expires"
    fill_at = codec.place_to_fill(rebuilt.fragment, rebuilt.identifier_end)
    first = codec.filled(rebuilt.fragment, fill_at, MIDNIGHT)
    again = codec.filled(first, fill_at, "2031-01-01T00:00:00+05:30")
    assert json.loads(first) == {
        "client-identifier": "c-1",
        "start-time": MIDNIGHT,
        "contact-numbers": ["919876543210"],
        "keys": [],
    }
    assert json.loads(again)["start-time"] == "2031-01-01T00:00:00+05:30"
    assert len(first) == len(again) == len(rebuilt.fragment)


def test_a_recovered_batch_gets_its_own_fill_time() -> None:
    """After a crash a dialer's batch would have other bytes, and be called twice."""
    sealed = msgspec.structs.replace(FILLING, fill_time=MIDNIGHT)
    rebuilt = codec.rebuild(EVENT, sealed, SOURCE)
    call = Call(PlainRecord(EVENT), rebuilt.flow_id, rebuilt.fragment, rebuilt.identifier_end, 0)
    [element] = fragments([call], sealed)
    assert json.loads(element)["start-time"] == MIDNIGHT


def test_a_rebuild_skips_validation() -> None:
    """A stricter configuration after a crash would leave sent calls in doubt for ever."""
    value = EVENT.replace(b"9876543210", b"+870123456789")
    rebuilt = codec.rebuild(value, RECIPE, SOURCE)
    assert json.loads(rebuilt.fragment)["contact-numbers"] == ["+870123456789"]


@pytest.mark.parametrize(
    "value", [b"", b"null", b"{}", b"\xff", b"[" * 5000, EVENT.replace(b"98765", b"XXXXX")]
)
def test_what_was_never_an_event_cannot_be_rebuilt(value: bytes) -> None:
    """A topic that was made anew under a checkpoint would stop the lane."""
    with pytest.raises(EventRefused):
        codec.rebuild(value, RECIPE, SOURCE)


@pytest.mark.parametrize(
    "recipe",
    [
        msgspec.structs.replace(RECIPE, codec_version=CODEC_VERSION + 1),
        msgspec.structs.replace(RECIPE, time_zone="Nowhere/At-All"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(recipe: Recipe) -> None:
    """Other bytes than those sent would go out, or the lane would stop."""
    value = EVENT[:-1] + b',"start-time":"2030-01-31T09:30:00"}'
    with pytest.raises(EventRefused):
        codec.rebuild(value, recipe, SOURCE)


def test_a_recipe_survives_the_checkpoint() -> None:
    """A successor could not read how the bytes were made."""
    recipe = msgspec.structs.replace(FILLING, fill_time=MIDNIGHT, dummy_number="+910000000000")
    packed = msgspec.msgpack.encode(recipe)
    assert msgspec.msgpack.decode(packed, type=Recipe) == recipe
