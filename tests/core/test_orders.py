"""What operators may order, and what is refused with which words."""

from __future__ import annotations

import pytest

from service.core.control import (
    EVERY_ACCOUNT,
    AnyCommand,
    CallsCancelled,
    HoldReleased,
    HoldSet,
    LimitSet,
    decode,
    encode,
)
from service.core.orders import (
    Order,
    calls_cancelled,
    hold_released,
    hold_set,
    limit_reset,
    limit_set,
    moment_ms,
    same,
)
from service.errors import OrderRefused

AT = "2026-11-23T02:40:00.000Z"
ACCOUNTS = {"default", "0a1b2c3d"}
ZONE = "Asia/Kolkata"
NOW_MS = 1_795_400_000_000.0


def order(reason: str = "wrong list", *, name: str = "abc", who: str = "op@host") -> Order:
    """An order by somebody."""
    return Order(name, AT, who, reason)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            hold_set(order(), "flow", "AbCd1234", ACCOUNTS),
            HoldSet(
                id="abc", at=AT, who="op@host", reason="wrong list", scope="flow", name="AbCd1234"
            ),
        ),
        (
            hold_set(order(), "account", EVERY_ACCOUNT, ACCOUNTS),
            HoldSet(id="abc", at=AT, who="op@host", reason="wrong list", scope="account", name="*"),
        ),
        (
            hold_released(order(""), "account", "0a1b2c3d", ACCOUNTS),
            HoldReleased(id="abc", at=AT, who="op@host", scope="account", name="0a1b2c3d"),
        ),
        (
            calls_cancelled(order(), "AbCd1234", {0: 5, 11: 0}),
            CallsCancelled(
                id="abc",
                at=AT,
                who="op@host",
                reason="wrong list",
                flow_id="AbCd1234",
                ends={0: 5, 11: 0},
            ),
        ),
        (
            limit_set(order(""), 1000, 2, 500),
            LimitSet(id="abc", at=AT, who="op@host", calls_per_minute=1000),
        ),
        (limit_reset(order("")), LimitSet(id="abc", at=AT, who="op@host", calls_per_minute=None)),
    ],
)
def test_an_order_becomes_the_command_that_lanes_read(
    command: AnyCommand, expected: AnyCommand
) -> None:
    """A lane that reads another flow or another end than was meant calls the wrong people."""
    assert command == expected
    assert decode(encode(command)) == expected


@pytest.mark.parametrize(
    "flow",
    ["", "AbCd123", "AbCd12345", "AbCd-234", "AbCd123\n", "\uff21bCd1234", "AbCd123é", " AbCd1234"],
)
def test_only_a_flow_id_is_taken(flow: str) -> None:
    """A hold of a misspelt flow stops nothing, while the operator believes that it does."""
    for make in (hold_set, hold_released):
        with pytest.raises(OrderRefused, match="8 ASCII letters and digits"):
            make(order(), "flow", flow, ACCOUNTS)
    with pytest.raises(OrderRefused, match="8 ASCII letters and digits"):
        calls_cancelled(order(), flow, {})


@pytest.mark.parametrize("account", ["", "Default", "AbCd1234", "**"])
def test_an_unknown_account_is_told_the_known_ones(account: str) -> None:
    """Nobody knows eight digits of a hash by heart at three in the morning."""
    with pytest.raises(OrderRefused, match=r"known are 0a1b2c3d, default, and \* for all"):
        hold_set(order(), "account", account, ACCOUNTS)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("", "is required"),
        (" \t ", "is required"),
        ("two\nlines", "control characters"),
        ("\x1b[31mred", "control characters"),
        ("turned \u202e around", "control characters"),
        ("\ud800", "control characters"),
        ("x" * 501, "has 501 characters; 500"),
    ],
)
def test_a_reason_is_one_readable_line(reason: str, words: str) -> None:
    """It is shown on terminals and in logs of others, who must be able to trust their screens."""
    with pytest.raises(OrderRefused, match=words):
        hold_set(order(reason), "flow", "AbCd1234", ACCOUNTS)


def test_a_reason_may_be_in_any_language() -> None:
    """Joiners are no control characters: ordinary words of Indian scripts have them."""
    for reason in ("गलत सूची", "क्\u200dष", "x" * 500):
        assert hold_set(order(f" {reason} "), "flow", "AbCd1234", ACCOUNTS).reason == reason


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "é", "a\n"])
def test_an_id_is_a_plain_name(name: str) -> None:
    """It becomes a record's key, and is typed again by hand."""
    with pytest.raises(OrderRefused, match=r"^id: "):
        limit_reset(order(name=name))


def test_who_cannot_forge_lines() -> None:
    """A user's name comes from the environment, where anybody may write anything."""
    command = limit_reset(order(who="op\x1b[2J\n" + "x" * 300))
    assert command.who.startswith("op[2Jxxx")
    assert len(command.who) == 200


@pytest.mark.parametrize(
    ("calls_per_minute", "lanes", "words"),
    [
        (499, 1, r"499 calls a minute over 1 lane is a share of 499, .* of 500 .*: 500 is the"),
        (1999, 4, r"over 4 lanes is a share of 499, .*: 2000 is the least; .*holds set --account"),
        (0, 1, "share of 0"),
        (-5, 1, "500 is the least"),
        (1_000_000_001, 1, "is the most"),
    ],
)
def test_a_limit_must_leave_each_lane_a_full_batch(
    calls_per_minute: int, lanes: int, words: str
) -> None:
    """With less the lanes would stand still for ever, or could not keep the limit."""
    with pytest.raises(OrderRefused, match=words):
        limit_set(order(), calls_per_minute, lanes, 500)
    assert limit_set(order(), 2000, 4, 500).calls_per_minute == 2000


def test_a_time_is_read_in_the_providers_zone() -> None:
    """An operator in India writes the clock on the wall."""
    assert moment_ms("2026-11-23T07:43:20", ZONE, NOW_MS) == NOW_MS
    assert moment_ms("2026-11-23T02:13:19.5Z", ZONE, NOW_MS) == NOW_MS - 500


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yesterday", "before: is no ISO 8601"),
        ("2030-01-01T00:00:00Z", "future"),
        ("1969-12-31T00:00:00Z", "1970"),
        ("2026-13-01T00:00:00Z", "before: "),
    ],
)
def test_a_cancel_reaches_back_only(text: str, words: str) -> None:
    """With a time ahead the operator would believe that events to come are covered."""
    with pytest.raises(OrderRefused, match=words):
        moment_ms(text, ZONE, NOW_MS)


def test_a_repeated_order_is_known_by_what_it_asks_for() -> None:
    """Who repeats a command after a lost answer has another clock time, and other ends."""
    later = Order("abc", "2026-11-23T03:00:00.000Z", "http 10.0.0.3", "again")
    first, again = (hold_set(each, "flow", "AbCd1234", ACCOUNTS) for each in (order(), later))
    assert same(first, again)
    assert same(
        calls_cancelled(order(), "AbCd1234", {0: 5}), calls_cancelled(later, "AbCd1234", {0: 9})
    )
    for other in (
        hold_set(later, "flow", "Other123", ACCOUNTS),
        hold_released(later, "flow", "AbCd1234", ACCOUNTS),
        calls_cancelled(later, "AbCd1234", {}),
        limit_reset(later),
    ):
        assert not same(first, other)
    assert not same(limit_set(order(), 500, 1, 500), limit_reset(later))
