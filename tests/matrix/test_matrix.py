"""The matrix in short: each rule once, after every history but a kill. `make matrix` is all."""

from __future__ import annotations

from tests.matrix.cases import Case, all_cases
from tests.matrix.compare import Outcome, Seen, wrong_finally, wrong_meanwhile
from tests.matrix.play import play
from tests.matrix.words import CALLS

SLOW = ("silence", "drip", "400-for-a")
"""Faults whose end takes timeouts or several canaries."""


def in_short() -> list[Case]:
    """One fault of each rule, after each history that needs no kill."""
    rules: dict[str, list[Case]] = {}
    for case in all_cases():
        if case.profile == "bulk" and case.group == "together" and not case.taken:
            rules.setdefault(case.page, []).append(case)
    found = []
    for cases in rules.values():
        quick = [case for case in cases if not case.fault.name.startswith(SLOW)]
        if quick:
            found += [case for case in quick if case.fault is quick[0].fault]
    return found


def the_case(name: str) -> Case:
    """The case of this name."""
    return next(case for case in all_cases() if case.name == name)


def seen(*outcomes: Outcome, **holds: int | None) -> Seen:
    """Outcomes of calls a, b and c, and the holds of their flow."""
    each = [[outcome] for outcome in outcomes] or [[], [], []]
    return Seen(dict(zip(CALLS, each, strict=True)), holds)


async def test_every_rule_holds_on_real_processes(kafka: str) -> None:
    """A rule of the provider's page that only the core keeps is not kept for anybody."""
    wrong = await play(kafka, in_short(), patience_seconds=20)
    assert not wrong, "\n".join(map(str, wrong))


def test_the_comparison_sees_what_is_wrong() -> None:
    """A matrix that compares nothing has no wrong case either."""
    rejected, accepted = Outcome("rejected", 205), Outcome("accepted", 202, None, "id")
    case = the_case("bulk/205-for-b/first")
    assert wrong_finally(case, seen(accepted, rejected, accepted)) is None
    assert wrong_finally(case, seen(accepted, accepted, accepted)) is not None
    assert wrong_finally(case, seen(accepted, Outcome("rejected", 402), accepted)) is not None
    assert wrong_finally(case, seen()) is not None
    held = the_case("bulk/code-301/first")
    assert wrong_meanwhile(held, seen(flow=301)) is None
    assert wrong_meanwhile(held, seen(flow=203)) is not None
    assert wrong_meanwhile(held, seen(account=301)) is not None
    assert wrong_meanwhile(held, seen()) is not None
    assert wrong_meanwhile(held, seen(rejected, rejected, rejected, flow=301)) is not None


def test_the_table_has_every_code_of_the_page_and_every_history() -> None:
    """A row that was left out is a rule that nobody looks at."""
    codes = {200, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 212, 213}
    codes |= {301, 302, 303, 304, 400, 401, 402, 500}
    cases = all_cases()
    for profile in ("bulk", "realtime", "dialer"):
        for history in ("first", "lost", "failed", "reminted", "taken_lost"):
            here = [c for c in cases if (c.profile, c.history) == (profile, history)]
            assert codes <= {case.fault.code for case in here}
