"""Values that the tests of metrics, logs and the web server share."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from service.adapters.metrics import Metrics
from service.adapters.web import WebServer
from service.core.status import FlowStatus, HoldStatus, LaneStatus, PartitionStatus, Status
from service.settings import Settings

SECURITY_ID = "Ab1" * 21 + "x"
FLOW_SECURITY_ID = "Cd2" * 21 + "y"
TOKEN = "token-of-the-operators"
HOST = "api.example.com"


def settings_of(**sections: Any) -> Settings:
    """Valid settings with these sections; they listen on a free port."""
    provider = {
        "url": f"https://{HOST}/kairos-apis/outbound/create",
        "security_id": SECURITY_ID,
        **sections.pop("provider", {}),
    }
    http = {"port": 0, "token": TOKEN, **sections.pop("http", {})}
    return Settings.model_validate({"provider": provider, "http": http, **sections})


def hold_of(scope: str = "flow", name: str = "AbCd1234") -> HoldStatus:
    """A hold that the provider's code 301 caused."""
    return HoldStatus(scope, name, "301: check [the flow's id]", 1_795_390_812_345, 301, 2, 90.0)


def lane_of(lane: int = 0, **members: Any) -> LaneStatus:
    """A lane at work."""
    values: dict[str, Any] = {
        "lane": lane,
        "state": "owned",
        "turn": 1234,
        "open_batches": 3,
        "waiting_calls": 1500,
        "held_events": 3000,
        "held_bytes": 900_000,
        "in_flight": 2,
        "calls_in_window": 7500,
        "calls_per_minute": 15_000,
        "requests_per_minute": 15_000,
        "partitions": (PartitionStatus("calls.requests", lane, 100, 142, 42),),
        "oldest_event_age_seconds": 12.5,
        "flows": (FlowStatus("AbCd1234", 1500),),
        "checkpoint_bytes": 4321,
    }
    return LaneStatus(**{**values, **members})


def status_of(*lanes: LaneStatus, **members: Any) -> Status:
    """A process that is well."""
    values: dict[str, Any] = {
        "version": "0.1.0",
        "ready": True,
        "draining": False,
        "joined": True,
        "standby": not lanes,
        "owner": "0123456789abcdef",
        "group_id": "call-dispatcher",
        "profile": "bulk",
        "url_host": HOST,
        "limit_scope": "lane",
        "lanes": lanes,
    }
    return Status(**{**values, **members})


WELL = status_of(lane_of(), lane_of(1, holds=(hold_of(),), state="owned"))


@contextlib.asynccontextmanager
async def served(
    status: Status | Callable[[], Status] = WELL, host: str = "127.0.0.1"
) -> AsyncIterator[str]:
    """A server on a free port that shows `status`; its address."""
    settings = settings_of(
        http={"host": host}, flows={"AbCd1234": {"security_id": FLOW_SECURITY_ID}}
    )
    registry = CollectorRegistry()
    snapshot = status if callable(status) else lambda: status
    Metrics(registry, settings).observe(snapshot)
    server = WebServer(settings, snapshot, registry)
    await server.start()
    try:
        yield server.address
    finally:
        await server.stop()


class Got:
    """One answer."""

    def __init__(self, response: aiohttp.ClientResponse, text: str) -> None:
        self.status, self.headers, self.text = response.status, response.headers, text

    @property
    def json(self) -> Any:
        """Its body, decoded."""
        return json.loads(self.text)


async def get(url: str, accept: str = "*/*", method: str = "GET") -> Got:
    """One request on a connection of its own."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers={"Accept": accept}) as response,
    ):
        return Got(response, await response.text())
