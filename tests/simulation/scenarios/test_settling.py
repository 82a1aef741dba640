"""Acceptances amid a backlog of many flows are settled together, and whatever else came at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from service.core.checkpoint import Stage
from service.core.verdicts import Answer, Attempt, End, NoAnswer, Response
from service.pipeline.landings import SETTLE_SECONDS, Landings
from service.twin.faults import Rule
from tests.simulation.loop import VirtualLoop
from tests.simulation.scenarios import stage as scenes

CONCURRENCY = 16
QUICK = {"latency-ms-min": 5, "latency-ms-max": 5}
UNLIMITED = {"provider": {"calls_per_minute": 10_000_000, "concurrency": CONCURRENCY}}
DOUBT = Attempt(End.DOUBTFUL, 500, 1)
LATER_SECONDS, SLOW_SECONDS = 2.0, 20.0


async def proven(stage: scenes.Stage) -> None:
    """The account takes calls: more than one batch at a time may fly."""
    await stage.all_ended(stage.publish("Flow0000"))


def test_an_acceptance_does_not_wait_for_an_answer_that_never_comes() -> None:
    """Its results would come as late as the slowest answer of the moment."""
    quick = [f"Fast{number:04d}" for number in range(400)]
    later = [f"Late{number:04d}" for number in range(5)]
    slow = [f"Slow{number:04d}" for number in range(400)]

    async def course(stage: scenes.Stage) -> None:
        await proven(stage)
        stage.trouble(
            *(Rule(flow=flow_id, delay_seconds=LATER_SECONDS) for flow_id in later),
            *(Rule(flow=flow_id, delay_seconds=SLOW_SECONDS) for flow_id in slow),
        )
        for flow_id in quick + later + slow:
            stage.publish(flow_id)
        await stage.all_ended([source for flow_id in later for source in stage.of(flow_id)])
        stage.trouble()
        await stage.all_ended(list(stage.flow_of))

    stage = scenes.play(course, switches=QUICK, settings=UNLIMITED)
    waits = stage.latencies([source for flow_id in later for source in stage.of(flow_id)])
    assert len(waits) == len(later)
    assert waits[-1] < SLOW_SECONDS / 2


def body(code: int) -> bytes:
    """An answer with this code."""
    return b'{"api-response-code": "%d", "request-id": "r"}' % code


@pytest.mark.parametrize(
    ("answer", "otherwise", "at_once"),
    [
        (Response(200, body(202)), {}, False),
        (Response(200, body(401)), {}, True),
        (Response(429, b""), {}, True),
        (Response(429, body(202)), {}, True),
        (NoAnswer("timeout"), {}, True),
        (Response(200, body(202)), {"supplied": False}, True),
        (Response(200, body(202)), {"proven": set()}, True),
        (Response(200, body(202)), {"proving": {"Flow0001"}}, True),
        (Response(200, body(202)), {"holds": {"Flow0001"}}, True),
        (Response(200, body(202)), {"cancels": {"c1"}}, True),
        (Response(200, body(202)), {"attempts": (DOUBT,)}, True),
        (Response(200, body(202)), {"stage": Stage.HALF}, True),
    ],
)
def test_only_an_acceptance_on_which_nothing_depends_waits(
    answer: Answer, otherwise: dict[str, Any], *, at_once: bool
) -> None:
    """A refusal heard late would cost whatever is sent until then; and nothing is forgotten."""
    known = {"supplied": True, "proven": {"default"}, "proving": set(), "holds": set()}
    known |= {"cancels": set(), "attempts": (), "stage": Stage.NONE} | otherwise
    settled: list[Answer] = []

    async def main() -> None:
        state: Any = SimpleNamespace(**known)
        batch: Any = SimpleNamespace(account="default", saved=state)
        landings = Landings(state, CONCURRENCY, lambda _, answer, *__: settled.append(answer))
        waits = landings.add((batch, answer, 0.1, 0.0), may_wait=bool(known["supplied"]))
        assert (bool(settled), waits) == (at_once, not at_once)
        assert landings.due_in() == (None if at_once else pytest.approx(SETTLE_SECONDS, abs=1e-3))
        landings.settle()
        assert settled == [answer]
        assert landings.due_in() is None

    VirtualLoop().run(main())  # type: ignore[abstract]


def test_no_more_than_some_wait_and_none_overtakes_another() -> None:
    """A flight's outcome must not be later than a refusal that came after it."""
    state: Any = SimpleNamespace(
        proven={"default"}, proving=set(), holds=set(), cancels=set(), attempts=(), stage=Stage.NONE
    )
    batch: Any = SimpleNamespace(account="default", saved=state)
    taken, refused = Response(200, body(202)), Response(200, body(401))
    settled: list[Answer] = []

    async def main() -> None:
        landings = Landings(state, 3, lambda _, answer, *__: settled.append(answer))
        told = [landings.add((batch, taken, 0.1, 0.0), may_wait=True) for _ in range(3)]
        assert (told, settled) == ([True, False, False], [taken] * 3)
        landings.add((batch, taken, 0.1, 0.0), may_wait=True)
        landings.add((batch, refused, 0.1, 0.0), may_wait=True)
        assert settled[3:] == [taken, refused]

    VirtualLoop().run(main())  # type: ignore[abstract]
