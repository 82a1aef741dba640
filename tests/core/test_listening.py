"""Facts reach everybody who is for them, and nobody else."""

from __future__ import annotations

from service.core.facts import Fact, LimiterWaited, TurnCommitted
from service.core.listening import Listening, Observers

WAITED, COMMITTED = LimiterWaited(0.0), TurnCommitted(0, 1, 0.1, 100, 2)


class Noted(Listening):
    """Notes the facts of some kinds."""

    def __init__(self, *kinds: type[Fact]) -> None:
        self.told: list[Fact] = []
        self.on = dict.fromkeys(kinds, self.told.append)


def test_each_fact_is_told_to_all_who_are_for_it() -> None:
    """A metric that stands still while the log goes on would be looked for in the wrong place."""
    both, one, none = Noted(LimiterWaited, TurnCommitted), Noted(TurnCommitted), Noted()
    observers = Observers([both, one, none])
    for fact in (WAITED, COMMITTED):
        observers.tell(fact)
    assert (both.told, one.told, none.told) == ([WAITED, COMMITTED], [COMMITTED], [])
    one.tell(WAITED)
    assert one.told == [COMMITTED]
