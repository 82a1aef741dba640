"""Prometheus, Alertmanager and a webhook, as in production but in a hurry.

Knows nothing of dispatchers but the address that is scraped, nor of what its alerts mean.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from service.demo.ports import free_ports
from tests.alerts.rules import hastened
from tests.support.watching import watching

TIMES = 30
"""So many times shorter are all windows: a quarter of an hour takes half a minute."""
STATE_SECONDS_MAX = 180.0
POLL_SECONDS = 0.2
ALERTMANAGER: dict[str, Any] = {
    "route": {
        "receiver": "hook",
        "group_by": ["..."],
        "group_wait": "0s",
        "group_interval": "1s",
    },
    "receivers": [{"name": "hook"}],
}


class Chain:
    """From `target` (host and port of a metrics page) to `said`, which the webhook was told."""

    def __init__(self, folder: Path, target: str) -> None:
        self.said: list[tuple[str, str, str]] = []
        """Status, alert's name and summary, in the order of arrival."""
        self._folder = folder
        self._target = target
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        (self._folder / "rules.yaml").write_text(hastened(TIMES))
        prometheus, manager = free_ports(2)
        watched = watching(
            self._folder,
            lambda *said: self.said.append(said[:3]),
            prometheus=_prometheus(self._target),
            alertmanager=ALERTMANAGER,
            ports=(prometheus, manager),
        )
        await self._exits.enter_async_context(watched)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exits.aclose()

    async def told(self, status: str, *alerts: str) -> None:
        """Return once the last word on each of these alerts is `status`.

        Raises:
            TimeoutError: that did not come to pass.
        """
        async with asyncio.timeout(STATE_SECONDS_MAX):
            while not all(self._last(alert) == status for alert in alerts):  # noqa: ASYNC110 - Alertmanager tells in its own time
                await asyncio.sleep(POLL_SECONDS)

    def _last(self, alert: str) -> str | None:
        states = [status for status, name, _ in self.said if name == alert]
        return states[-1] if states else None


def _prometheus(target: str) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {"job_name": "call-dispatcher", "static_configs": [{"targets": [target]}]}
        ],
    }
