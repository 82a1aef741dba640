"""Plays a group of cases: histories, the fault as long as it lasts, and a provider that is well.

Knows nothing of what is right (table*.py), nor how it is compared (compare.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit, urlunsplit

from service.demo.stage import Dispatcher
from tests.matrix.arena import Arena, arena
from tests.matrix.cases import Case
from tests.matrix.compare import (
    Seen,
    wrong_at_the_provider,
    wrong_finally,
    wrong_meanwhile,
)
from tests.matrix.script import before_the_kill, the_faults, until_the_kill
from tests.matrix.words import CALLS
from tests.support.dispatcher import kill, log_lines, until

LOOK_SECONDS = 3.0
PATIENCE_SECONDS = 50.0
"""The third canary of a hold comes 20 s after the second, and machines are slow."""
UNREACHABLE_SECONDS = 6.0
FIRST_ATTEMPT_SECONDS_MAX = 10.0
"""Time for all first attempts to be under way at once; a successor waits for as long."""
NO_RETRY = {"backoff_seconds": 3600, "backoff_max_seconds": 3600}
"""So that nothing goes out again before the kill."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A case that came out otherwise than the table demands."""

    case: Case
    when: str
    why: str
    seen: Seen

    def __str__(self) -> str:
        return (
            f"{self.case.name}: {self.when}: {self.why}\n"
            f"  rule      {self.case.page}\n"
            f"  expected  {self.case.expected}\n"
            f"  came      {self.seen}\n"
            f"  again     make matrix ARGS='{self.case.name}'"
        )


async def play(
    kafka: str, cases: Sequence[Case], patience_seconds: float = PATIENCE_SECONDS
) -> list[Wrong]:
    """Play cases of one profile and group on the broker `kafka`."""
    group, profile = cases[0].group, cases[0].profile
    config = {"provider": {"checksum_confirms": group != "distrust"}}
    async with arena(kafka, profile, cases, **config) as stage:
        stage.patience_seconds = patience_seconds
        return await (unreachable if group == "unreachable" else together)(stage, cases)


async def together(stage: Arena, cases: Sequence[Case]) -> list[Wrong]:
    """All cases of the group at once: a kill, the faults, and then none."""
    taken = [case for case in cases if case.taken]
    if taken:
        await stage.twin.program(until_the_kill(taken))
        await stage.publish(taken)
        patient = {"timeout_seconds": FIRST_ATTEMPT_SECONDS_MAX}
        owner = await stage.start(provider=patient)
        await until(lambda: stage.arrived(taken))
        await kill(owner)
    await stage.twin.program(the_faults(cases))
    await stage.publish([case for case in cases if not case.taken])
    return await _meanwhile_and_finally(stage, cases, await stage.start())


async def unreachable(stage: Arena, cases: Sequence[Case]) -> list[Wrong]:
    """Histories, a kill, then three dispatchers that cannot reach the provider, then one that can.

    What has a history is killed after its first attempt or during it, before a second.
    """
    begun = [case for case in cases if case.history != "first"]
    await stage.twin.program(before_the_kill(begun))
    await stage.publish(begun)
    owner = await stage.start(
        provider={"timeout_seconds": FIRST_ATTEMPT_SECONDS_MAX}, retry=NO_RETRY
    )
    silent = sum(case.taken for case in begun)

    async def all_begun() -> bool:
        return await stage.arrived(begun) and await stage.in_flight(owner) == silent

    await until(all_begun)
    await kill(owner)
    await stage.twin.program([])
    await stage.publish([case for case in cases if case.history == "first"])
    meanwhile: Wrongs = {}
    for url in _nowhere(stage.url):
        running = await stage.start(url)
        await until(partial(_not_sent, running))
        await asyncio.sleep(UNREACHABLE_SECONDS)
        meanwhile |= await _watch(stage, running, cases, wrong_meanwhile)
        await stage.stop(running)
    return await _finally(stage, cases, meanwhile)


def _nowhere(url: str) -> list[str]:
    """No connection, no such host, and no TLS where TLS is expected."""
    twin = urlsplit(url)
    return [
        urlunsplit(twin._replace(netloc="127.0.0.1:1")),
        urlunsplit(twin._replace(scheme="https", netloc="provider.invalid")),
        urlunsplit(twin._replace(scheme="https")),
    ]


async def _not_sent(dispatcher: Dispatcher) -> bool:
    return any(line["cause"] == "not_sent" for line in log_lines(dispatcher, "retry_planned"))


async def _meanwhile_and_finally(
    stage: Arena, cases: Sequence[Case], running: Dispatcher
) -> list[Wrong]:
    meanwhile = await _watch(stage, running, cases, wrong_meanwhile)
    await stage.stop(running)
    await stage.twin.program([])
    return await _finally(stage, cases, meanwhile)


async def _finally(stage: Arena, cases: Sequence[Case], meanwhile: Wrongs) -> list[Wrong]:
    finally_ = await _watch(stage, await stage.start(), cases, wrong_finally)
    seen = dict(zip(cases, await stage.look(None, cases), strict=True))
    at_the_provider = await _at_the_provider(stage, seen)
    found = {
        case: Wrong(case, when, why, moment)
        for when, wrongs in (
            ("at the provider", at_the_provider),
            ("with the provider well again", finally_),
            ("while it lasts", meanwhile),
        )
        for case, (why, moment) in wrongs.items()
    }
    return list(found.values())


Wrongs = dict[Case, tuple[str, Seen]]


async def _watch(
    stage: Arena,
    dispatcher: Dispatcher,
    cases: Sequence[Case],
    compare: Callable[[Case, Seen], str | None],
) -> Wrongs:
    """Wait until nothing is wrong, or nothing changes any more; returns what is wrong then."""
    loop = asyncio.get_running_loop()
    before, changed = -1, loop.time()
    while True:
        seen = await stage.look(dispatcher, cases)
        wrong = {
            case: (why, one)
            for case, one in zip(cases, seen, strict=True)
            if (why := compare(case, one)) is not None
        }
        if len(wrong) != before:
            before, changed = len(wrong), loop.time()
        if not wrong or loop.time() - changed > stage.patience_seconds:
            return wrong
        await asyncio.sleep(LOOK_SECONDS)


async def _at_the_provider(stage: Arena, seen: dict[Case, Seen]) -> Wrongs:
    placed, sizes = await stage.placed(), await stage.first_sizes()
    wrong: Wrongs = {}
    for case, one in seen.items():
        why = wrong_at_the_provider(case, one, placed.get(case.flow_id, {}))
        size = sizes.get(case.flow_id)
        if size != len(CALLS):
            why = f"the first request had {size} calls: the case was not played as it should be"
        if why is not None:
            wrong[case] = (why, one)
    return wrong
