"""Reads a request body as the provider would, and names the code that it would refuse it with.

Knows nothing of checksums, faults or of what was accepted before.
"""

from __future__ import annotations

import datetime as dt
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from service.errors import ConfigurationError
from service.twin.ledger import Identity
from service.twin.options import NumberForm, Options

INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30))

FLOW_ID = re.compile(r"[0-9A-Za-z]{8}")
SECURITY_ID = re.compile(r"[0-9A-Za-z]{64}")
START_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T\d\d:\d\d:\d\d\+05:30", re.ASCII)
NO_IDENTIFIERS = (b"null", b'""', b"[]", b"{}")
NUMBER_FORMS: dict[NumberForm, str] = {
    "digits": r"91\d{10}",
    "e164": r"\+91\d{10}",
    "ten": r"\d{10}",
    "foreign": r"\+(?!91)[1-9]\d{6,14}",
}
REFUSAL = re.compile(
    r"(?:(\d{3}):)?(number-ending|number-pattern|identifier-pattern|share)=(.+)", re.DOTALL
)


class CallIn(msgspec.Struct, rename="kebab", gc=False):
    """One element of `calls`, its parts not yet looked at."""

    client_identifier: Raw | UnsetType = UNSET
    start_time: Raw | UnsetType = UNSET
    contact_numbers: Raw | UnsetType = UNSET
    keys: Raw | UnsetType = UNSET


class Envelope(msgspec.Struct, rename="kebab"):
    """The request body, its calls not yet looked at."""

    api_version: Any = UNSET
    security_id: Any = UNSET
    flow_id: Any = UNSET
    calls: list[CallIn] | UnsetType = UNSET


class Key(msgspec.Struct):
    """One flow variable of a call."""

    name: str
    value: str


_envelopes = msgspec.json.Decoder(Envelope)
_numbers = msgspec.json.Decoder(list[str])
_keys = msgspec.json.Decoder(list[Key])
_texts = msgspec.json.Decoder(str)


class Request(msgspec.Struct, frozen=True):
    """A body as far as it could be read: no envelope if it is not of the documented form."""

    envelope: Envelope | None
    calls: Sequence[CallIn]

    @property
    def flow_id(self) -> str | None:
        """The flow named in the body, if there is one of the right form."""
        flow_id = None if self.envelope is None else self.envelope.flow_id
        return flow_id if isinstance(flow_id, str) and FLOW_ID.fullmatch(flow_id) else None


def read(body: bytes) -> Request:
    """Decodes a body once; never raises."""
    try:
        body.decode()  # Raw parts are not looked at by the decoder, and must be UTF-8 too.
        envelope = _envelopes.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return Request(None, ())
    return Request(envelope, () if isinstance(envelope.calls, UnsetType) else envelope.calls)


def envelope_code(request: Request, options: Options, security_ids: frozenset[str]) -> int | None:
    """The code that refuses the request as a whole, or None."""
    envelope = request.envelope
    if envelope is None:
        return 400
    named = (envelope.api_version, envelope.security_id, envelope.flow_id, envelope.calls)
    versions = ("1.0", "TEST") if options.profile == "dialer" else ("1.0",)
    flow_id = request.flow_id
    checks = (
        (any(value is UNSET for value in named), 210),
        (envelope.api_version not in versions, 203),
        (not _security_id_known(envelope.security_id, security_ids), 202),
        (flow_id is None or (bool(options.flows) and flow_id not in options.flows), 301),
        (not request.calls, 302),
        (len(request.calls) > options.calls_max, 303),
    )
    return next((code for wrong, code in checks if wrong), None)


def _security_id_known(security_id: object, known: frozenset[str]) -> bool:
    if not isinstance(security_id, str):
        return False
    return security_id in known if known else bool(SECURITY_ID.fullmatch(security_id))


@dataclass(frozen=True, slots=True)
class Refusal:
    """One of the `refused` rules."""

    code: int
    hits: Callable[[CallIn], bool]


class CallRules:
    """What refuses a single call: its form, where the profile looks at it, and `refused`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        forms = "|".join(NUMBER_FORMS[form] for form in options.number_forms)
        self._number = re.compile(forms, re.ASCII)
        self._refusals = [_refusal(text) for text in options.refused]

    def code(self, call: CallIn, today: dt.date) -> int | None:
        """The code that refuses this call on `today` (the day at +05:30), or None."""
        if self._options.validates:
            code = self._form_code(call, today)
            if code is not None:
                return code
        return next((refusal.code for refusal in self._refusals if refusal.hits(call)), None)

    @property
    def idle(self) -> bool:
        """True if no call can be refused, so that none needs to be looked at."""
        return not self._options.validates and not self._refusals

    def _form_code(self, call: CallIn, today: dt.date) -> int | None:
        needed = [call.client_identifier, call.contact_numbers, call.keys]
        if self._options.profile == "dialer":
            needed.append(call.start_time)
        if any(value is UNSET for value in needed) or identifier_of(call) in NO_IDENTIFIERS:
            return 210
        try:
            numbers = numbers_of(call)
            keys = keys_of(call)
            start_time = None if call.start_time is UNSET else _texts.decode(call.start_time)
        except msgspec.MsgspecError:
            return 400
        if not numbers:
            return 210
        if not all(map(self._number.fullmatch, numbers)):
            return 205
        if not all(key.name.startswith("$flow.key.") for key in keys):
            return 400
        return None if start_time is None else self._time_code(start_time, today)

    def _time_code(self, start_time: str, today: dt.date) -> int | None:
        found = START_TIME.fullmatch(start_time)
        if found is None:
            return 400
        try:
            dt.datetime.fromisoformat(start_time)
        except ValueError:
            return 400
        passed = dt.date.fromisoformat(found[1]) < today
        return int(self._options.past_day) if passed else None


def _refusal(text: str) -> Refusal:
    """`205:number-ending=00` as a code and a question to a call."""
    found = REFUSAL.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            f"twin switch refused: cannot read {text!r}, expected"
            " [CODE:]number-ending=… | number-pattern=… | identifier-pattern=… | share=…"
        )
    try:
        return Refusal(int(found[1] or 205), _question(found[2], found[3]))
    except (ValueError, re.error) as error:
        raise ConfigurationError(f"twin switch refused: {text!r}: {error}") from error


def _question(kind: str, what: str) -> Callable[[CallIn], bool]:
    """Asks a call whether it is meant. Raises ValueError or re.error where `what` is unreadable."""
    if kind == "number-ending":
        return lambda call: any(number.endswith(what) for number in _readable_numbers(call))
    if kind == "share":
        # By the identifier and not by chance: a call that is sent again meets the same fate.
        bound = float(what) * 2**32
        return lambda call: zlib.crc32(identifier_of(call)) < bound
    found = re.compile(what).search
    if kind == "number-pattern":
        return lambda call: any(map(found, _readable_numbers(call)))
    return lambda call: found(identifier_of(call).decode()) is not None


def _readable_numbers(call: CallIn) -> list[str]:
    try:
        return numbers_of(call)
    except msgspec.MsgspecError:
        return []


def numbers_of(call: CallIn) -> list[str]:
    """The contact numbers; raises msgspec's error where they are not a list of strings."""
    return [] if call.contact_numbers is UNSET else _numbers.decode(call.contact_numbers)


def keys_of(call: CallIn) -> list[Key]:
    """The flow variables; raises msgspec's error where they are not names with strings."""
    return [] if call.keys is UNSET else _keys.decode(call.keys)


def identifier_of(call: CallIn) -> bytes:
    """The client-identifier as its exact JSON, in a copy that does not keep the body alive."""
    return b"null" if call.client_identifier is UNSET else bytes(call.client_identifier)


def identities(calls: Sequence[CallIn], identity_key: str | None) -> list[Identity]:
    """What the ledger knows each call by."""
    if identity_key is None:
        # Hot: written out, for a call of a function each would cost as much again.
        names = [call.client_identifier for call in calls]
        return [(b"null" if name is UNSET else bytes(name), None) for name in names]
    return [(identifier_of(call), _key_value(call, identity_key)) for call in calls]


def _key_value(call: CallIn, name: str) -> str | None:
    try:
        return next((key.value for key in keys_of(call) if key.name == name), None)
    except msgspec.MsgspecError:
        return None
