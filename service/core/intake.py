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

from msgspec import UNSET, Raw, UnsetType

from service.core.calls import PLAIN, Call, Extra, Header, Record, bytes_of
from service.core.codec import (
    IDENTIFIER_AT,
    PLACEHOLDER,
    Recipe,
    correlated,
    lay_out,
    sent_keys,
    sent_numbers,
    start_of,
)
from service.core.identifiers import identifier_of, plain_string
from service.core.numbers import INDIA_PREFIXES, ForeignNumbers, NumberCheck, mobile_digits
from service.core.refusals import undecodable
from service.core.schema import KEY_PREFIX, Event, Key, decode_event
from service.core.times import epoch_seconds
from service.errors import EventRefused

FLOWS_CACHED_MAX = 20_000
"""Flow ids come from outside: what is kept for each must not grow without bound."""

_flow_id = re.compile(r"[A-Za-z0-9]{8}").fullmatch


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

    id: str
    """One object for all of them: a window holds many."""
    recipe: Recipe
    fragment_bytes_max: int
    india: str
    start: str | UnsetType
    """Of an event that has no start-time."""


class Intake:
    """Makes calls of records."""

    def __init__(
        self,
        rules: IntakeRules,
        recipe_of: Callable[[str], Recipe],
        overhead_of: Callable[[str], int],
    ) -> None:
        """Nothing is asked yet.

        Args:
            rules: what is allowed.
            recipe_of: the recipe of a flow's bytes; asked now and then, not for each event.
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
        value, key = record.value, record.key
        if value is None or len(value) > self._rules.value_bytes_max:
            self._refuse_value(value)
        size = len(value) if key is None else len(value) + len(key)
        if record.headers or (key is not None and len(key) > self._rules.meta_bytes_max):
            self._check_meta(record)
            size = bytes_of([record])
        try:
            event = decode_event(value)
        except (ValueError, RecursionError) as error:
            raise undecodable(value, error) from error
        flow = self._flows.get(event.flow_id) or self._flow(event.flow_id)
        recipe = flow.recipe
        identifier = event.client_identifier
        plain = plain_string(identifier)
        if plain is None:
            identifier = _identifier(identifier)
        start, start_day, extra = flow.start, None, PLAIN
        if event.start_time is not UNSET:
            try:
                start, start_day = start_of(event, recipe)
            except ValueError as error:
                _refuse("start-time", error)
        numbers, keys = self._numbers(event, flow), _keys(event, recipe, record)
        fragment = lay_out(identifier, start, numbers, keys)
        if len(fragment) > flow.fragment_bytes_max:
            raise EventRefused(
                "oversize",
                None,
                f"this call alone has {len(fragment)} bytes of a request, more than the "
                f"{flow.fragment_bytes_max} that fit: shorten its keys, numbers or identifier",
            )
        if start_day is not None or event.expires_at is not UNSET:
            extra = Extra(start_day, _expires_at(event.expires_at, recipe))
        identifier_bytes = len(bytes(identifier)) if plain is None else plain.end()
        return Call(record, flow.id, fragment, IDENTIFIER_AT + identifier_bytes, size, extra)

    def accept_value(self, value: bytes, key: bytes | None = None, topic: str = "") -> Call:
        """The call that an event would become if it were published to `topic`.

        Raises:
            EventRefused: as `accept`.
        """
        return self.accept(PlainRecord(value, key, topic=topic))

    def _refuse_value(self, value: bytes | None) -> NoReturn:
        if value is None:
            raise EventRefused("invalid", None, "the record has no value; send a JSON object")
        raise EventRefused(
            "invalid",
            None,
            f"the event has {len(value)} bytes, more than the {self._rules.value_bytes_max} "
            "of events.value_bytes_max: shorten it",
        )

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
            flow_id,
            recipe,
            self._rules.body_bytes_max - self._overhead_of(flow_id),
            INDIA_PREFIXES[recipe.number_format],
            PLACEHOLDER if recipe.fills_start_time else UNSET,
        )
        if len(self._flows) >= FLOWS_CACHED_MAX:
            self._flows.clear()
        self._flows[flow_id] = flow
        return flow

    def _numbers(self, event: Event, flow: _Flow) -> list[str]:
        numbers = event.contact_numbers
        if numbers is UNSET:
            numbers = []
        elif len(numbers) == 1 and type(numbers[0]) is str:
            digits = mobile_digits(numbers[0])
            if digits is not None:
                return [flow.india + digits]
        rules = self._rules
        return sent_numbers(numbers, flow.recipe, rules.number_check, rules.foreign_numbers)


def _identifier(raw: Raw) -> Raw:
    """One that is not plain, as it is sent."""
    try:
        return Raw(identifier_of(bytes(raw))[0])
    except ValueError as error:
        _refuse("client-identifier", error)


def _keys(event: Event, recipe: Recipe, record: Record) -> list[Key]:
    """The keys as they are sent, once their names are allowed."""
    keys, correlation_key = event.keys, recipe.correlation_key
    if keys is UNSET:
        keys = []
    for key in keys:
        name = key.name
        if (
            not name.startswith(KEY_PREFIX)
            or len(name) == len(KEY_PREFIX)
            or name == correlation_key
        ):
            _refuse_key(keys, key, correlation_key)
    if len(keys) > 1 and len({key.name for key in keys}) < len(keys):
        _refuse_repeat(keys)
    if correlation_key is not None:
        source = (record.topic, record.partition, record.offset)
        keys = correlated(keys, correlation_key, source)
    return sent_keys(keys)


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


def _expires_at(text: str | UnsetType, recipe: Recipe) -> float | None:
    if text is UNSET:
        return None
    try:
        return epoch_seconds(text, recipe.time_zone)
    except ValueError as error:
        _refuse("expires-at", error)


def _refuse(field: str, why: Exception | str) -> NoReturn:
    """Refuse the event because of one field; `why` goes on after the field's name."""
    cause = why if isinstance(why, Exception) else None
    raise EventRefused("invalid", field, f"{field} {why}") from cause
