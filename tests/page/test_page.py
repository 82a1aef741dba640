"""The page as an operator uses it: one dispatcher for all, so each test has a flow of its own."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from tests.page.browser import DESK, PHONE, SHOWN_MS_MAX, Scheme, chromium, tab
from tests.page.morning import BACKWARDS, HOSTILE, MARKUP, TOKEN, UNKNOWN, Morning, morning, refused
from tests.support.dispatcher import the_lane, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("page")]

expect.set_options(timeout=SHOWN_MS_MAX)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(kafka: str) -> AsyncIterator[Morning]:
    """One dispatcher for all of these tests."""
    async with morning(kafka) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One browser; each tab is a profile of its own."""
    async with chromium() as found:
        yield found


async def until_held(shown: Morning, name: str, *, held: bool = True) -> None:
    """Wait until the lane has obeyed."""

    async def obeyed() -> bool:
        return (name in await shown.held()) is held

    await until(obeyed)


async def search(page: Page, token: str = TOKEN, **fields: str) -> None:
    """Fill in the search and give the token if it is asked for."""
    form = page.locator("#letters-form")
    for name, value in fields.items():
        await form.locator(f"[name={name}]").fill(value)
    await form.get_by_role("button", name="Search").click()
    await page.get_by_label("Operators' token").fill(token)
    await page.get_by_role("dialog").get_by_role("button", name="Search").click()


async def test_the_state_is_told_with_what_to_do(shown: Morning, browser: Browser) -> None:
    """Who is woken at night must see what stands still, why, and what cures it."""
    async with tab(browser, shown.address) as opened:
        page = opened.page
        hold = page.locator(".hold").filter(has_text=f"Flow {UNKNOWN}")
        await expect(hold).to_contain_text("Repair the cause and wait")
        await expect(page.locator("#state")).to_contain_text("held")
        await expect(page.get_by_role("table", name="Lanes")).to_contain_text("this replica")
        letters = page.get_by_role("img", name="Dead letters")
        await expect(letters).to_have_attribute("aria-label", "Dead letters: rejected 6, invalid 2")
        calls = page.get_by_role("img", name="Calls in the last minute")
        await expect(calls.locator(".limit")).to_have_count(1)


async def test_a_flow_is_held_and_released_by_keyboard_alone(
    shown: Morning, browser: Browser
) -> None:
    """Whoever cannot use a mouse, or has none at hand, must be able to stop a campaign."""
    async with tab(browser, shown.address) as opened:
        page, keys = opened.page, opened.page.keyboard
        await press_until(page, "flow-name")
        await keys.type("Keys0001")
        await keys.press("Enter")
        await keys.type("wrong list")
        await keys.press("Tab")
        await keys.type(TOKEN)
        await keys.press("Enter")
        await until_held(shown, "Keys0001")
        await expect(page.locator(".hold").filter(has_text="Flow Keys0001")).to_be_visible()
        assert (await shown.held())["Keys0001"] == "wrong list"
        await page.locator("#main").focus()
        await press_until(page, "Release Flow Keys0001")
        await keys.press("Enter")
        await keys.press("Tab")
        await press_until(page, "dialog-do")
        await keys.press("Enter")
        await until_held(shown, "Keys0001", held=False)
        await expect(page.locator(".hold").filter(has_text="Flow Keys0001")).to_have_count(0)


async def press_until(page: Page, name: str) -> None:
    """Press Tab until the element of that id or label has the focus."""
    focused = "document.activeElement.id || document.activeElement.getAttribute('aria-label')"
    for _ in range(60):
        if await page.evaluate(focused) == name:
            return
        await page.keyboard.press("Tab")
    pytest.fail(f"no way to {name} by keyboard")


async def test_a_name_that_is_markup_stays_text(shown: Morning, browser: Browser) -> None:
    """Upstream chooses identifiers, and an operator any reason: neither may run in this page."""
    body = {"scope": "flow", "name": "Evil0001", "reason": MARKUP}
    assert await shown.order("POST", "/holds", body) == 202
    await until_held(shown, "Evil0001")
    async with tab(browser, shown.address) as opened:
        page = opened.page
        await expect(page.locator(".hold").filter(has_text=MARKUP)).to_be_visible()
        await search(page, since="1h")
        rows = page.get_by_role("table", name="The newest dead letters").locator("tbody tr")
        await expect(rows).to_have_count(len(HOSTILE) + 2)
        await expect(rows.filter(has_text=MARKUP)).to_have_count(1)
        await expect(rows.filter(has_text="(10,000 characters)")).to_have_count(1)
        await expect(rows.locator("bdi").filter(has_text=BACKWARDS)).to_have_count(1)
        assert await page.locator("main img").count() == 0
        assert await page.title() == "call-dispatcher"
        assert "9812345678" not in await page.content()
    assert await shown.order("DELETE", "/holds/flow/Evil0001") == 202


async def test_a_search_finds_what_is_asked_for(shown: Morning, browser: Browser) -> None:
    """Which of them, and why: the first question about a thousand dead letters."""
    async with tab(browser, shown.address, expects_refusals=True) as opened:
        page = opened.page
        await page.locator("[name=reason]").select_option("invalid")
        await search(page, since="1h")
        await expect(page.locator("#letters")).to_contain_text("2 dead letters")
        await page.locator("[name=reason]").select_option("expired")
        await page.get_by_role("button", name="Search").click()
        await expect(page.locator("#letters")).to_contain_text("No dead letters")
        await page.locator("[name=since]").fill("--output=csv")
        await page.get_by_role("button", name="Search").click()
        await expect(page.locator("#letters .error")).to_contain_text("--since")


async def test_calls_are_cancelled_only_by_who_typed_their_flow(
    shown: Morning, browser: Browser
) -> None:
    """One slip of the finger must not throw away a campaign."""
    async with tab(browser, shown.address) as opened:
        page = opened.page
        await page.get_by_label("One flow, all lanes").fill("Gone0001")
        await page.get_by_role("button", name="Cancel its calls").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Why?").fill("wrong list")
        await dialog.get_by_label("Operators' token").fill(TOKEN)
        await dialog.get_by_role("button", name="Cancel these calls").click()
        await expect(dialog.locator(".error")).to_contain_text("Type Gone0001")
        await dialog.get_by_label("Type Gone0001").fill("Gone0001")
        await dialog.get_by_role("button", name="Cancel these calls").click()
        await expect(page.locator("#said")).to_contain_text("Written as page-")


async def test_the_limit_is_changed_and_reset(shown: Morning, browser: Browser) -> None:
    """The provider asks for less at night, and the next deployment is hours away."""

    async def limit_is(wanted: int) -> None:
        async def reached() -> bool:
            return bool((await the_lane(shown.dispatcher))["calls-per-minute"] == wanted)

        await until(reached)

    configured = (await the_lane(shown.dispatcher))["calls-per-minute"]
    async with tab(browser, shown.address) as opened:
        page = opened.page
        dialog = page.get_by_role("dialog")
        await page.get_by_label("Calls a minute, all lanes").fill("6,000")
        await page.get_by_role("button", name="Set limit").click()
        await dialog.get_by_label("Why?").fill("they asked for less")
        await dialog.get_by_label("Operators' token").fill(TOKEN)
        await dialog.get_by_role("button", name="Set the limit").click()
        await limit_is(6000)
        await expect(page.locator("#tiles")).to_contain_text("of the limit of 6,000")
        await page.get_by_role("button", name="Back to the configured").click()
        await dialog.get_by_role("button", name="Reset the limit").click()
        await limit_is(configured)


async def test_without_the_token_nothing_changes(shown: Morning, browser: Browser) -> None:
    """The page is open to all who reach it, and must be good for nothing but looking."""
    async with tab(browser, shown.address, expects_refusals=True) as opened:
        page = opened.page
        await search(page, token="not-the-token-at-all")
        error = page.get_by_role("dialog").locator(".error")
        await expect(error).to_contain_text("not the operators' token")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        kept = "JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])"
        assert await page.evaluate(kept) == '["",{},{}]'


async def violations(page: Page) -> list[tuple[str, str]]:
    """What axe finds: the rule, and the first element that breaks it."""
    results = (await Axe().run(page)).response
    return [(each["id"], each["nodes"][0]["html"]) for each in results["violations"]]


async def test_it_is_usable_by_all(shown: Morning, browser: Browser) -> None:
    """Contrast, names, roles: what axe finds keeps somebody from working; so does scrolling."""
    schemes: tuple[Scheme, ...] = ("light", "dark")
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    async with tab(browser, shown.address) as opened:
        page = opened.page
        await search(page, since="1h")
        await expect(page.get_by_role("table", name="The newest dead letters")).to_be_visible()
        for scheme, (width, height) in itertools.product(schemes, (DESK, PHONE)):
            await page.emulate_media(color_scheme=scheme)
            await page.set_viewport_size({"width": width, "height": height})
            assert await violations(page) == [], (scheme, width)
            assert await page.evaluate(wide) == 0
            await page.get_by_role("button", name="Hold everything").click()
            assert await violations(page) == [], (scheme, width)
            await page.keyboard.press("Escape")


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}]
)
async def test_another_sites_page_cannot_command(shown: Morning, headers: dict[str, str]) -> None:
    """Even with a token that leaked: an operator's browser is inside the network, theirs not."""
    headers = {"Authorization": f"Bearer {TOKEN}", **headers}
    for path in ("/holds", "/page/dead-letters"):
        async with (
            aiohttp.ClientSession() as session,
            session.post(shown.address + path, json={}, headers=headers) as answer,
        ):
            assert answer.status == 403
            assert "another site" in json.loads(await answer.text())["error"]


async def test_files_of_other_names_are_not_served(shown: Morning) -> None:
    """A path that climbs must not show the configuration, where secrets may stand."""
    async with aiohttp.ClientSession() as session:
        for name in ("nowhere.js", "..%2f..%2fpyproject.toml", "%2e%2e/__init__.py"):
            async with session.get(f"{shown.address}/page/{name}") as answer:
                assert answer.status == 404
        async with session.get(f"{shown.address}/") as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "unsafe" not in policy
            assert policy.startswith("default-src 'none'")
            assert answer.headers["Cache-Control"] == "no-store"


async def test_a_replay_is_planned_stopped_and_resumed(shown: Morning, browser: Browser) -> None:
    """After the cause is repaired the morning's calls must go out, each once, and be seen to."""
    again = [refused(number, f"again-{number}") for number in range(100, 194)]
    fresh = {each.source for each in await shown.stage.publish(again, "rejected")}

    async def failed() -> bool:
        await shown.stage.outcomes.read_to_end()
        return fresh <= {each.source for each in shown.stage.outcomes.found}

    await until(failed)
    placed = (await shown.stage.twin.summary()).calls_accepted
    await shown.stage.twin.program({"switches": {"refused": []}})
    async with tab(browser, shown.address) as opened:
        page = opened.page
        dialog = page.get_by_role("dialog")
        row = page.get_by_role("table", name="Replays").locator("tbody tr")
        await page.locator("[name=reason]").select_option("rejected")
        await search(page, since="1h")
        await page.get_by_role("button", name="Plan a replay").click()
        said = page.get_by_label("The plan")
        await expect(said).to_contain_text("100 of 100 dead letters would be sent again")
        await page.get_by_label("Events a second").fill("2")
        await page.get_by_role("button", name="Send 100 again").click()
        await dialog.get_by_role("button", name="Send").click()
        await row.get_by_role("button", name="Stop").click()
        await dialog.get_by_role("button", name="Stop it").click()
        await expect(row).to_contain_text("interrupted")
        await row.get_by_role("button", name="Resume").click()
        await dialog.get_by_role("button", name="Send").click()
        await expect(row).to_contain_text("100 of 100")
        await expect(row).to_contain_text("done")
    await shown.stage.placed_calls(placed + 100)
    assert (await shown.stage.twin.summary()).calls_accepted == placed + 100
