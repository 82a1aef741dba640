"""The demo from its beginning to its end: set the stage, play, stop, judge, tell.

Knows nothing of the command line.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

import click
from rich.console import Console

from service.demo.events import FLOWS, REFUSED_ENDING, plan_events
from service.demo.evidence import Outcomes, TwinPages, as_requests
from service.demo.oracle import verify
from service.demo.play import Play
from service.demo.processes import ProcessFailed
from service.demo.report import Report
from service.demo.screen import Screen
from service.demo.stage import Dispatcher, Stage

TWIN_OPTIONS = (
    # A bad call is refused alone, in a partial success.
    *("--refuse", f"number-ending={REFUSED_ENDING}", "--switch", "refuse-as=entries"),
    *("--latency-ms", "20-80"),
)
RETRY = {"backoff_max_seconds": 4.0}
"""As long as the outage, so that nobody watches a demo that only waits."""


async def run_demo(events: int, seed: int, *, keep: bool) -> bool:
    """Run it all; True if every promise was kept.

    The table and the line of JSON go to standard output, everything else to standard error. With
    `keep` all goes on running afterwards, until SIGINT or SIGTERM.

    Raises:
        DispatcherError: a part of it did not start, or went away.
    """
    async with Stage("demo") as stage:
        try:
            kept = await _Demo(stage, events, seed, keep=keep).run()
        except Exception:
            _point_to_logs(stage)
            raise
        if not kept:
            _point_to_logs(stage)
        return kept


def _point_to_logs(stage: Stage) -> None:
    stage.keep_logs = True
    click.echo(f"the logs of the twin and the dispatcher are in {stage.directory}", err=True)


class _Demo:
    """One run on a stage."""

    def __init__(self, stage: Stage, events: int, seed: int, *, keep: bool) -> None:
        self._stage = stage
        self._planned = plan_events(events, seed)
        self._keep = keep
        self._trouble: list[str] = []

    async def run(self) -> bool:
        async with AsyncExitStack() as exits:
            with Screen() as screen:
                twin_url, dispatcher = await self._set_up(screen)
                twin = await exits.enter_async_context(TwinPages(twin_url))
                report = await self._play(screen, twin, dispatcher)
            self._tell(report)
            if self._keep:
                await self._linger(twin, dispatcher)
            return report.ok and not self._trouble

    async def _set_up(self, screen: Screen) -> tuple[str, Dispatcher]:
        stage = self._stage
        given = stage.bootstrap
        screen.say(f"connecting to Kafka at {given}" if given else "starting Kafka")
        await stage.start_kafka()
        screen.say("starting the provider's twin and the dispatcher")
        twin_url = await stage.start_twin(*TWIN_OPTIONS)
        return twin_url, await stage.start_dispatcher(twin_url, {"retry": RETRY})

    async def _play(self, screen: Screen, twin: TwinPages, dispatcher: Dispatcher) -> Report:
        stage, topics = self._stage, self._stage.names.topics
        outcomes = Outcomes(stage.bootstrap, topics["results"], topics["dead_letters"])
        await outcomes.start()
        try:
            screen.say(f"publishing {len(self._planned)} events of {len(FLOWS)} flows")
            play = Play(self._planned, outcomes, twin, dispatcher.process, screen.show)
            began = asyncio.get_running_loop().time()
            trouble = await play.run(stage.bootstrap, topics["requests"])
            seconds = asyncio.get_running_loop().time() - began
            self._trouble += [trouble] if trouble else []
            if not self._keep:
                await self._stop(dispatcher)
            screen.say("comparing the provider's ledger and the topics with what was published")
            await outcomes.read_to_end()
        finally:
            await outcomes.stop()
        requests = await twin.requests()
        found = verify(play.published, outcomes.found, await twin.placed(), as_requests(requests))
        return Report(found, await twin.summary(), requests, seconds)

    async def _stop(self, dispatcher: Dispatcher) -> None:
        """Stop it before the comparison, so that nothing is doubled after it."""
        try:
            await dispatcher.stop()
        except ProcessFailed as error:
            self._trouble.append(str(error))

    def _tell(self, report: Report) -> None:
        report.show(Console(highlight=False, soft_wrap=True))
        held = [] if report.limit_held else ["the provider's limit was exceeded"]
        for line in [*self._trouble, *held, *report.offenders()]:
            click.echo(line, err=True)
        click.echo(report.as_json())

    async def _linger(self, twin: TwinPages, dispatcher: Dispatcher) -> None:
        """Leave everything running until a signal comes."""
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        topics = self._stage.names.topics
        for line in (
            "",
            "everything goes on running; look at",
            f"  Kafka       {self._stage.bootstrap}, topics {self._stage.names.prefix}.*",
            f"              events to {topics['requests']}, results in {topics['results']}",
            f"  twin        {twin.address}ledger, {twin.address}ledger/calls",
            f"  dispatcher  {dispatcher.address}/status, {dispatcher.address}/metrics",
            f"  logs        {self._stage.directory}",
            "Ctrl-C stops all of it",
        ):
            click.echo(line, err=True)
        await stop.wait()
        click.echo("stopping", err=True)
