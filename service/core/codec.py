"""The exact bytes of a request, and how an event becomes one element of its `calls`.

Knows nothing of whether an event is allowed: intake decides that, with the very functions below,
so that an accepted event can be made into the same bytes again after a crash (`rebuild`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from service.core.identifiers import identifier_of
from service.core.numbers import ForeignNumbers, NumberCheck, NumberFormat, canonical
from service.core.schema import Event, Key, decode_event
from service.core.times import epoch_seconds, start_time
from service.errors import EventRefused

CODEC_VERSION = 1
"""Raised whenever the same event and recipe would give other bytes."""
FLOW_ID_CHARACTERS = 8
TAIL_BYTES = 64
SHIFT_BYTES = 45
"""Reserved for a start-time that a re-mint adds to the first call (provider-api.md, 201)."""
PLACEHOLDER = "0000-00-00T00:00:00+05:30"
"""Stands in a fragment until sealing fills the time in; of the same length as any start-time."""

_START = b',"start-time":"'
_TO_FILL = _START + PLACEHOLDER.encode("ascii")
_IDENTIFIER = b'{"client-identifier":'
IDENTIFIER_AT = len(_IDENTIFIER)
"""Where in a fragment the client-identifier begins."""
_SUFFIX = b"]}"
_TAIL = str.maketrans("01", " \t")
_encode = msgspec.json.Encoder().encode

Source = tuple[str, int, int]
"""(topic, partition, offset) of a source record"""


class Recipe(msgspec.Struct, frozen=True, array_like=True):
    """All that the bytes of a batch depend on besides its events and the security-id."""

    codec_version: int
    api_version: str
    fills_start_time: bool
    """Whether an absent start-time is filled at sealing (profile dialer)."""
    number_format: NumberFormat
    time_zone: str
    """IANA name, for times without an offset."""
    correlation_key: str | None
    dummy_number: str | None
    fill_time: str | None = None
    """25 characters, set at sealing where a call of the batch needs it."""
    shift_time: str | None = None
    """25 characters: the start-time of the batch's first call, moved so that the bytes differ for
    a provider whose checksum passes over white space (provider-api.md, 201)."""


class _Element(msgspec.Struct, rename="kebab", gc=False):
    """One element of `calls`: its fields in the order in which they are sent."""

    client_identifier: Raw
    start_time: str | UnsetType
    contact_numbers: list[str]
    keys: list[Key]


class Rebuilt(NamedTuple):
    """What `rebuild` makes of an event; fields as in `Call`."""

    flow_id: str
    fragment: bytes
    identifier_end: int
    start_day: int | None
    expires_at: float | None


def overhead_bytes(recipe: Recipe, flow_id: str, security_id: str) -> int:
    """The most bytes a body has besides its fragments and the commas between them."""
    return len(_prefix(recipe, flow_id, security_id)) + len(_SUFFIX) + TAIL_BYTES + SHIFT_BYTES


def body(
    recipe: Recipe,
    flow_id: str,
    security_id: str,
    fragments: Sequence[bytes],
    tail_mint: int | None,
) -> bytes:
    """The exact bytes of a request.

    Args:
        recipe: of the batch.
        flow_id: all its calls are of this flow.
        security_id: the secret; it is in the result.
        fragments: filled ones, in order.
        tail_mint: the 64-bit mint id that the tail spells, most significant bit first, a space
            for 0 and a tab for 1; None: no tail.
    """
    tail = b"" if tail_mint is None else format(tail_mint, "064b").translate(_TAIL).encode()
    return b"%b%b%b%b" % (
        _prefix(recipe, flow_id, security_id),
        b",".join(fragments),
        _SUFFIX,
        tail,
    )


def _prefix(recipe: Recipe, flow_id: str, security_id: str) -> bytes:
    return b'{"api-version":%b,"security-id":%b,"flow-id":%b,"calls":[' % (
        _encode(recipe.api_version),
        _encode(security_id),
        _encode(flow_id),
    )


def sha256(body: bytes) -> bytes:
    """32 bytes that stand for a body in the checkpoint."""
    return hashlib.sha256(body).digest()


def filled(fragment: bytes, fill_at: int, fill_time: str) -> bytes:
    """The fragment with `fill_time` (25 characters) as its start-time; filled ones as well."""
    time = fill_time.encode("ascii")
    assert len(time) == len(PLACEHOLDER), "a start-time has 25 characters"
    return fragment[:fill_at] + time + fragment[fill_at + len(time) :]


def shifted(fragment: bytes, identifier: bytes, shift_time: str) -> bytes:
    """The fragment with `shift_time` (25 characters) as its start-time, whether it had one or not.

    Args:
        fragment: as `lay_out` made it, filled.
        identifier: the client-identifier it begins with.
        shift_time: see `Recipe`.
    """
    at = IDENTIFIER_AT + len(identifier)
    rest = fragment[at:]
    if rest.startswith(_START):
        rest = rest[len(_START) + len(PLACEHOLDER) + 1 :]
    return b'%b%b%b"%b' % (fragment[:at], _START, shift_time.encode("ascii"), rest)


def start_time_in(fragment: bytes, identifier: bytes) -> str | None:
    """The start-time that a fragment holds (25 characters), or None."""
    at = IDENTIFIER_AT + len(identifier)
    if not fragment.startswith(_START, at):
        return None
    at += len(_START)
    return fragment[at : at + len(PLACEHOLDER)].decode("ascii")


def place_to_fill(fragment: bytes, identifier_end: int) -> int:
    """Where the placeholder begins whose client-identifier ends there, or -1."""
    if fragment.startswith(_TO_FILL, identifier_end):
        return identifier_end + len(_START)
    return -1


def lay_out(identifier: Raw, start: str | UnsetType, numbers: list[str], keys: list[Key]) -> bytes:
    """One element of `calls`.

    Args:
        identifier: the exact JSON that `identifier_of` makes of it.
        start: as `start_of` has it.
        numbers: by `sent_numbers`.
        keys: by `sent_keys`.
    """
    return _encode(_Element(identifier, start, numbers, keys))


def sent_numbers(
    numbers: Sequence[str | int],
    recipe: Recipe,
    check: NumberCheck | None,
    foreign: ForeignNumbers = "send",
) -> list[str]:
    """The numbers as they are sent, in order, without repeats.

    Raises:
        EventRefused: there is none, or one of them may not be called; see `numbers.canonical`.
    """
    if not numbers:
        if recipe.dummy_number is None:
            raise EventRefused(
                "invalid",
                "contact-numbers",
                "contact-numbers must hold at least one number; for a flow that needs none, "
                "configure its dummy_number",
            )
        return [recipe.dummy_number]
    sent: dict[str, None] = {}
    for index, number in enumerate(numbers):
        try:
            sent[canonical(number, recipe.number_format, check, foreign)] = None
        except ValueError as error:
            field = f"contact-numbers[{index}]"
            raise EventRefused("invalid", field, f"{field} {error}") from error
    return list(sent)


def sent_keys(keys: list[Key]) -> list[Key]:
    """The keys as they are sent, all values strings."""
    for key in keys:
        if type(key.value) is not str:
            return [Key(key.name, key_text(key.value)) for key in keys]
    return keys


def correlated(keys: list[Key], name: str, source: Source) -> list[Key]:
    """The keys and, last, the one that joins the provider's push to its event (contract.md)."""
    topic, partition, offset = source
    return [*keys, Key(name, f"{topic}-{partition}-{offset}")]


def key_text(value: str | int) -> str:
    """A key's value as the string that is sent: `true`, `12`."""
    if value is True or value is False:
        return "true" if value else "false"
    return str(value)


def start_of(event: Event, recipe: Recipe) -> tuple[str | UnsetType, int | None]:
    """The start-time as it stands in the fragment, if one does, and its day.

    Raises:
        ValueError: it cannot be understood.
    """
    if event.start_time is not UNSET:
        return start_time(event.start_time, recipe.time_zone)
    return (PLACEHOLDER if recipe.fills_start_time else UNSET), None


def rebuild(value: bytes, recipe: Recipe, source: Source) -> Rebuilt:
    """What an event that was accepted before became, whatever is configured now.

    Args:
        value: of the source record.
        recipe: of the batch it was sealed into.
        source: for the correlation key.

    Raises:
        EventRefused: the value is no event, or the recipe is of another codec.
    """
    if recipe.codec_version != CODEC_VERSION:
        raise EventRefused("invalid", None, "was sealed by a release with another codec")
    try:
        return _rebuild(decode_event(value), recipe, source)
    except (ValueError, LookupError, OSError, RecursionError) as error:
        raise EventRefused("invalid", None, "is not the event that was sealed") from error


def _rebuild(event: Event, recipe: Recipe, source: Source) -> Rebuilt:
    identifier, _ = identifier_of(bytes(event.client_identifier))
    start, start_day = start_of(event, recipe)
    numbers = [] if event.contact_numbers is UNSET else event.contact_numbers
    keys = [] if event.keys is UNSET else event.keys
    if recipe.correlation_key is not None:
        keys = correlated(keys, recipe.correlation_key, source)
    fragment = lay_out(
        Raw(identifier), start, sent_numbers(numbers, recipe, check=None), sent_keys(keys)
    )
    expires_at = (
        None if event.expires_at is UNSET else epoch_seconds(event.expires_at, recipe.time_zone)
    )
    end = IDENTIFIER_AT + len(identifier)
    return Rebuilt(event.flow_id, fragment, end, start_day, expires_at)


class _FlowOnly(msgspec.Struct, rename="kebab"):
    flow_id: str


_decode_flow = msgspec.json.Decoder(_FlowOnly).decode


def readable_flow_id(value: bytes | None) -> str | None:
    """The flow of an event that was refused for something else; None if it cannot be told."""
    try:
        flow_id = _decode_flow(value or b"").flow_id
    except (ValueError, RecursionError):
        return None
    known = len(flow_id) == FLOW_ID_CHARACTERS and flow_id.isascii() and flow_id.isalnum()
    return flow_id if known else None
