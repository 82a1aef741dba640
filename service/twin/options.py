"""The twin's switches: each thing that the provider's documents leave open, with its default.

Knows nothing of how a switch is obeyed (behaviour.py), and never holds a security-id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from service.errors import ConfigurationError

Profile = Literal["bulk", "realtime", "dialer"]
Stage = Literal["receipt", "validation", "acceptance"]
NumberForm = Literal["digits", "e164", "ten", "foreign"]
Detail = Literal[
    "shuffled", "missing", "extra", "repeated", "conflicting", "both", "bare", "empty", "null"
]

PATHS: Mapping[Profile, str] = {
    "bulk": "/kairos-apis/outbound/create",
    "realtime": "/kairos-apis/outbound/create",
    "dialer": "/kairos-apis/outbounddialer/create",
}
CALLS_PER_MINUTE: Mapping[Profile, int] = {"bulk": 30_000, "realtime": 500, "dialer": 500}


class Options(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"
):
    """What the twin does. The defaults keep every promise that the provider could keep.

    The descriptions are shown by `call-dispatcher twin --help`.
    """

    profile: Annotated[Profile, Meta(description="which endpoint and success answer")] = "bulk"
    flows: Annotated[
        tuple[str, ...], Meta(description="the flow ids that exist; none: every one")
    ] = ()
    calls_per_minute: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="limit of every sliding minute; null: the profile's"),
    ] = None
    requests_per_minute: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="the same for HTTP requests; null: as for calls"),
    ] = None
    excess: Annotated[
        Literal["accept", "429", "429-seconds", "429-date", "500", "403", "silence"],
        Meta(description="what excess over the limit answers (accept: noted in the ledger only)"),
    ] = "accept"
    retry_after: Annotated[
        Annotated[str, Meta(pattern="^[ -~]*$")] | None,
        Meta(description="text of Retry-After with every 429, however absurd; null: an honest one"),
    ] = None
    calls_max: Annotated[int, Meta(ge=1, description="calls in a request; more is 303")] = 500
    body_bytes_max: Annotated[int, Meta(ge=1, description="bytes of a body")] = 262_144
    oversize: Annotated[
        Literal["413", "413-early", "303", "400", "403", "silence", "accept"],
        Meta(description="what a larger body answers; early: before it is read, then closes"),
    ] = "413"
    checksum_at: Annotated[Stage, Meta(description="when a checksum is recorded")] = "acceptance"
    checksum_over: Annotated[
        Literal["bytes", "values"], Meta(description="values: white space and order do not count")
    ] = "bytes"
    checksum_scope: Annotated[
        Literal["flow", "account"],
        Meta(description="account: the flow-id is no part of the checksum"),
    ] = "flow"
    checksum_memory_seconds: Annotated[
        float, Meta(ge=0, description="how long a checksum is remembered")
    ] = 86_400.0
    repeats: Annotated[
        Literal["201", "drop"],
        Meta(description="a known checksum answers 201, or success though the copy is dropped"),
    ] = "201"
    rejection: Annotated[
        Literal["whole", "partly"],
        Meta(description="partly: the good calls of a refused batch are placed all the same"),
    ] = "whole"
    refused: Annotated[
        tuple[str, ...],
        Meta(
            description="calls refused: [CODE:]number-ending=D | number-pattern=RE"
            " | identifier-pattern=RE | share=0.01, CODE 205 if not given"
        ),
    ] = ()
    refuse_as: Annotated[
        Literal["batch", "entries", "left-out"],
        Meta(description="one bad call: refuses its batch; 209 with an error entry, or without"),
    ] = "batch"
    details: Annotated[tuple[Detail, ...], Meta(description="what is wrong with call-details")] = ()
    success: Annotated[
        Literal["accepted", "details"] | None,
        Meta(description="202 without call-details, or 200 with; null: the profile's"),
    ] = None
    code_as_text: Annotated[bool, Meta(description="api-response-code is a string")] = False
    body_status: Annotated[
        Literal["200", "mirrored", "4xx", "429"],
        Meta(description="HTTP status of an error in the body"),
    ] = "200"
    validate_calls: Annotated[
        bool | None, Meta(description="check each call while waiting; null: bulk does not")
    ] = None
    past_day: Annotated[
        Literal["400", "210", "211"],
        Meta(description="what a start-time of an earlier day answers"),
    ] = "400"
    number_forms: Annotated[
        tuple[NumberForm, ...],
        Meta(description="91XXXXXXXXXX, +91XXXXXXXXXX, ten digits, + and another country"),
    ] = ("digits", "e164", "ten", "foreign")
    latency_ms_min: Annotated[float, Meta(ge=0, description="least time to an answer")] = 0.0
    latency_ms_max: Annotated[float, Meta(ge=0, description="and most, drawn evenly")] = 0.0
    act_at: Annotated[
        Literal["arrival", "end"],
        Meta(description="whether calls are placed at once or only when the answer is due"),
    ] = "arrival"
    silence_seconds: Annotated[
        float, Meta(ge=0, description="a silent connection is cut after")
    ] = 120.0
    drip_seconds: Annotated[float, Meta(ge=0, description="a dripping answer takes")] = 5.0
    identity_key: Annotated[
        str | None, Meta(description="this key's value tells calls of one client-identifier apart")
    ] = None
    sink: Annotated[bool, Meta(description="answer at once, count only, keep no ledger")] = False

    @property
    def path(self) -> str:
        """The path that takes calls."""
        return PATHS[self.profile]

    @property
    def calls_limit(self) -> int:
        """Calls allowed in every sliding 60 s."""
        return self.calls_per_minute or CALLS_PER_MINUTE[self.profile]

    @property
    def requests_limit(self) -> int:
        """HTTP requests allowed in every sliding 60 s."""
        return self.requests_per_minute or self.calls_limit

    @property
    def with_details(self) -> bool:
        """True if success is 200 with call-details, false if 202 without."""
        return (self.success or ("accepted" if self.profile == "bulk" else "details")) == "details"

    @property
    def validates(self) -> bool:
        """True if every call is looked at before the answer."""
        return self.profile != "bulk" if self.validate_calls is None else self.validate_calls


def with_switches(options: Options, switches: Mapping[str, object]) -> Options:
    """`options` with `switches` (kebab-case names; scalars or their text) put over them.

    Raises ConfigurationError in one line that names the switch.
    """
    merged: dict[str, object] = msgspec.to_builtins(options)
    for name, value in switches.items():
        plain = _plain(value)
        if isinstance(plain, str) and isinstance(merged.get(name), list | tuple):
            # A pattern of `refused` may hold a comma.
            plain = [plain] if name == "refused" else [part for part in plain.split(",") if part]
        merged[name] = plain
    try:
        changed = msgspec.convert(merged, Options, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"twin switch: {error}") from error
    if changed.latency_ms_max < changed.latency_ms_min:
        changed = msgspec.structs.replace(changed, latency_ms_max=changed.latency_ms_min)
    return changed


def _plain(value: object) -> object:
    """YAML reads `excess: 429` as a number; the lax conversion takes every scalar from text."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    return str(value)


def switch_lines() -> list[tuple[str, str]]:
    """Name and meaning (with values and default) of every switch, for `--help`."""
    hints = get_type_hints(Options, include_extras=True)
    lines = []
    for field in msgspec.structs.fields(Options):
        annotation = hints[field.name]
        kind, meta = get_args(annotation)[0], annotation.__metadata__[0]
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        values = ", ".join(str(value) for value in _choices(kind))
        text = f"{meta.description}{f' ({values})' if values else ''}"
        lines.append((field.encode_name, f"{text} [{_shown(default)}]"))
    return lines


def _choices(kind: object) -> list[object]:
    found: list[object] = []
    for part in get_args(kind):
        found += _choices(part) if get_args(part) else [part] if isinstance(part, str) else []
    return found


def _shown(default: object) -> str:
    if default is None:
        return "null"
    return str(default).lower() if isinstance(default, bool) else str(default) or "none"
