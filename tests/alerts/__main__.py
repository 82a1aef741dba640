"""`python -m tests.alerts`: real faults, and the alerts that a webhook is told of, and their ends.

A dispatcher and the provider's twin run against a real Kafka; Prometheus evaluates the rules with
shorter times, Alertmanager tells the webhook. The last line is JSON; exits with 1 if an alert did
not come or did not go.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.demo.evidence import TwinPages
from service.demo.ports import free_ports
from service.demo.stage import Dispatcher, Stage
from tests.alerts.chain import TIMES, Chain
from tests.alerts.rules import alerts
from tests.support.dispatcher import QUICK, call, merged
from tests.support.kafka import produce

ALERT = "CallDispatcher"
CALLS = 20
MALFORMED = 60
"""More than twenty within a window, whatever Prometheus makes of its edges."""

Act = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Play:
    """What can be done to the dispatcher, and to the provider's twin."""

    stage: Stage
    url: str
    port: int
    twin: TwinPages
    dispatcher: Dispatcher | None = None
    published: int = field(default=0)

    async def start(self) -> None:
        """Start the dispatcher, at the address that is scraped."""
        config = merged(
            QUICK, {"http": {"port": self.port}, "provider": {"checksum_confirms": False}}
        )
        self.dispatcher = await self.stage.start_dispatcher(self.url, config)

    async def kill(self) -> None:
        """End it as a power cut would."""
        assert self.dispatcher is not None
        os.kill(self.dispatcher.process.pid, signal.SIGKILL)
        await self.dispatcher.process.stop(0)

    async def fault(self, name: str, **rule: object) -> None:
        """Let the provider do this from now on, and publish calls that meet it."""
        await self.twin.program({"rules": [{"fault": name, **rule}]})
        await self.publish()

    async def publish(self) -> None:
        """A few good calls."""
        numbers = range(self.published, self.published + CALLS)
        self.published += CALLS
        await self._write([json.dumps(call(number)).encode() for number in numbers])

    async def publish_malformed(self) -> None:
        """Events that nobody can call."""
        await self._write([b"{}"] * MALFORMED)

    async def repair(self) -> None:
        """A provider without faults."""
        await self.twin.program({"rules": []})

    async def nothing(self) -> None:
        """What came to an end by itself."""

    async def _write(self, values: list[bytes]) -> None:
        await produce(self.stage.bootstrap, self.stage.names.topics["requests"], values)


def _scenes(play: Play) -> list[tuple[Act, tuple[str, ...], Act]]:
    """What breaks, the alerts that must come, and what ends them."""

    def fault(name: str, **rule: Any) -> Act:
        return lambda: play.fault(name, **rule)

    return [
        (fault("http-403"), ("NotAllowed", "AccountHeld"), play.repair),
        (fault("code-301"), ("FlowHeld",), play.repair),
        (fault("cut-after", times=1), ("Unconfirmed",), play.repair),
        (play.publish_malformed, ("DeadLetterShare",), play.nothing),
        (play.kill, ("Down", "LaneWithoutOwner"), play.start),
    ]


async def chain() -> tuple[list[str], list[str]]:
    """Plays all scenes; returns the alerts that fired and cleared, and what went wrong."""
    seen: list[str] = []
    async with Stage("alerts") as stage:
        await stage.start_kafka()
        url, (port,) = await stage.start_twin(), free_ports(1)
        async with TwinPages(url) as twin, Chain(stage.directory, f"127.0.0.1:{port}") as hook:
            play = Play(stage, url, port, twin)
            await play.start()
            await play.publish()
            for breaks, expected, mends in _scenes(play):
                names = [ALERT + name for name in expected]
                try:
                    await breaks()
                    await hook.told("firing", *names)
                    await mends()
                    await hook.told("resolved", *names)
                except TimeoutError:
                    return seen, [f"{' and '.join(names)}: only {hook.said} was told"]
                seen += names
                _say(f"fired and cleared: {', '.join(names)}")
            for name in seen:
                summary = next(text for _, alert, text in hook.said if alert == name)
                _say(f"  {name}: {summary}")
    return seen, []


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    """The command; `arguments` holds the number of promtool's tests. Returns its exit code."""
    seen, wrong = asyncio.run(chain())
    for line in wrong:
        _say(line)
    names = {rule["alert"] for rule in alerts()}
    figures = {"alerts": len(names), "unit_tests": int(arguments[0]), "times_shorter": TIMES}
    _say(json.dumps({"ok": not wrong, **figures, "through_the_chain": len(seen)}))
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
