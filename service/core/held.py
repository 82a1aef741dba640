"""What is held now: the lanes' own holds, and commands that a lane has not applied yet.

Knows nothing of topics: it is given what the checkpoints and the control topic say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.core.control import EVERY_ACCOUNT, AnyCommand, HoldReleased, HoldSet
from service.core.holds import HoldState, Scope
from service.core.outcomes import rfc3339


@dataclass(frozen=True, slots=True)
class Given:
    """A command as it stands in the control topic."""

    offset: int
    command: AnyCommand


@dataclass(frozen=True, slots=True)
class LaneSeen:
    """What a lane's last checkpoint says; a lane that never ran has applied nothing."""

    lane: int
    control: int = 0
    """The next offset of the control topic: all commands before it are applied."""
    holds: Sequence[HoldState] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """One hold over all lanes."""

    scope: str
    name: str
    reason: str
    since: str
    """RFC 3339."""
    code: int | None
    by: str
    """The operator who set it; empty if the dispatcher did, which then also ends it by itself."""
    lanes: tuple[int, ...]
    """Lanes in which it holds."""
    setting: tuple[int, ...]
    """Lanes that have not applied the command that sets it."""
    releasing: tuple[int, ...]
    """Lanes in which it holds until they apply the command that ends it."""


@dataclass(frozen=True, slots=True)
class _Hold:
    reason: str
    since: str
    code: int | None
    by: str


@dataclass(frozen=True, slots=True)
class _InLane:
    lane: int
    now: _Hold | None
    soon: _Hold | None
    """As it will be once the lane has applied all commands."""


def held(lanes: Iterable[LaneSeen], commands: Sequence[Given]) -> list[Held]:
    """All holds of all lanes, oldest first."""
    found: dict[Scope, list[_InLane]] = {}
    for lane in sorted(lanes, key=lambda each: each.lane):
        now = _now(lane)
        soon = _soon(now, (each.command for each in commands if each.offset >= lane.control))
        for scope in now | soon:
            in_lane = _InLane(lane.lane, now.get(scope), soon.get(scope))
            found.setdefault(scope, []).append(in_lane)
    rows = [_row(scope, places) for scope, places in found.items()]
    return sorted(rows, key=lambda row: (row.since, row.scope, row.name))


def _row(scope: Scope, places: Sequence[_InLane]) -> Held:
    holds = [hold for place in places if (hold := place.soon or place.now)]
    # What an operator said counts for all lanes; the dispatcher's own words are each lane's.
    hold = min(holds, key=lambda each: (not each.by, each.since))
    return Held(
        *scope,
        hold.reason,
        hold.since,
        hold.code,
        hold.by,
        lanes=tuple(place.lane for place in places if place.now and place.soon),
        setting=tuple(place.lane for place in places if not place.now),
        releasing=tuple(place.lane for place in places if not place.soon),
    )


def _now(lane: LaneSeen) -> dict[Scope, _Hold]:
    return {
        (state.scope, state.name): _Hold(
            state.reason, rfc3339(state.since_ms), state.code, state.by
        )
        for state in lane.holds
    }


def _soon(now: dict[Scope, _Hold], commands: Iterable[AnyCommand]) -> dict[Scope, _Hold]:
    """The lane's holds once it has applied these commands."""
    holds = dict(now)
    for command in commands:
        if isinstance(command, HoldSet):
            holds[command.scope, command.name] = _Hold(
                command.reason, command.at, None, command.who
            )
        elif isinstance(command, HoldReleased):
            every = (command.scope, command.name) == ("account", EVERY_ACCOUNT)
            for scope in list(holds):
                if scope == (command.scope, command.name) or (every and scope[0] == "account"):
                    del holds[scope]
    return holds


def unapplied(lanes: Iterable[LaneSeen], offset: int) -> list[int]:
    """Lanes that have not applied the command at this offset of the control topic."""
    return sorted(lane.lane for lane in lanes if lane.control <= offset)
