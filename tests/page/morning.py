"""The state that the page is looked at in: calls placed, refused, held; names that mean harm.

Knows nothing of browsers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from service.demo.stage import Dispatcher
from tests.support.dispatcher import Scene, call, scene, the_lane, until

TOKEN = "token-of-the-operators"
FLOW, UNKNOWN, BUSY = "Flow0000", "NoSuch01", "Flow0001"
MARKUP = "<img src=x onerror=\"document.title='broken in'\">"
BACKWARDS = "\u202egnp.exe"
LONG = "long" * 2500
HOSTILE = (MARKUP, BACKWARDS, LONG, "'; DROP TABLE calls; --", "=HYPERLINK(1)", "9812345678")
TWIN = (
    *("--refuse", "205:number-ending=777", "--switch", "refuse-as=entries"),
    *("--switch", f"flows={FLOW},{BUSY}"),
)


@dataclass(frozen=True, slots=True)
class Morning:
    """A dispatcher that has something to show."""

    stage: Scene
    dispatcher: Dispatcher

    @property
    def address(self) -> str:
        """Of its page."""
        return self.dispatcher.address

    async def order(self, method: str, path: str, body: object = None) -> int:
        """One command with the token; the status of the answer."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.address + path, json=body, headers=headers) as answer,
        ):
            return answer.status

    async def held(self) -> dict[str, str]:
        """The reasons of its lane's holds, by name."""
        lane = await the_lane(self.dispatcher)
        return {hold["name"]: hold["reason"] for hold in lane.get("holds", ())}


def refused(number: int, identifier: str) -> dict[str, object]:
    """A call that the provider refuses."""
    number_text = f"98{number:05d}777"
    return call(number, FLOW, client_identifier=identifier, contact_numbers=[number_text])


@asynccontextmanager
async def morning(kafka: str) -> AsyncIterator[Morning]:
    """A dispatcher with placed calls, dead letters of hostile names, and a hold of the provider."""
    http, never = {"port": 0, "token": TOKEN}, {"flood_share": 1}
    async with scene(kafka, *TWIN, http=http, dead_letters=never) as stage:
        dispatcher = await stage.run()
        found = Morning(stage, dispatcher)
        await stage.publish([call(number, FLOW) for number in range(60)])
        await stage.publish([refused(n, name) for n, name in enumerate(HOSTILE)], "rejected")
        await stage.publish_malformed([b"{", b"[]"])
        await stage.settled()
        await stage.publish([call(number, UNKNOWN) for number in range(100, 105)])

        async def holds() -> bool:
            return UNKNOWN in await found.held()

        await until(holds)
        yield found
