"""`make screenshots`: a real dispatcher under a real load, as pictures for the README.

Knows nothing of the page but its address: what is in the pictures has happened.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from pathlib import Path

from playwright.async_api import Browser

from service.demo.stage import Stage
from tests.page.browser import DESK, PHONE, Scheme, chromium, tab
from tests.page.morning import BUSY, FLOW, TOKEN, UNKNOWN, Morning
from tests.page.morning import TWIN as REFUSING
from tests.support.dispatcher import Scene, call, scene

LIMIT = 6000
WAVE_SECONDS = 10
IMAGES = Path(__file__).parents[2] / "docs" / "images"
PICTURES: tuple[tuple[str, tuple[int, int], Scheme, int], ...] = (
    ("page-light", DESK, "light", 1040),
    ("page-dark", DESK, "dark", 1040),
    ("page-phone", PHONE, "light", 1100),
)
"""Name, window, scheme, and how much of the page is shown, in pixels."""


async def main(minutes: float) -> None:
    """Let a campaign run for so long, and take the pictures."""
    http, provider = {"port": 0, "token": TOKEN}, {"calls_per_minute": LIMIT}
    async with Stage("pictures") as kafka:
        await kafka.start_kafka()
        async with (
            scene(kafka.bootstrap, *REFUSING, http=http, provider=provider) as stage,
            chromium() as browser,
        ):
            found = Morning(stage, await stage.run())
            await _campaign(found.stage, minutes)
            hold = {"scope": "flow", "name": BUSY, "reason": "wrong list: the shop asked to stop"}
            assert await found.order("POST", "/holds", hold) == 202
            await _wave(stage, random.Random(1), 900, 1)
            await asyncio.sleep(WAVE_SECONDS)
            IMAGES.mkdir(parents=True, exist_ok=True)
            for name, (width, _), scheme, height in PICTURES:
                async with tab(browser, found.address, (width, height), scheme) as opened:
                    await opened.page.screenshot(path=IMAGES / f"{name}.png")
            await _found(browser, found.address)


async def _campaign(stage: Scene, minutes: float) -> None:
    """Waves of calls, more than the limit at first and less in the end."""
    chance = random.Random(0)
    waves = int(minutes * 60 / WAVE_SECONDS)
    for number in range(waves):
        share = 1.5 if number < waves * 0.45 else 0.55
        await _wave(stage, chance, int(LIMIT / 60 * WAVE_SECONDS * share), number)
        await asyncio.sleep(WAVE_SECONDS)


async def _wave(stage: Scene, chance: random.Random, size: int, wave: int) -> None:
    events = []
    for number in range(wave * 10_000, wave * 10_000 + size):
        flow = chance.choices((FLOW, BUSY, UNKNOWN), (80, 19, 1 if wave > 3 else 0))[0]
        ending = "777" if chance.random() < 0.01 else f"{number % 700:03d}"
        numbers = [f"98{number % 100_000:05d}{ending}"]
        events.append(call(number, flow, contact_numbers=numbers))
    await stage.publish(events)
    await stage.publish_malformed([b"{"] * chance.choice((0, 0, 1, 2)))


async def _found(browser: Browser, address: str) -> None:
    """A picture of what a search finds."""
    async with tab(browser, address) as opened:
        page = opened.page
        form = page.locator("#letters-form")
        await form.locator("[name=since]").fill("1h")
        await form.get_by_role("button", name="Search").click()
        await page.get_by_label("Operators' token").fill(TOKEN)
        await page.get_by_role("dialog").get_by_role("button", name="Search").click()
        await page.get_by_role("table", name="The newest dead letters").wait_for()
        await page.locator("section").last.screenshot(path=IMAGES / "page-search.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make screenshots")
    parser.add_argument("--minutes", type=float, default=15.0)
    asyncio.run(main(parser.parse_args().minutes))
