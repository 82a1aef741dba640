"""Holds: circuit breakers that stop new sends for one flow or one account.

Knows nothing of batches. While a hold lasts one canary at a time goes out, at growing intervals; an
accepted canary ends it (provider-api.md, Holds). What an operator holds, an operator releases.
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

EVERY_ACCOUNT = "*"
"""Name of the hold that stops all accounts."""
NEVER = float("inf")

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
    by: str = ""
    """The operator who set it; such a hold has no canary and ends only by command."""


class Holds:
    """All holds of a lane. Times are the loop's, in seconds."""

    def __init__(self, states: Iterable[HoldState], now: float) -> None:
        self._states = {(state.scope, state.name): state for state in states}
        self._probe_at = {
            scope: NEVER if state.by else now for scope, state in self._states.items()
        }

    def __bool__(self) -> bool:
        return bool(self._states)

    def states(self) -> list[HoldState]:
        """All holds, oldest first."""
        return list(self._states.values())

    def set(self, state: HoldState, now: float, *, canary: bool = False) -> bool:
        """Begin a hold, or note that its `canary` failed; True if it is new.

        What was under way when it began, and fails later, is no canary: it changes only the words.
        """
        scope = (state.scope, state.name)
        earlier = self._states.get(scope)
        if earlier is None:
            self._wait(state, now)
            return True
        if earlier.by and not state.by:
            return False
        probes = earlier.probes + canary
        state = msgspec.structs.replace(state, since_ms=earlier.since_ms, probes=probes)
        if canary or state.by:
            self._wait(state, now)
        else:
            self._states[scope] = state
        return False

    def _wait(self, state: HoldState, now: float) -> None:
        scope = (state.scope, state.name)
        self._states[scope] = state
        doubled = PROBE_SECONDS * 2.0 ** min(state.probes, DOUBLINGS_MAX)
        self._probe_at[scope] = NEVER if state.by else now + min(PROBE_SECONDS_MAX, doubled)

    def canary_failed(self, flow_id: str, account: str, now: float) -> None:
        """A canary of a held flow was sent and tells nothing: probe more seldom."""
        for state in self._of(flow_id, account):
            if not state.by:
                self._wait(msgspec.structs.replace(state, probes=state.probes + 1), now)

    def end(self, account: str, flow_id: str | None) -> list[HoldState]:
        """An answer shows that the account is all right, and the flow too unless it is None."""
        scopes = [("account", account)] + ([("flow", flow_id)] if flow_id is not None else [])
        return self._drop(
            scope for scope in scopes if scope in self._states and not self._states[scope].by
        )

    def release(self, scope: str, name: str) -> list[HoldState]:
        """An operator ends a hold, whoever set it; `EVERY_ACCOUNT` means those of all accounts."""
        every = scope == "account" and name == EVERY_ACCOUNT
        return self._drop(
            found
            for found in self._states
            if found == (scope, name) or (every and found[0] == "account")
        )

    def _drop(self, scopes: Iterable[Scope]) -> list[HoldState]:
        ended = []
        for scope in list(scopes):
            ended.append(self._states.pop(scope))
            del self._probe_at[scope]
        return ended

    def _of(self, flow_id: str, account: str) -> list[HoldState]:
        scopes = (("flow", flow_id), ("account", account), ("account", EVERY_ACCOUNT))
        return [self._states[scope] for scope in scopes if scope in self._states]

    def holds(self, flow_id: str, account: str) -> bool:
        """Whether new sends of the flow are stopped."""
        return bool(self._states) and bool(self._of(flow_id, account))

    def stopped(self, flow_id: str, account: str) -> bool:
        """Whether somebody, not an answer, has stopped the flow: not even a canary goes."""
        return bool(self._states) and any(state.by for state in self._of(flow_id, account))

    def flow(self, flow_id: str) -> HoldState | None:
        """The hold of this very flow, if there is one."""
        return self._states.get(("flow", flow_id))

    @property
    def flows(self) -> int:
        """How many flows are held."""
        return sum(scope == "flow" for scope, _ in self._states)

    def account_held(self, account: str) -> bool:
        """Whether the account, or all of them, is held."""
        states = self._states
        return ("account", account) in states or ("account", EVERY_ACCOUNT) in states

    def probe_at(self, flow_id: str, account: str) -> float:
        """When a canary of the flow may go; only asked of a flow that is held."""
        return max(
            (self._probe_at[state.scope, state.name] for state in self._of(flow_id, account)),
            default=0.0,
        )

    def fresh_turn(self, flow_id: str, account: str) -> bool:
        """Whether the next canary is to be one that is in no doubt: the two kinds take turns."""
        probes = [state.probes for state in self._of(flow_id, account)]
        return bool(probes) and max(probes) % 2 == 1

    def next_probe_at(self) -> float | None:
        """When the next canary of any hold may go; None without holds that have one."""
        return min((at for at in self._probe_at.values() if at != NEVER), default=None)

    def probe_at_of(self, state: HoldState) -> float | None:
        """When the next canary of this very hold may go; None if it has none."""
        at = self._probe_at[state.scope, state.name]
        return None if at == NEVER else at

    def probing(self, flow_id: str, account: str, until: float) -> bool:
        """Something of the flow is under way: if it is a canary (True), no other before `until`."""
        probed = [state for state in self._of(flow_id, account) if not state.by]
        for state in probed:
            self._probe_at[state.scope, state.name] = until
        return bool(probed)
