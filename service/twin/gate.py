"""What stands in front of the provider's own work: the limit and the size of a body.

Must not know what is in a body.
"""

from __future__ import annotations

import math
from email.utils import formatdate

from service.twin.answers import SILENCE, Answer, bare, refusal, too_many
from service.twin.ledger import SlidingWindow
from service.twin.options import Options


class Gate:
    """Admits requests within the limit. What is turned away does not count in it."""

    def __init__(self) -> None:
        self._calls = SlidingWindow()
        self._requests = SlidingWindow()

    def excess(self, options: Options, calls: int, now: float, wall: float) -> Answer | None:
        """The answer to a request of `calls` beyond the limit, or None: it is admitted."""
        if options.excess == "accept":
            return None
        wait_seconds = max(
            self._calls.wait_seconds(now, calls, options.calls_limit),
            self._requests.wait_seconds(now, 1, options.requests_limit),
        )
        if wait_seconds <= 0.0:
            self._calls.add(now, calls)
            self._requests.add(now, 1)
            return None
        match options.excess:
            case "429-seconds":
                return too_many(options, ("Retry-After", str(math.ceil(wait_seconds))))
            case "429-date":
                due = formatdate(math.ceil(wall + wait_seconds), usegmt=True)
                return too_many(options, ("Retry-After", due))
            case "silence":
                return SILENCE
            case status:
                return too_many(options) if status == "429" else bare(int(status))

    def oversize(self, options: Options, body_bytes: int) -> Answer | None:
        """The answer to a body over the size, or None."""
        if body_bytes <= options.body_bytes_max:
            return None
        match options.oversize:
            case "accept":
                return None
            case "silence":
                return SILENCE
            case "303" | "400" as code:
                return refusal(int(code), options)
            case "413-early":
                return bare(413)
            case status:
                return bare(int(status))
