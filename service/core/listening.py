"""What observers have in common: each is for some kinds of facts, and has one place for each.

Knows nothing of what they do with a fact. Facts come several times a batch, so whoever tells many
observers asks none of them for a kind that it is not for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from service.core.facts import Fact

Places = Mapping[type[Any], Callable[[Any], None]]
"""What is done with a fact, by its kind."""


class Listening:
    """An `Observer` by its `on`."""

    on: Places

    def tell(self, fact: Fact) -> None:
        """See `Observer.tell`."""
        act = self.on.get(type(fact))
        if act is not None:
            act(fact)


class Observers:
    """Tells every fact to whichever of several observers are for it, in their order."""

    def __init__(self, listeners: Iterable[Listening]) -> None:
        self._on: dict[type[Any], list[Callable[[Any], None]]] = defaultdict(list)
        for listener in listeners:
            for kind, act in listener.on.items():
                self._on[kind].append(act)

    def tell(self, fact: Fact) -> None:
        """See `Observer.tell`."""
        for act in self._on.get(type(fact), ()):
            act(fact)
