"""`audit` beside a running dispatcher, and against what the provider's twin says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.dispatcher import Scene, call, kill, scene

CREATE: dict[str, Any] = {"create_topics": True}


async def audited(stage: Scene, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report."""
    code, said = await stage.command("audit", *arguments, "--output", "json")
    return code, json.loads(said[said.index("{") :])


@pytest.mark.timeout(300)
async def test_no_alarm_while_calls_are_dispatched_parked_and_recovered(kafka: str) -> None:
    """Whoever is woken for nothing switches the audit off."""
    async with scene(kafka, "--latency-ms", "300", partitions=3, kafka=CREATE) as stage:
        dispatcher = await stage.run()
        events = [call(n, f"Flow000{n % 3}") for n in range(6_000)]
        hold = ("--flow", "Flow0001")
        for round_ in range(6):
            await stage.publish(events[1_000 * round_ : 1_000 * (round_ + 1)])
            if round_ % 2:
                assert (await stage.command("holds", "release", *hold))[0] == 0
            else:
                reason = ("--reason", "test", "--wait", "0")
                assert (await stage.command("holds", "set", *hold, *reason))[0] == 0
            code, report = await audited(stage)
            assert code == 0, report
            if round_ == 3:
                await kill(dispatcher)
                dispatcher = await stage.run("successor")
        assert (await stage.settled()).ok
        code, report = await audited(stage)
        assert (code, report["results"]) == (0, 6_000), report
        assert sum(each["count"] for each in report["open"].values()) == 0


async def test_the_twins_ledger_is_compared(kafka: str, tmp_path: Path) -> None:
    """A drill must show that a call was placed twice although its outcome stands there once."""
    async with scene(kafka, kafka=CREATE) as stage:
        await stage.run()
        await stage.publish([call(n) for n in range(30)])
        await stage.publish([call(30, contact_numbers=["1"])], "invalid")
        await stage.settled()
        code, report = await audited(stage, "--against", stage.url)
        assert (code, report["against"]["calls"]) == (0, 30), report
        seen = [
            {"flow-id": "Flow0000", "client-identifier": f"customer-{n}", "times": 1 + (n == 7)}
            for n in range(1, 31)
        ]
        ledger = tmp_path / "ledger"
        ledger.write_text("".join(json.dumps(line) + "\n" for line in seen))
        code, report = await audited(stage, "--against", str(ledger))
        assert (code, report["kept"], report["lost"]) == (1, False, 0)
        against = report["against"]
        assert (against["called-too-often"], against["not-called"]) == (2, 1)
        often = " ".join(against["called-too-often-first"])
        assert '"customer-7": the provider took it 2 times' in often
        assert '"customer-30": the provider took it 1 times' in often
        assert '"customer-0"' in against["not-called-first"][0]
        for arguments in ((str(tmp_path / "none"),), (stage.url, "--since", "1h")):
            code, said = await stage.command("audit", "--against", *arguments)
            assert code == 2, said
