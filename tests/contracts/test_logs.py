"""Log lines as an operator, or a collector of logs, reads them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.adapters.logs import Logs, configure_logs
from service.core.facts import (
    BatchSealed,
    CallsEnded,
    EventRefusedFact,
    EventsLost,
    EventsRead,
    Fact,
    HoldChanged,
    LaneChanged,
    LimiterWaited,
    RequestEnded,
    RetryPlanned,
    StandingChanged,
    Trouble,
    TurnCommitted,
)
from tests.contracts.seen import FLOW_SECURITY_ID, HOST, SECURITY_ID, TOKEN, settings_of

BATCH = "0123456789abcdef"
TURN = TurnCommitted(0, 7, 0.01, 4000, 2)


def refused(reason: str = "invalid", message: str = "is wrong") -> EventRefusedFact:
    """An event far on in its partition that cannot become a call."""
    return EventRefusedFact(("calls.requests", 3, 12_345_678_901), reason, "keys[2].name", message)


class Logged:
    """Logs of one configuration, whose clock the test moves, and what was written."""

    def __init__(self, level: str = "info", form: str = "json") -> None:
        self.now = 0.0
        self.stream = io.StringIO()
        flows = {"AbCd1234": {"security_id": FLOW_SECURITY_ID}}
        self.settings = settings_of(log={"level": level, "format": form}, flows=flows)
        configure_logs(self.settings, self.stream)
        self.logs = Logs(lambda: self.now)

    def tell(self, *facts: Fact) -> Logged:
        """Tell these facts."""
        for fact in facts:
            self.logs.tell(fact)
        return self

    def text(self) -> str:
        """All that was written."""
        return self.stream.getvalue()

    def lines(self) -> list[dict[str, Any]]:
        """The same, decoded."""
        return [json.loads(line) for line in self.text().splitlines()]

    def events(self) -> list[str]:
        """The event names of all lines."""
        return [line["event"] for line in self.lines()]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """The logging of a process is one for all; other tests must find it unchanged."""
    root = logging.getLogger()
    handlers, levels = list(root.handlers), {}
    for name in ("", "aiokafka", "aiohttp", "asyncio"):
        levels[name] = logging.getLogger(name).level
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize(
    ("fact", "level", "event"),
    [
        (refused(), "warning", "event_refused"),
        (BatchSealed(BATCH, "AbCd1234", 500, 90_000, "count"), "debug", "batch_sealed"),
        (RequestEnded(BATCH, "AbCd1234", 500, 1, "202", 0.1, ""), "debug", "batch_answered"),
        (RetryPlanned(BATCH, "AbCd1234", "ambiguous", 1.5), "info", "retry_planned"),
        (CallsEnded("AbCd1234", "accepted", 500, 0.1), "debug", "calls_ended"),
        (TURN, "debug", "turn_committed"),
        (
            HoldChanged("flow", "AbCd1234", active=True, reason="301: see it", code=301),
            "error",
            "hold_began",
        ),
        (
            HoldChanged("flow", "AbCd1234", active=False, reason="301: see it", code=301),
            "info",
            "hold_ended",
        ),
        (LaneChanged(0, "taking"), "info", "lane_taking"),
        (LaneChanged(0, "owned", recovered_batches=3), "info", "lane_owned"),
        (LaneChanged(0, "released"), "info", "lane_released"),
        (LaneChanged(0, "fenced", "a successor started"), "warning", "lane_fenced"),
        (EventsLost(("calls.requests", 0), 10, 15), "error", "events_lost"),
        (Trouble("commit", "the broker is away"), "warning", "trouble"),
        (StandingChanged(0, "shared"), "info", "limit_standing"),
        (StandingChanged(0, "silent"), "warning", "limit_standing"),
    ],
)
def test_a_fact_is_one_line_with_one_event_name(fact: Fact, level: str, event: str) -> None:
    """An alert on an event's name finds it at its level, wherever it happens."""
    (line,) = Logged("debug").tell(fact).lines()
    assert (line["event"], line["level"]) == (event, level)
    stamp = datetime.fromisoformat(line["timestamp"])
    assert stamp.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - stamp) < timedelta(minutes=1)
    assert list(line)[:3] == ["timestamp", "level", "event"]


def test_a_day_of_accepted_batches_is_silent_at_info() -> None:
    """Lines that say that all is well would bury the one that does not."""
    usual: list[Fact] = [
        EventsRead(("calls.requests", 0), 500),
        BatchSealed(BATCH, "AbCd1234", 500, 90_000, "count"),
        LimiterWaited(0.9),
        RequestEnded(BATCH, "AbCd1234", 500, 1, "202", 0.1, ""),
        CallsEnded("AbCd1234", "accepted", 500, 0.1),
        TURN,
    ]
    assert Logged().tell(*usual * 100).text() == ""


def test_a_hold_and_a_loss_say_what_to_do() -> None:
    """Who is woken by such a line must not need this program's source."""
    logged = Logged("error").tell(
        HoldChanged("account", "default", active=True, reason="401: allow this address", code=401),
        EventsLost(("calls.requests", 4), 10, 15),
    )
    hold, lost = logged.lines()
    assert (hold["name"], hold["reason"], hold["code"]) == (
        "default",
        "401: allow this address",
        401,
    )
    assert hold["action"]
    assert (lost["topic"], lost["partition"], lost["count"]) == ("calls.requests", 4, 5)
    assert "retention" in lost["action"]


def test_a_flood_of_refused_events_is_a_few_lines_and_a_count() -> None:
    """A bad deployment upstream would fill the disk at the speed of Kafka."""
    logged = Logged().tell(*[refused()] * 1000)
    assert logged.events() == ["event_refused"] * 5
    logged.now = 1.0
    line = logged.tell(refused()).lines()[-1]
    assert (line["event"], line["suppressed"], line["offset"]) == (
        "event_refused",
        995,
        12_345_678_901,
    )


def test_dead_letters_are_counted_by_reason_once_a_turn() -> None:
    """The counts in the log add up to what is in the topic, however many there are."""
    logged = Logged("warning")
    logged.tell(
        CallsEnded("AbCd1234", "rejected", 20, 0.1), CallsEnded("Zz999999", "rejected", 3, 0.1)
    )
    logged.tell(CallsEnded("Zz999999", "expired", 1, 0.1), refused("oversize"), TURN, TURN)
    (line,) = [line for line in logged.lines() if line["event"] == "dead_letters_written"]
    assert (line["count"], line["reasons"]) == (25, {"rejected": 23, "expired": 1, "oversize": 1})


def test_no_dead_letter_is_left_uncounted_at_the_end() -> None:
    """Turns come faster than lines may; the last ones must not be forgotten at a stop."""
    logged = Logged("warning")
    for _ in range(100):
        logged.tell(CallsEnded("AbCd1234", "rejected", 2, 0.1), TURN)
    assert len(logged.lines()) == 1
    logged.logs.stopped()
    assert sum(line["count"] for line in logged.lines()) == 200


def test_a_broker_that_stays_away_is_a_line_now_and_then() -> None:
    """It is asked again every second, by each lane, for hours."""
    logged = Logged()
    for second in range(60):
        logged.now = float(second)
        logged.tell(Trouble("lane 0", "the broker is away"), Trouble("commit", "no answer"))
    assert len(logged.lines()) == 12
    assert {line["suppressed"] for line in logged.lines()} == {0, 9}


def test_start_and_stop_are_told_without_the_endpoints_path() -> None:
    """A log begins with what runs, and against which host."""
    logged = Logged()
    logged.logs.started(logged.settings, "http://127.0.0.1:8080")
    logged.logs.stopped()
    started, stopped = logged.lines()
    assert (started["event"], started["http"], started["provider_host"]) == (
        "started",
        "http://127.0.0.1:8080",
        HOST,
    )
    assert stopped["event"] == "stopped"


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_secret_and_no_number_leaves_whoever_logs_it(form: str) -> None:
    """A log is copied to where neither customers' numbers nor the account's key may be."""
    logged = Logged("debug", form)
    number = "919876543210"
    leak = f"refused {number} of {SECURITY_ID}, {FLOW_SECURITY_ID} or {TOKEN}"
    logged.tell(refused(message=leak), Trouble("read", leak), LaneChanged(0, "fenced", leak))
    logged.tell(RequestEnded(BATCH, "AbCd1234", 1, 1, "205", 0.1, leak))
    library = logging.getLogger("aiokafka.conn")
    library.warning("answer %s %r", leak, {leak: [leak.encode()]})
    library.error("broken %d", leak)
    error = ValueError(leak)
    error.__cause__ = KeyError(leak)
    logging.getLogger("asyncio").error("task failed: %s", leak, exc_info=error)
    text = logged.text()
    assert "ValueError: refused [number] of" in text
    assert "direct cause" in text
    for secret in (number, SECURITY_ID, FLOW_SECURITY_ID, TOKEN):
        assert secret not in text
    assert text.count("********") >= 10


def test_a_line_that_cannot_be_made_names_its_logger_only() -> None:
    """The standard library would print the arguments of such a line as they are."""
    logged = Logged()
    logging.getLogger("aiohttp.client").error("broken %d", SECURITY_ID)
    (line,) = logged.lines()
    assert line == {"event": "log_line_failed", "logger": "aiohttp.client"}


def test_libraries_speak_through_the_same_lines_and_only_when_it_matters() -> None:
    """Kafka's client tells of each heartbeat; its warnings belong in the same log as ours."""
    logged = Logged("debug")
    logging.getLogger("aiokafka.cluster").info("Heartbeat")
    logging.getLogger("aiohttp.access").info("GET /metrics")
    logging.getLogger("aiokafka.cluster").warning("Topic %s is not available", "calls.requests")
    (line,) = logged.lines()
    assert line["event"] == "library_message"
    assert line["logger"] == "aiokafka.cluster"
    assert line["message"] == "Topic calls.requests is not available"


def test_the_console_form_is_for_people() -> None:
    """A developer's terminal shows the same names, without JSON's noise."""
    text = Logged(form="console").tell(LaneChanged(3, "owned")).text()
    assert "lane_owned" in text
    assert "lane=3" in text
    assert "\x1b" not in text
