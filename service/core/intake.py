"""Decides whether an event may become a call, and makes it one: each event passes here once.

Knows nothing of batches, of what time it is, or of where refusals go. All rules are from
contract.md (Call event) and provider-api.md (Where the documents are unclear). This is the hottest
path of the program, so the ordinary event takes short cuts; they must never change a byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import msgspec
from msgspec import UNSET

from service.core.calls import Call, Header, Record
from service.core.codec import (
    PLACEHOLDER,
    Recipe,
    keys_json,
    lay_out,
    numbers_json,
    start_of,
)
from service.core.identifiers import identifier_of
from service.core.numbers import INDIA_PREFIXES, ForeignNumbers, NumberCheck, indian_mobile
from service.core.schema import DEPTH_MAX, KEY_PREFIX, Event, Key, decode_event
from service.core.times import epoch_seconds
from service.errors import EventRefused

FLOWS_CACHED_MAX = 20_000
"""Flow ids come from outside: what is kept for each must not grow without bound."""

_flow_id = re.compile(r"[A-Za-z0-9]{8}").fullmatch
_unknown_field = re.compile(
    r"Object contains unknown field `([A-Za-z][A-Za-z_.-]{0,39})`(?: - at `\$\.(keys\[\d+\])`)?"
).fullmatch
"""Only names that cannot hold a number are repeated in messages."""
_missing_field = re.compile(
    r"Object missing required field `([a-z-]+)`(?: - at `\$\.(keys\[\d+\])`)?"
).fullmatch
_wrong_type = re.compile(
    r"(?:Expected `[^`]+`, got `(?P<got>[a-z]+)`|(?P<big>Integer value out of range))"
    r"(?: - at `\$\.(?P<field>[a-z-]+(?:\[\d+\])?(?:\.[a-z]+)?)`)?"
).fullmatch
_index = re.compile(r"\[\d+\]")
_EXPECTED = {
    "flow-id": "a string of 8 letters or digits",
    "contact-numbers": "a list of strings or integers",
    "contact-numbers[]": "a string or an integer",
    "start-time": "a string such as 2030-01-31T09:30:00+05:30, or left out",
    "expires-at": "a string such as 2030-01-31T09:30:00+05:30, or left out",
    "keys": "a list of objects with name and value, or left out",
    "keys[]": "an object with name and value",
    "keys[].name": f"a string that begins with {KEY_PREFIX}",
    "keys[].value": "a string, an integer or a boolean, or left out",
}


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """What only decides whether an event is allowed, never its bytes."""

    value_bytes_max: int
    meta_bytes_max: int
    """Of a record's key and headers together."""
    body_bytes_max: int
    number_check: NumberCheck
    foreign_numbers: ForeignNumbers


@dataclass(frozen=True, slots=True)
class PlainRecord:
    """An event that is not in Kafka yet, at the longest position there can be."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[Header] = ()
    topic: str = ""
    partition: int = 2**31 - 1
    offset: int = 2**63 - 1
    timestamp: int = 0


@dataclass(frozen=True, slots=True)
class _Flow:
    """What is the same for all events of a flow."""

    recipe: Recipe
    fragment_bytes_max: int
    india: str


class Intake:
    """Makes calls of records."""

    def __init__(
        self,
        rules: IntakeRules,
        recipe_of: Callable[[str], Recipe],
        overhead_of: Callable[[str], int],
    ) -> None:
        """Args:
        rules: what is allowed.
        recipe_of: the present recipe of a flow's bytes; asked now and then, not for each event.
        overhead_of: `codec.overhead_bytes` of a flow, likewise.
        """
        self._rules = rules
        self._recipe_of = recipe_of
        self._overhead_of = overhead_of
        self._flows: dict[str, _Flow] = {}

    def accept(self, record: Record) -> Call:
        """The call that a record asks for.

        Raises:
            EventRefused: `invalid` or `oversize`; nothing else, whatever the bytes.
        """
        event = self._decoded(record)
        flow = self._flows.get(event.flow_id) or self._flow(event.flow_id)
        recipe = flow.recipe
        try:
            identifier, identity = identifier_of(bytes(event.client_identifier))
        except ValueError as error:
            _refuse("client-identifier", error)
        try:
            start, start_day = start_of(event, recipe)
        except ValueError as error:
            _refuse("start-time", error)
        fragment, start_at = lay_out(
            identifier, start, self._numbers(event, flow), _keys(event, recipe, record)
        )
        if len(fragment) > flow.fragment_bytes_max:
            raise EventRefused(
                "oversize",
                None,
                f"this call alone has {len(fragment)} bytes of a request, more than the "
                f"{flow.fragment_bytes_max} that fit: shorten its keys, numbers or identifier",
            )
        return Call(
            record,
            event.flow_id,
            identifier,
            identity,
            fragment,
            start_at if start is PLACEHOLDER else -1,
            start_day,
            None if event.expires_at is UNSET else _expires_at(event.expires_at, recipe),
        )

    def accept_value(self, value: bytes, key: bytes | None = None, topic: str = "") -> Call:
        """The call that an event would become if it were published to `topic`.

        Raises:
            EventRefused: as `accept`.
        """
        return self.accept(PlainRecord(value, key, topic=topic))

    def _decoded(self, record: Record) -> Event:
        value = record.value
        if value is None:
            raise EventRefused("invalid", None, "the record has no value; send a JSON object")
        if len(value) > self._rules.value_bytes_max:
            raise EventRefused(
                "invalid",
                None,
                f"the event has {len(value)} bytes, more than the {self._rules.value_bytes_max} "
                "of events.value_bytes_max: shorten it",
            )
        if record.key or record.headers:
            self._check_meta(record)
        try:
            return decode_event(value)
        except (ValueError, RecursionError) as error:
            raise _undecodable(value, error) from error

    def _check_meta(self, record: Record) -> None:
        meta_bytes = len(record.key or b"")
        for name, content in record.headers:
            meta_bytes += len(name if name.isascii() else name.encode(errors="replace"))
            meta_bytes += len(content or b"")
        if meta_bytes > self._rules.meta_bytes_max:
            raise EventRefused(
                "invalid",
                None,
                f"key and headers have {meta_bytes} bytes, more than the "
                f"{self._rules.meta_bytes_max} of events.meta_bytes_max: shorten them",
            )

    def _flow(self, flow_id: str) -> _Flow:
        if _flow_id(flow_id) is None:
            raise EventRefused("invalid", "flow-id", "flow-id must be 8 ASCII letters or digits")
        recipe = self._recipe_of(flow_id)
        flow = _Flow(
            recipe,
            self._rules.body_bytes_max - self._overhead_of(flow_id),
            INDIA_PREFIXES[recipe.number_format],
        )
        if len(self._flows) >= FLOWS_CACHED_MAX:
            self._flows.clear()
        self._flows[flow_id] = flow
        return flow

    def _numbers(self, event: Event, flow: _Flow) -> bytes:
        numbers = event.contact_numbers
        if numbers is UNSET or not numbers:
            if flow.recipe.dummy_number is None:
                raise EventRefused(
                    "invalid",
                    "contact-numbers",
                    "contact-numbers must hold at least one number; for a flow that needs none, "
                    "configure its dummy_number",
                )
            numbers = []
        elif len(numbers) == 1 and type(numbers[0]) is str:
            mobile = indian_mobile(numbers[0])
            if mobile is not None:
                return f'["{flow.india}{mobile[1]}"]'.encode()
        rules = self._rules
        return numbers_json(numbers, flow.recipe, rules.number_check, rules.foreign_numbers)


def _keys(event: Event, recipe: Recipe, record: Record) -> bytes:
    """The keys as they are sent, once their names are allowed."""
    keys, correlation_key = event.keys, recipe.correlation_key
    if keys is UNSET:
        keys = []
    for key in keys:
        name = key.name
        if not name.startswith(KEY_PREFIX) or name == KEY_PREFIX or name == correlation_key:
            _refuse_key(keys, key, correlation_key)
    if len(keys) > 1 and len({key.name for key in keys}) < len(keys):
        _refuse_repeat(keys)
    return keys_json(keys, correlation_key, record)


def _refuse_key(keys: Sequence[Key], key: Key, correlation_key: str | None) -> NoReturn:
    field = f"keys[{next(index for index, one in enumerate(keys) if one is key)}].name"
    if key.name == correlation_key:
        _refuse(field, "is the correlation key, which the dispatcher adds itself: leave it out")
    _refuse(field, f"must begin with {KEY_PREFIX} and name a variable")


def _refuse_repeat(keys: Sequence[Key]) -> NoReturn:
    seen: set[str] = set()
    for index, key in enumerate(keys):
        if key.name in seen:
            _refuse(f"keys[{index}].name", "repeats the name of an earlier key: send it once")
        seen.add(key.name)
    raise AssertionError("called only where a name repeats")


def _expires_at(text: str, recipe: Recipe) -> float:
    try:
        return epoch_seconds(text, recipe.time_zone)
    except ValueError as error:
        _refuse("expires-at", error)


def _refuse(field: str, why: Exception | str) -> NoReturn:
    """Refuse the event because of one field; `why` goes on after the field's name."""
    cause = why if isinstance(why, Exception) else None
    raise EventRefused("invalid", field, f"{field} {why}") from cause


def _undecodable(value: bytes, error: Exception) -> EventRefused:
    """What a decoder's error means for upstream; nothing of the event itself is repeated."""
    text = str(error)
    if isinstance(error, RecursionError):
        return EventRefused(
            "invalid", None, f"the event nests deeper than {DEPTH_MAX}: send it flat"
        )
    if isinstance(error, UnicodeDecodeError):
        return EventRefused("invalid", None, "the event is no UTF-8: encode it as UTF-8")
    if isinstance(error, msgspec.ValidationError):
        return _misshapen(text)
    if value.startswith(b"\xef\xbb\xbf"):
        return EventRefused(
            "invalid", None, "the event begins with a byte order mark: send the JSON without it"
        )
    position = re.search(r"\(byte \d+\)\Z", text)
    where = f" {position[0]}" if position else ""
    return EventRefused("invalid", None, f"the event is not one JSON object{where}: correct it")


def _misshapen(text: str) -> EventRefused:
    """A refusal for JSON that has not the shape of an event."""
    if found := _missing_field(text):
        field = f"{found[2]}.{found[1]}" if found[2] else found[1]
        return EventRefused("invalid", field, f"{field} is missing: it is required")
    if text.startswith("Object contains unknown field"):
        known = "a key's are name, value" if " - at `$.keys[" in text else _KNOWN
        named = _unknown_field(text)
        field = named and (f"{named[2]}.{named[1]}" if named[2] else named[1])
        what = f"{field} is unknown" if field else "the event holds an unknown field"
        return EventRefused("invalid", field, f"{what}: fields are {known}")
    found = _wrong_type(text)
    field = found["field"] if found else None
    if not found or not field:
        return EventRefused("invalid", None, "the event is not one JSON object: correct it")
    if found["big"]:
        return EventRefused("invalid", field, f"{field} is too large an integer: send a string")
    expected = _EXPECTED[_index.sub("[]", field)]
    return EventRefused("invalid", field, f"{field} must be {expected}, not {found['got']}")


_KNOWN = ", ".join(msgspec.structs.fields(Event)[i].encode_name for i in range(6))
