"""Deficit round robin by calls between flows with a batch ready (Shreedhar and Varghese, 1995).

Knows nothing of batches' contents. Each visit gives a flow a quantum of one full batch times its
priority; a flow is picked while its deficit covers its next batch, so over any stretch the calls
that two busy flows send differ from their weights by at most one quantum and one batch each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Rotation:
    """The ring of flows that could be picked."""

    def __init__(self, quantum_of: Callable[[str], float]) -> None:
        self._quantum_of = quantum_of
        self._ring: deque[str] = deque()
        self._deficit: dict[str, float] = {}
        self._visiting = False

    def __contains__(self, flow_id: str) -> bool:
        return flow_id in self._deficit

    def __len__(self) -> int:
        return len(self._ring)

    def any(self, eligible: Callable[[str], bool]) -> bool:
        """Whether one of the flows in the ring is eligible."""
        return any(map(eligible, self._ring))

    def add(self, flow_id: str) -> None:
        """The flow has something ready; a flow that is in already keeps its place."""
        if flow_id not in self._deficit:
            self._ring.append(flow_id)
            self._deficit[flow_id] = 0.0

    def remove(self, flow_id: str) -> None:
        """The flow has nothing ready any more; what it saved up is forgotten."""
        if self._deficit.pop(flow_id, None) is None:
            return
        if self._ring[0] == flow_id:
            self._visiting = False
        self._ring.remove(flow_id)

    def pick(self, size_of: Callable[[str], int], eligible: Callable[[str], bool]) -> str | None:
        """The flow whose next batch goes, charged with its size; None if none is eligible."""
        blocked = 0
        while blocked < len(self._ring):
            flow_id = self._ring[0]
            if not eligible(flow_id):
                blocked += 1
                self._leave()
                continue
            blocked = 0
            size = size_of(flow_id)
            if not self._visiting:
                self._visiting = True
                # A visit that was cut short leaves no more than one that came to its end.
                self._deficit[flow_id] = min(self._deficit[flow_id], size)
                self._deficit[flow_id] += self._quantum_of(flow_id)
            if self._deficit[flow_id] >= size:
                self._deficit[flow_id] -= size
                return flow_id
            self._leave()
        return None

    def _leave(self) -> None:
        self._ring.rotate(-1)
        self._visiting = False
