"""Holds: circuit breakers that stop new sends for one flow or one account.

Knows nothing of batches. While a hold lasts one canary at a time goes out, at growing intervals; an
accepted canary ends it (provider-api.md, Holds).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

PROBE_SECONDS = 5.0
"""Until the first canary: a provider's restart costs no more than this."""
PROBE_SECONDS_MAX = 900.0
"""The interval doubles up to this, so that a dead account costs four requests an hour."""

DOUBLINGS_MAX = 20
"""So that the power stays a number."""

Scope = tuple[str, str]
"""(`flow` or `account`, flow-id or account name)"""


class HoldState(msgspec.Struct, frozen=True, array_like=True):
    """Sending is stopped for one flow or one account."""

    scope: str
    """`flow` or `account`."""
    name: str
    """The flow-id, or the account's name (never its security-id)."""
    reason: str
    """What happened and what to do, for the operator."""
    since_ms: int
    code: int | None = None
    probes: int = 0
    """Canaries that failed."""


class Holds:
    """All holds of a lane. Times are the loop's, in seconds."""

    def __init__(self, states: Iterable[HoldState], now: float) -> None:
        self._states = {(state.scope, state.name): state for state in states}
        self._probe_at = dict.fromkeys(self._states, now)

    def states(self) -> list[HoldState]:
        """All holds, oldest first."""
        return list(self._states.values())

    def set(self, state: HoldState, now: float) -> bool:
        """Begin a hold, or note that its canary failed; True if it is new."""
        scope = (state.scope, state.name)
        earlier = self._states.get(scope)
        if earlier is not None:
            state = msgspec.structs.replace(
                state, since_ms=earlier.since_ms, probes=earlier.probes + 1
            )
        self._wait(state, now)
        return earlier is None

    def _wait(self, state: HoldState, now: float) -> None:
        scope = (state.scope, state.name)
        self._states[scope] = state
        doubled = PROBE_SECONDS * 2.0 ** min(state.probes, DOUBLINGS_MAX)
        self._probe_at[scope] = now + min(PROBE_SECONDS_MAX, doubled)

    def canary_failed(self, flow_id: str, account: str, now: float) -> None:
        """Something of a held flow was sent and tells nothing: probe more seldom."""
        for scope in (("flow", flow_id), ("account", account)):
            state = self._states.get(scope)
            if state is not None:
                self._wait(msgspec.structs.replace(state, probes=state.probes + 1), now)

    def end(self, account: str, flow_id: str | None) -> list[HoldState]:
        """An answer shows that the account is all right, and the flow too unless it is None."""
        ended = []
        scopes = [("account", account)] + ([("flow", flow_id)] if flow_id is not None else [])
        for scope in scopes:
            state = self._states.pop(scope, None)
            if state is not None:
                del self._probe_at[scope]
                ended.append(state)
        return ended

    def holds(self, flow_id: str, account: str) -> bool:
        """Whether new sends of the flow are stopped."""
        return bool(self._states) and (
            ("flow", flow_id) in self._states or ("account", account) in self._states
        )

    def probe_at(self, flow_id: str, account: str) -> float:
        """When a canary of the flow may go; only asked of a flow that is held."""
        scopes = (("flow", flow_id), ("account", account))
        return max(self._probe_at.get(scope, 0.0) for scope in scopes)

    def fresh_turn(self, flow_id: str, account: str) -> bool:
        """Whether the next canary is to be one that is in no doubt: the two kinds take turns."""
        scopes = (("flow", flow_id), ("account", account))
        held = [self._states[scope].probes for scope in scopes if scope in self._states]
        return bool(held) and max(held) % 2 == 1

    def next_probe_at(self) -> float | None:
        """When the next canary of any hold may go; None without holds."""
        return min(self._probe_at.values(), default=None)

    def probe_at_of(self, state: HoldState) -> float:
        """When the next canary of this very hold may go."""
        return self._probe_at[state.scope, state.name]

    def probing(self, flow_id: str, account: str, until: float) -> None:
        """A canary is under way: no other before `until`."""
        for scope in (("flow", flow_id), ("account", account)):
            if scope in self._probe_at:
                self._probe_at[scope] = until
