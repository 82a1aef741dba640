"""Opens the page in Debian's Chromium, and notes whatever a browser would complain about.

Knows nothing of what the page shows.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from playwright.async_api import Browser, Page, async_playwright

SHOWN_MS_MAX = 30_000
"""Until something is shown, on a machine that does other things too."""
DESK = (1280, 900)
PHONE = (360, 740)
NOTE_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
"""
Scheme = Literal["light", "dark"]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The browser; it may not ask the network for anything by itself."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"],
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass(slots=True)
class Tab:
    """The page in a profile of its own."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)
    """Errors of scripts and of the console, and violations of the policy."""
    requests: list[str] = field(default_factory=list)
    """Every URL that was asked for."""

    @property
    def elsewhere(self) -> list[str]:
        """Requests that left the dispatcher."""
        return [url for url in self.requests if not url.startswith(f"{self.address}/")]


@asynccontextmanager
async def tab(
    browser: Browser,
    address: str,
    size: tuple[int, int] = DESK,
    scheme: Scheme = "light",
    *,
    expects_refusals: bool = False,
) -> AsyncIterator[Tab]:
    """The page with its first figures shown; at the end nothing may have been complained of.

    `expects_refusals`: Chromium writes each refused request to the console, which is then right.
    """
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        has_touch=size[0] == PHONE[0],
        device_scale_factor=2 if size[0] == PHONE[0] else 1,
    )
    context.set_default_timeout(SHOWN_MS_MAX)
    try:
        page = await context.new_page()
        opened = Tab(page, address)
        page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        page.on(
            "console",
            lambda said: opened.complaints.append(said.text) if said.type == "error" else None,
        )
        page.on("request", lambda request: opened.requests.append(request.url))
        await page.add_init_script(NOTE_VIOLATIONS)
        await page.goto(f"{address}/")
        await page.get_by_text("Sent in the last minute").wait_for()
        yield opened
        refusal = "Failed to load resource: the server responded with a status of 4"
        wrong = [
            said
            for said in opened.complaints
            if not (expects_refusals and said.startswith(refusal))
        ]
        assert wrong == []
        assert opened.elsewhere == []
    finally:
        await context.close()
