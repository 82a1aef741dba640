"""One window of the limit for all lanes: what a lane says to it, what it hears, how it stands.

Knows nothing of where that window lives, nor of waiting. That the sum of all lanes stays within
the limit follows from four laws:

1. A lane goes beyond its even share only by a grant of the shared window, while every lane is
   registered there. What it sent itself, by its own count, stays within its share otherwise.
2. A registration ends `REGISTERED_SECONDS` after it was made, and what was granted under it can
   arrive for `stay_seconds` more. Only then may the lane send on its own count, without a grant.
3. Who has sent so registers again only when `stay_seconds` have passed since: until then what it
   sent is in no window but its own, and the others must keep to their shares.
4. A window that is new, because its data were lost, is full until all of this has passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from service.core.rate import MARGIN_SECONDS, WINDOW_SECONDS

REGISTERED_SECONDS = 10.0
"""How long the window believes that a lane is in touch with it; three tries to renew it."""
CALL_SECONDS_MAX = 0.5
"""For one exchange with the window; a lane whose window is slower is better off on its share."""
BEGIN_SECONDS_MAX = 1.0
"""From asking for a grant to the first byte's way; a grant that is older is given back."""
SLACK_SECONDS = 2.0
"""The two above, and two clocks that are compared over some minutes."""
OWNERSHIP_SECONDS_MAX = 5.0
"""How old the proof may be that this process still owns the lane that it registers."""
WANT_SECONDS = 2.0
"""How long what a lane within its share was refused is kept free of those beyond theirs. It asks
again within a second."""


def stay_seconds(timeout_seconds: float) -> float:
    """How long an attempt whose end is not reported counts."""
    return timeout_seconds + WINDOW_SECONDS + MARGIN_SECONDS + SLACK_SECONDS


class Join(IntEnum):
    """Whether an exchange is to register the lane."""

    NO = 0
    IF_KNOWN = 1
    """If the last registration is so young that no earlier owner can go alone in its lease."""
    YES = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attempt counts in the shared window."""

    born: int
    """Which window: another one after a loss of its data. Server's milliseconds."""
    step: int
    calls: int


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt is over."""

    place: Place
    age_seconds: float | None
    """Since its end; None: it never began."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a lane says in one exchange."""

    lane: int
    lanes: int
    calls_max: int
    """In any minute, of all lanes together; requests alike."""
    requests_max: int
    stay_seconds: float
    own_calls: int
    """What counts of this lane by its own guard; requests alike."""
    own_requests: int
    calls: int = 0
    """Of the one request that is asked for; 0: none is."""
    burst_calls: int = 1
    """All lanes together are at most so many calls, and one request, ahead of an even pace: each
    smooths itself only, and lanes that begin at the same moment would go on in bursts for ever."""
    join: Join = Join.NO
    join_until: int = 0
    """The server's milliseconds after which this must not register any more: a server that hung
    executes what was given up long ago."""
    known_seconds: float = 0.0
    """How long after the end of a registration the lane still is `IF_KNOWN`."""
    rest_seconds: float = 0.0
    """All lanes must pause for so long: the provider asked for it."""
    ended: tuple[Ended, ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """What the window answers."""

    now: int
    """The server's milliseconds."""
    registered: bool
    """Whether this exchange registered the lane."""
    all_registered: bool
    closed: bool
    """It is new, and full until what it does not know of has passed."""
    calls: int
    """Counting in it; requests alike."""
    requests: int
    place: Place | None = None
    """The grant."""
    wait_seconds: float = 0.0
    """Without a grant: until one is likely. With one: until the next like it is."""


class Standing:
    """How one lane stands with the shared window, by the owner's clock."""

    def __init__(self, now: float, stay: float, lease_seconds: float) -> None:
        self._stay = stay
        # An earlier owner that has not heard of its end may register the lane, and send, so long.
        earlier = max(lease_seconds, OWNERSHIP_SECONDS_MAX)
        self.known_seconds = WINDOW_SECONDS - earlier
        """See `Said.known_seconds`; an earlier owner goes alone later by more than its lease."""
        self.alone_from = now + earlier + REGISTERED_SECONDS + stay
        """From then on the lane may send within its share on its own count."""
        self._clean_from = now + earlier + stay
        """From then on nothing counts that no window knows of: an earlier owner's, or ours."""
        self._new = True

    def join(self, now: float) -> Join:
        """Whether the lane may register now."""
        if now >= self._clean_from:
            return Join.YES
        return Join.IF_KNOWN if self._new else Join.NO

    def asked_to_join(self, now: float) -> None:
        """The lane may be registered from now on, whether an answer comes or not."""
        self.alone_from = max(self.alone_from, now + REGISTERED_SECONDS + self._stay)

    def joined(self) -> None:
        """It was registered: so nothing counts that the window does not know of."""
        self._clean_from = float("-inf")

    def may_go_alone(self, now: float) -> bool:
        """Whether a send needs no grant of the shared window."""
        return now >= self.alone_from

    def went_alone(self, now: float) -> None:
        """An attempt begins that the shared window does not know of."""
        assert self.may_go_alone(now)
        self._new = False
        self._clean_from = now + self._stay
