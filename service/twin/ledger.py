"""The twin's ledger: every call it accepted, and what arrived in every sliding minute.

It is the oracle of the three promises (design.md). Knows nothing of why a request was answered as
it was, and has no clock: times are given to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

WINDOW_SECONDS = 60.0
REQUESTS_KEPT_MAX = 100_000
"""Requests that `requests` still shows, and bodies whose attempts are counted: 50 M calls."""


class SlidingWindow:
    """The sum of amounts that arrived in (now - 60 s, now]; exact, in memory of 60 s."""

    def __init__(self) -> None:
        self._amounts: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, now: float, amount: int) -> int:
        """Counts `amount` at `now` (seconds, never going back); returns the window's sum."""
        self._amounts.append((now, amount))
        self._sum += amount
        return self.sum(now)

    def sum(self, now: float) -> int:
        """The window's sum at `now`."""
        while self._amounts and self._amounts[0][0] <= now - WINDOW_SECONDS:
            self._sum -= self._amounts.popleft()[1]
        return self._sum

    def wait_seconds(self, now: float, amount: int, limit: int) -> float:
        """Seconds until `amount` more fits under `limit`; a whole window if it never does."""
        missing = self.sum(now) + amount - limit
        for at, freed in self._amounts:
            if missing <= 0:
                break
            missing -= freed
            if missing <= 0:
                return at + WINDOW_SECONDS - now
        return 0.0 if missing <= 0 else WINDOW_SECONDS


class RequestSeen(msgspec.Struct, frozen=True, rename="kebab"):
    """One request as it arrived, and what it was (or will be) answered."""

    number: int
    at: float
    """Seconds since the epoch."""
    second: float
    """The same by the clock that the windows are measured with."""
    flow_id: str | None
    calls: int
    bytes: int
    sha256: str
    attempt: int
    """1 for the first arrival of these very bytes."""
    fault: str | None
    answer: str
    """`whole`, `cut`, `silence`, `short` or `drip`: how the answer goes out."""
    status: int | None
    code: int | None
    request_id: str | None
    accepted: int
    """How many of its calls are accepted by it."""


class CallSeen(msgspec.Struct, frozen=True, rename="kebab"):
    """One accepted call, by flow and client-identifier."""

    flow_id: str
    client_identifier: msgspec.Raw
    key: str | None
    """The value of the identity key, where one is configured."""
    times: int
    request_ids: tuple[str, ...]
    first_at: float
    last_at: float


class Summary(msgspec.Struct, frozen=True, rename="kebab"):
    """The ledger in figures. `doubled` counts calls that were accepted more than once."""

    calls_accepted: int
    calls_distinct: int
    doubled: int
    requests: int
    requests_accepted: int
    calls_received: int
    calls_per_request_max: int
    body_bytes_max: int
    calls_per_sliding_minute_max: int
    requests_per_sliding_minute_max: int
    calls_limit: int
    requests_limit: int
    windows_above_limit: int
    repeats_answered: int
    redirects_followed: int
    exceptions: dict[str, int]


Identity = tuple[bytes, str | None]
"""A call's client-identifier as exact JSON, and its identity key's value if one is configured."""


class Ledger:
    """What arrived and what was accepted. One accepted call costs some 150 bytes."""

    def __init__(self, calls_limit: int, requests_limit: int) -> None:
        self.calls_limit = calls_limit
        self.requests_limit = requests_limit
        self.requests_received = 0
        self.calls_received = 0
        self.calls_accepted = 0
        self.doubled = 0
        self.calls_per_request_max = 0
        self.body_bytes_max = 0
        self.calls_window_max = 0
        self.requests_window_max = 0
        self.windows_above_limit = 0
        self.repeats_answered = 0
        self.redirects_followed = 0
        self.exceptions: dict[str, set[tuple[str, Identity]]] = {}
        """Calls touched by a named case of provider-api.md, "Where the promise ends"."""
        self.requests: deque[RequestSeen] = deque(maxlen=REQUESTS_KEPT_MAX)
        self._calls = SlidingWindow()
        self._requests = SlidingWindow()
        self._attempts: dict[bytes, int] = {}
        self._executions: list[tuple[str, float]] = []
        self._accepted: dict[str, dict[Identity, int | tuple[int, ...]]] = {}

    def arrived(self, now: float, calls: int, body_bytes: int) -> None:
        """Counts a request at `now` (seconds, monotonic), whatever becomes of it."""
        self.requests_received += 1
        self.calls_received += calls
        self.calls_per_request_max = max(self.calls_per_request_max, calls)
        self.body_bytes_max = max(self.body_bytes_max, body_bytes)
        in_window, requests = self._calls.add(now, calls), self._requests.add(now, 1)
        self.calls_window_max = max(self.calls_window_max, in_window)
        self.requests_window_max = max(self.requests_window_max, requests)
        if in_window > self.calls_limit or requests > self.requests_limit:
            self.windows_above_limit += 1

    def attempt(self, digest: bytes) -> int:
        """How often the body of this sha256 has now arrived, itself included."""
        times = self._attempts.pop(digest, 0) + 1
        self._attempts[digest] = times
        if len(self._attempts) > REQUESTS_KEPT_MAX:
            del self._attempts[next(iter(self._attempts))]
        return times

    def accept(self, flow_id: str, calls: Sequence[Identity], request_id: str, wall: float) -> None:
        """Writes down that one execution, at `wall` (seconds since the epoch), took `calls`."""
        execution = len(self._executions)
        self._executions.append((request_id, wall))
        self.calls_accepted += len(calls)
        accepted = self._accepted.setdefault(flow_id, {})
        for call in calls:
            before = accepted.setdefault(call, execution)
            if before != execution:
                self._accepted_again(accepted, call, before, execution)

    def _accepted_again(
        self,
        accepted: dict[Identity, int | tuple[int, ...]],
        call: Identity,
        before: int | tuple[int, ...],
        execution: int,
    ) -> None:
        if isinstance(before, int):
            self.doubled += 1
            before = (before,)
        accepted[call] = (*before, execution)

    def excuse(self, case: str, flow_id: str, calls: Sequence[Identity]) -> None:
        """Notes that the promise ends for these calls, by the case's name."""
        noted = self.exceptions.setdefault(case, set())
        noted.update((flow_id, call) for call in calls)

    def times_accepted(self, flow_id: str, identifier: bytes, key: str | None = None) -> int:
        """How often the call was accepted; `identifier` is its exact JSON."""
        found = self._accepted.get(flow_id, {}).get((identifier, key))
        if found is None:
            return 0
        return 1 if isinstance(found, int) else len(found)

    def accepted_calls(self) -> Iterator[CallSeen]:
        """Every accepted call, flow by flow, in the order of first acceptance."""
        for flow_id, accepted in list(self._accepted.items()):
            for (identifier, key), found in list(accepted.items()):
                indexes = (found,) if isinstance(found, int) else found
                runs = [self._executions[index] for index in indexes]
                yield CallSeen(
                    flow_id,
                    msgspec.Raw(identifier),
                    key,
                    len(runs),
                    tuple(request_id for request_id, _ in runs),
                    runs[0][1],
                    runs[-1][1],
                )

    def summary(self) -> Summary:
        """The figures so far."""
        return Summary(
            calls_accepted=self.calls_accepted,
            calls_distinct=sum(map(len, self._accepted.values())),
            doubled=self.doubled,
            requests=self.requests_received,
            requests_accepted=len(self._executions),
            calls_received=self.calls_received,
            calls_per_request_max=self.calls_per_request_max,
            body_bytes_max=self.body_bytes_max,
            calls_per_sliding_minute_max=self.calls_window_max,
            requests_per_sliding_minute_max=self.requests_window_max,
            calls_limit=self.calls_limit,
            requests_limit=self.requests_limit,
            windows_above_limit=self.windows_above_limit,
            repeats_answered=self.repeats_answered,
            redirects_followed=self.redirects_followed,
            exceptions={case: len(calls) for case, calls in sorted(self.exceptions.items())},
        )
