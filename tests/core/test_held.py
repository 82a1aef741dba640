"""What operators are shown as held, from checkpoints and commands that lanes have not read."""

from __future__ import annotations

from service.core.control import AnyCommand, HoldReleased, HoldSet, LimitSet
from service.core.held import Given, Held, LaneSeen, held, unapplied
from service.core.holds import HoldState

BY_LANE = HoldState("flow", "AbCd1234", "301: no such flow", 1_795_400_000_000, 301, 2)
ACCOUNT = HoldState("account", "default", "401: not allowed", 1_795_400_060_000, 401)
AT = "2026-11-23T02:40:00.000Z"


def hold(scope: str, name: str) -> AnyCommand:
    """An operator's hold."""
    assert scope in {"flow", "account"}
    return HoldSet(
        id="1",
        at=AT,
        who="op@host",
        reason="wrong list",
        scope="flow" if scope == "flow" else "account",
        name=name,
    )


def release(scope: str, name: str) -> AnyCommand:
    """An operator's release."""
    return HoldReleased(
        id="2", at=AT, who="op@host", scope="flow" if scope == "flow" else "account", name=name
    )


def given(*commands: AnyCommand) -> list[Given]:
    """The control topic with these commands, from offset 10 on."""
    return [Given(10 + number, command) for number, command in enumerate(commands)]


def places(rows: list[Held]) -> dict[tuple[str, str], tuple[tuple[int, ...], ...]]:
    """Where each hold is in force, still to come, still to go."""
    return {(row.scope, row.name): (row.lanes, row.setting, row.releasing) for row in rows}


def test_a_hold_of_several_lanes_is_one_row_of_the_oldest() -> None:
    """Sixteen lanes that met the same refusal are one problem."""
    young = HoldState("flow", "AbCd1234", "301: the same", 1_795_400_009_000, 301)
    (row,) = held([LaneSeen(1, 0, [young]), LaneSeen(0, 0, [BY_LANE])], [])
    assert row == Held(
        "flow",
        "AbCd1234",
        "301: no such flow",
        "2026-11-23T02:13:20.000Z",
        301,
        "",
        (0, 1),
        (),
        (),
    )


def test_a_command_shows_as_still_to_come_until_the_lane_has_read_it() -> None:
    """Who stops a campaign must see which lanes still send."""
    lanes = [LaneSeen(0, 10), LaneSeen(1, 0), LaneSeen(2)]
    rows = held(lanes, given(hold("flow", "AbCd1234")))
    assert places(rows) == {("flow", "AbCd1234"): ((), (0, 1, 2), ())}
    assert (rows[0].by, rows[0].reason, rows[0].since) == ("op@host", "wrong list", AT)
    assert unapplied(lanes, 10) == [0, 1, 2]
    assert unapplied([LaneSeen(0, 10), LaneSeen(1, 11)], 10) == [0]


def test_a_command_that_a_lane_has_applied_is_not_applied_again() -> None:
    """A hold that ended in the lane since then would come up as a ghost."""
    commands = given(hold("flow", "AbCd1234"), release("flow", "AbCd1234"))
    assert held([LaneSeen(0, 12)], commands) == []
    assert held([LaneSeen(0, 0)], commands) == []
    assert held([LaneSeen(0, 11)], commands) == []


def test_a_release_shows_where_it_is_not_applied_yet() -> None:
    """A lane without an owner goes on holding, and somebody will ask why."""
    lanes = [LaneSeen(0, 10, [BY_LANE]), LaneSeen(1, 11, [])]
    rows = held(lanes, given(release("flow", "AbCd1234")))
    assert places(rows) == {("flow", "AbCd1234"): ((), (), (0,))}


def test_releasing_all_accounts_ends_each_of_them_and_no_flow() -> None:
    """A flow that is broken stays held when the account is topped up."""
    lanes = [LaneSeen(0, 10, [ACCOUNT, BY_LANE])]
    commands = given(hold("account", "*"), release("account", "*"))
    assert places(held(lanes, commands)) == {
        ("flow", "AbCd1234"): ((0,), (), ()),
        ("account", "default"): ((), (), (0,)),
    }
    some = given(hold("account", "*"), release("account", "default"))
    assert places(held(lanes, some))["account", "*"] == ((), (0,), ())


def test_an_operators_hold_over_the_lanes_own_says_who_and_why() -> None:
    """It no longer ends by itself, so it must not look as if it did."""
    (row,) = held([LaneSeen(0, 10, [BY_LANE])], given(hold("flow", "AbCd1234")))
    assert (row.lanes, row.by, row.reason) == ((0,), "op@host", "wrong list")


def test_other_commands_hold_nothing() -> None:
    """A changed limit is no hold."""
    limit = LimitSet(id="3", at=AT, who="op@host", calls_per_minute=500)
    assert held([LaneSeen(0)], given(limit)) == []
