"""Says facts as log lines: the `Observer` behind the log.

Knows nothing of formats. `info` is what an operator may act on, `debug` is batches and turns; what
could come by the thousand is bounded, and what was left out is counted in the next line.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog
from msgspec import structs

from service.adapters.logs.throttle import Throttle
from service.core.facts import (
    BatchSealed,
    CallsEnded,
    CallsParked,
    CommandApplied,
    EventRefusedFact,
    EventsLost,
    Fact,
    HoldChanged,
    LaneChanged,
    RequestEnded,
    RetryPlanned,
    StandingChanged,
    Trouble,
    TurnCommitted,
)
from service.core.listening import Listening
from service.settings import Settings

REFUSED_LINES_PER_SECOND = 5
"""An example of each kind is enough; the dead letters hold every one."""
RETRY_LINES_PER_SECOND = 5
DEAD_LETTER_LINES_PER_SECOND = 1
TROUBLE_SECONDS = 10.0
"""Between two lines of one trouble that goes on; it is retried about every second."""
TROUBLES_MAX = 1_000
"""Places with a throttle of their own, far more than there are lanes."""

LOST_ACTION = (
    "the topic's retention took events before they were read: raise retention.ms above the "
    "longest backlog, and ask upstream to publish these again"
)
RELEASE_ACTION = "it ends only by `call-dispatcher holds release`"
HELD_ACTION = "sending goes on by itself once a probe is accepted; call-dispatcher status shows it"


class Logs(Listening):
    """`Observer` that writes log lines, wherever `configure_logs` sends them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logging.getLogger("call_dispatcher")
        self._log: structlog.stdlib.BoundLogger = structlog.wrap_logger(
            self._logger,
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        )
        self._clock = clock
        self._refused = Throttle(REFUSED_LINES_PER_SECOND)
        self._retries = Throttle(RETRY_LINES_PER_SECOND)
        self._buried_lines = Throttle(DEAD_LETTER_LINES_PER_SECOND)
        self._buried: Counter[str] = Counter()
        """Dead letters by reason since the last line about them."""
        self._troubles: dict[str, Throttle] = {}
        self.on = {
            EventRefusedFact: self._event_refused,
            BatchSealed: lambda fact: self._detail("batch_sealed", fact),
            RequestEnded: lambda fact: self._detail("batch_answered", fact),
            RetryPlanned: self._retry_planned,
            CallsEnded: self._calls_ended,
            CallsParked: lambda fact: self._detail("calls_parked", fact),
            CommandApplied: lambda fact: self._log.info("command_applied", **structs.asdict(fact)),
            TurnCommitted: self._turn_committed,
            HoldChanged: self._hold_changed,
            LaneChanged: self._lane_changed,
            EventsLost: self._events_lost,
            StandingChanged: self._standing_changed,
            Trouble: self._trouble,
        }

    def started(self, settings: Settings, address: str) -> None:
        """The process takes part from now on."""
        provider = settings.provider
        self._log.info(
            "started",
            http=address,
            group_id=settings.kafka.group_id,
            requests_topic=settings.kafka.topics.requests,
            profile=provider.profile,
            provider_host=urlsplit(provider.url).hostname,
            calls_per_minute=provider.calls_per_minute,
        )

    def stopped(self) -> None:
        """The process has drained and left."""
        self._say_buried()
        self._log.info("stopped")

    def loop_trouble(self, _: object, context: Mapping[str, Any]) -> None:
        """What asyncio would print with a traceback: a client's future that nobody awaits."""
        error = context.get("exception")
        name = type(error).__name__ if error is not None else ""
        self._log.warning("loop_trouble", message=str(context.get("message")), error=name)

    def _event_refused(self, fact: EventRefusedFact) -> None:
        self._buried[fact.reason] += 1
        if self._refused.admits(self._clock()):
            topic, partition, offset = fact.source
            self._log.warning(
                "event_refused",
                topic=topic,
                partition=partition,
                offset=offset,
                reason=fact.reason,
                field=fact.field,
                message=fact.message,
                suppressed=self._refused.take_suppressed(),
            )

    def _detail(self, event: str, fact: Fact) -> None:
        """What happens with each batch: its fields are only gathered for whoever reads them."""
        if self._logger.isEnabledFor(logging.DEBUG):
            self._log.debug(event, **structs.asdict(fact))

    def _retry_planned(self, fact: RetryPlanned) -> None:
        if self._retries.admits(self._clock()):
            suppressed = self._retries.take_suppressed()
            self._log.info("retry_planned", **structs.asdict(fact), suppressed=suppressed)

    def _calls_ended(self, fact: CallsEnded) -> None:
        if fact.outcome != "accepted":
            self._buried[fact.outcome] += fact.count
        self._detail("calls_ended", fact)

    def _turn_committed(self, fact: TurnCommitted) -> None:
        self._detail("turn_committed", fact)
        if self._buried and self._buried_lines.admits(self._clock()):
            self._say_buried()

    def _say_buried(self) -> None:
        if self._buried:
            self._log.warning(
                "dead_letters_written", count=self._buried.total(), reasons=dict(self._buried)
            )
            self._buried.clear()

    def _hold_changed(self, fact: HoldChanged) -> None:
        told = {"scope": fact.scope, "name": fact.name, "reason": fact.reason, "code": fact.code}
        if fact.active:
            action = RELEASE_ACTION if fact.by else HELD_ACTION
            self._log.error("hold_began", **told, by=fact.by or None, action=action)
        else:
            self._log.info("hold_ended", **told)

    def _lane_changed(self, fact: LaneChanged) -> None:
        told: dict[str, Any] = {"lane": fact.lane}
        if fact.message:
            told["message"] = fact.message
        if fact.state == "owned":
            told |= {
                "recovered_batches": fact.recovered_batches,
                "was_released": fact.was_released,
            }
        level = logging.WARNING if fact.state == "fenced" else logging.INFO
        self._log.log(level, f"lane_{fact.state}", **told)

    def _standing_changed(self, fact: StandingChanged) -> None:
        level = logging.INFO if fact.standing in {"shared", "even"} else logging.WARNING
        self._log.log(level, "limit_standing", lane=fact.lane, standing=fact.standing)

    def _events_lost(self, fact: EventsLost) -> None:
        topic, partition = fact.partition
        self._log.error(
            "events_lost",
            topic=topic,
            partition=partition,
            first=fact.first,
            end=fact.end,
            count=fact.end - fact.first,
            action=LOST_ACTION,
        )

    def _trouble(self, fact: Trouble) -> None:
        if fact.where not in self._troubles and len(self._troubles) >= TROUBLES_MAX:
            self._troubles.clear()
        throttle = self._troubles.setdefault(fact.where, Throttle(1, TROUBLE_SECONDS))
        if throttle.admits(self._clock()):
            suppressed = throttle.take_suppressed()
            self._log.warning(
                "trouble", where=fact.where, message=fact.message, suppressed=suppressed
            )
