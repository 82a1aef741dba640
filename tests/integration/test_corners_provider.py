"""The provider in all its moods, from outside: what each answer does to calls, flows and pages."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest

from service.demo.evidence import TwinPages
from service.demo.stage import Dispatcher
from tests.support.dispatcher import call, log_lines, page, scene, the_lane, until

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
MINE = {code: f"Acct{code}" + "0123456789" * 5 + "abcdefg" for code in (301, 401, 404, 999)}
"""A security-id for the flow of each trouble, so that each is an account of its own."""
OTHER = "Other" + "0123456789" * 5 + "abcdefghi"


def bad(number: int, flow_id: str = "Flow0000") -> dict[str, Any]:
    """A call that the twin refuses, for its number's last digits."""
    return call(number, flow_id, contact_numbers=[f"98{number:05d}777"])


@pytest.mark.parametrize("profile", ["bulk", "realtime", "dialer"])
async def test_a_partial_success_is_told_call_by_call(kafka: str, profile: str) -> None:
    """One bad number must not take its neighbours along, nor be taken for accepted."""
    refuse = ("--refuse", "205:number-ending=777", "--switch", "refuse-as=entries")
    config: dict[str, Any] = {"provider": {"profile": profile}}
    async with scene(kafka, "--profile", profile, *refuse, **config) as stage:
        named = await stage.publish([bad(1), bad(2)], "rejected")
        await stage.publish([call(number) for number in range(3, 20)])
        dispatcher = await stage.run()
        await stage.settled()
        await stage.twin.program({"switches": {"refuse-as": "left-out"}})
        left_out = await stage.publish([bad(21), bad(22)], "unconfirmed")
        await stage.publish([call(number) for number in range(23, 40)])
        await stage.settled()
        assert not await holds(dispatcher)
        dead, results = await stage.dead_letters(), await stage.results()
        for each in named + left_out:
            headers = {name: value.decode() for name, value in dead[each.source[2]].headers}
            assert UUID(headers["dispatch.request-id"])
            assert headers["dispatch.attempts"] == "1"
            assert headers["dispatch.code"] == ("205" if each in named else "209")
        assert {one["api-response-code"] for one in results.values()} == {209}
        assert {one["confirmation"] for one in results.values()} == {"response"}
        uuids = {one["phonon-uuid"] for one in results.values()}
        assert len(uuids) == len(results) == 34
        assert all(map(UUID, uuids))


async def test_exactly_the_bad_calls_of_refused_batches_are_rejected(kafka: str) -> None:
    """205 names no call: whoever is refused by mistake is never phoned."""
    refuse = ("--refuse", "205:number-ending=777", "--refuse", "402:identifier-pattern=blocked")
    async with scene(kafka, *refuse) as stage:
        good = [call(number, f"Flow000{number % 2}") for number in range(120)]
        wrong = [bad(number, f"Flow000{number % 2}") for number in range(200, 205)]
        blocked = [
            call(number, client_identifier=f"blocked-{number}") for number in range(300, 302)
        ]
        await stage.publish(good[:50])
        refused = await stage.publish(wrong, "rejected")
        refused_too = await stage.publish(blocked, "rejected")
        await stage.publish(good[50:])
        await stage.run()
        await stage.settled()
        dead = await stage.dead_letters()
        codes = [dict(dead[each.source[2]].headers)["dispatch.code"] for each in refused]
        assert codes == [b"205"] * 5
        codes = [dict(dead[each.source[2]].headers)["dispatch.code"] for each in refused_too]
        assert codes == [b"402"] * 2
        # What follows a refusal has bytes of its own, for its checksum may be burnt.
        assert {seen.attempt for seen in await stage.twin.requests()} == {1}


async def test_an_outage_in_the_middle_is_ridden_out_with_the_same_bytes(kafka: str) -> None:
    """A provider that restarts must cost neither a call nor a second one to anybody."""
    config: dict[str, Any] = {"batching": {"calls_max": 10}, "provider": {"concurrency": 4}}
    async with scene(kafka, "--latency-ms", "50", **config) as stage:
        dispatcher = await stage.run()
        await stage.publish([call(number, f"Flow000{number % 3}") for number in range(300)])
        await stage.placed_calls(50)
        faults = ("503", "cut-before", "empty-before", "cut-after", "malformed-after")
        await stage.twin.program([{"fault": name, "times": 2} for name in faults])
        found = await stage.settled()
        assert found.accepted == 300
        seen = await stage.twin.requests()
        struck = [each for each in seen if each.fault]
        assert [each.fault for each in struck] == [name for name in faults for _ in range(2)]
        assert {each.sha256 for each in struck} <= {e.sha256 for e in seen if not e.fault}
        assert (await stage.twin.summary()).exceptions == {}
        results = list((await stage.results()).values())
        confirmed = [one for one in results if one["confirmation"] == "checksum"]
        assert confirmed
        for one in confirmed:
            told = (one["api-response-code"], one["request-id"], one["phonon-uuid"])
            assert told == (201, None, None)
            assert one["attempts"] > 1
        assert log_lines(dispatcher, "retry_planned")


async def test_a_silent_provider_is_given_up_and_its_acceptance_confirmed(kafka: str) -> None:
    """A call that was placed while the answer got lost must not be placed again."""
    async with scene(kafka) as stage:
        await stage.twin.program([{"fault": "silence-after", "attempt": 1}])
        await stage.publish([call(number) for number in range(10)])
        await stage.run()
        await stage.settled()
        results = (await stage.results()).values()
        assert {(one["confirmation"], one["attempts"]) for one in results} == {("checksum", 2)}
        assert len({seen.sha256 for seen in await stage.twin.requests()}) == 1


async def test_troubles_of_accounts_and_flows_hold_them_and_end_by_themselves(kafka: str) -> None:
    """A blocked address or a wrong flow stops just what it must, and buries nothing."""
    flows = {f"Flow0{code}": {"security_id": secret} for code, secret in MINE.items()}
    flows["Flow0000"] = {"security_id": OTHER}
    ids = [part for secret in (OTHER, *MINE.values()) for part in ("--security-id", secret)]
    async with scene(kafka, *ids, flows=flows) as stage:
        await stage.twin.program(
            [
                {"fault": "code-301", "flow": "Flow0301"},
                {"fault": "code-401", "flow": "Flow0401"},
                {"fault": "http-404", "flow": "Flow0404"},
                {"fault": "code-999", "flow": "Flow0999"},
            ]
        )
        dispatcher = await stage.run()
        for code in MINE:
            await stage.publish([call(1000 * code + number, f"Flow0{code}") for number in range(5)])

        async def all_held() -> bool:
            return len(await holds(dispatcher)) == len(MINE)

        await until(all_held)
        status, body = await page(dispatcher, "readyz")
        assert (status, body["ready"], body["reasons"]) == (200, True, [])
        told = {hold["code"]: hold for hold in body["holds"]}
        assert set(told) == {301, 401, None, 999}
        assert (told[301]["scope"], told[301]["name"]) == ("flow", "Flow0301")
        assert {told[code]["scope"] for code in (401, None, 999)} == {"account"}
        text = str(body)
        assert not [secret for secret in MINE.values() if secret in text]
        published = list(stage.published)
        stage.published = await stage.publish([call(number) for number in range(20)])
        await stage.settled()
        stage.published += published
        assert await stage.dead_letters() == {}
        await stage.twin.program([])
        await stage.settled()
        assert not await holds(dispatcher)
        assert len(log_lines(dispatcher, "hold_ended")) == len(MINE)


async def test_a_hold_outlives_a_restart(kafka: str) -> None:
    """A restart in an account's trouble must not throw its backlog at the provider."""
    async with scene(kafka) as stage:
        await stage.twin.program([{"fault": "code-401"}])
        await stage.publish([call(number, f"Flow000{number}") for number in range(5)])
        first = await stage.run()

        await until(lambda: holds(first))
        (before,) = await holds(first)
        await first.process.stop(20)
        second = await stage.run("successor")
        await until(lambda: holds(second))
        (after,) = await holds(second)
        assert (after["code"], after["since"]) == (401, before["since"])
        await stage.twin.program([])
        await stage.settled()
        assert (await stage.twin.summary()).doubled == 0


async def test_a_provider_that_is_not_there_yet_is_awaited(kafka: str) -> None:
    """Deployed before its allow-list or its network, it must wait and say so, not burn attempts."""
    with socket.socket() as taken:
        # Bound and not listening: connections are refused, and nobody else can have the port.
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with scene(kafka) as stage:
            stage.url = re.sub(r":\d+/", f":{port}/", stage.url)
            await stage.publish([call(number) for number in range(10)])
            dispatcher = await stage.run()
            await until(lambda: retried(dispatcher))
            status, body = await page(dispatcher, "readyz")
            (pause,) = body["pauses"]
            assert (status, body["ready"], pause["lane"]) == (200, True, 0)
            assert pause["reason"].startswith("the provider cannot be reached: ")
            assert (await the_lane(dispatcher))["pause"] == pause["reason"]
            assert await stage.dead_letters() == {}
            taken.close()
            url = await stage.stage.start_twin("--port", str(port))
            async with TwinPages(url) as stage.twin:
                await stage.settled()
            assert {one["attempts"] for one in (await stage.results()).values()} == {1}
            assert (await page(dispatcher, "readyz"))[1]["pauses"] == []
            assert "Traceback" not in dispatcher.process.log_file.read_text()


async def holds(dispatcher: Dispatcher) -> list[dict[str, Any]]:
    """The holds of its only lane; none before it has the lane."""
    return list((await the_lane(dispatcher)).get("holds", ()))


async def retried(dispatcher: Dispatcher) -> bool:
    """Whether it says that it tries again because nothing could be sent."""
    return any(line["cause"] == "not_sent" for line in log_lines(dispatcher, "retry_planned"))
