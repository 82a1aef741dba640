"""Cancels that are in force: which source records an operator wants not to be sent any more.

Knows nothing of calls or batches. A cancel binds by source, so it finds an event wherever its copy
lies; it is over when every position has passed what it speaks of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from service.core.calls import Record


class Cancel(msgspec.Struct, frozen=True, array_like=True):
    """One operator's cancel. Part of the checkpoint."""

    id: str
    flow_id: str
    ends: dict[int, int]
    """By partition of the requests topic: events below this offset are meant."""
    aside_ends: dict[str, int]
    """By topic of events set aside: the offset after the last record that this lane had written
    when it learned of it, behind which no event that is meant is ever set aside. Empty until the
    turn after it is durable: calls that it means may be on their way there."""
    reason: str


class Cancels:
    """All cancels of a lane."""

    def __init__(self, requests: str, states: Iterable[Cancel]) -> None:
        """`requests` is the name of the topic that `ends` speak of."""
        self._requests = requests
        self._of: dict[str, list[Cancel]] = {}
        for state in states:
            self.add(state)

    def __bool__(self) -> bool:
        return bool(self._of)

    def states(self) -> list[Cancel]:
        """All of them, for the checkpoint."""
        return [cancel for cancels in self._of.values() for cancel in cancels]

    def add(self, cancel: Cancel) -> None:
        """From now on its calls are not sent."""
        self._of.setdefault(cancel.flow_id, []).append(cancel)

    def replace(self, cancel: Cancel) -> None:
        """The same cancel, better known; nothing if it is over by now."""
        cancels = self._of.get(cancel.flow_id, [])
        cancels[:] = [cancel if one.id == cancel.id else one for one in cancels]

    def has(self, flow_id: str) -> bool:
        """Whether a cancel means events of this flow."""
        return flow_id in self._of

    def of(self, flow_id: str, record: Record) -> Cancel | None:
        """The cancel that means this event of this flow, if there is one."""
        for cancel in self._of.get(flow_id, ()):
            if record.topic == self._requests and record.offset < cancel.ends.get(
                record.partition, 0
            ):
                return cancel
        return None

    def drop_passed(
        self, positions: Mapping[tuple[str, int], int], mine: Callable[[int], bool]
    ) -> bool:
        """Forget what all positions have passed; True if something was.

        Args:
            positions: of this lane, by (topic, partition).
            mine: whether a partition of the requests is this lane's. It may be so although it has
                no position yet: a partition that was just added is noticed late.
        """
        before = len(self.states())
        for flow_id, cancels in list(self._of.items()):
            left = [one for one in cancels if not self._is_passed(one, positions, mine)]
            if left:
                self._of[flow_id] = left
            else:
                del self._of[flow_id]
        return len(self.states()) < before

    def _is_passed(
        self,
        cancel: Cancel,
        positions: Mapping[tuple[str, int], int],
        mine: Callable[[int], bool],
    ) -> bool:
        if not cancel.aside_ends:
            return False
        requests = all(
            positions.get((self._requests, partition), 0) >= end
            for partition, end in cancel.ends.items()
            if mine(partition)
        )
        return requests and all(
            offset >= cancel.aside_ends.get(topic, 0) for (topic, _), offset in positions.items()
        )
