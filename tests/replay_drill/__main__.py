"""`python -m tests.replay_drill`: that a night's dead letters are sent again, each once.

The last line is JSON. Exits with 1 if something was sent twice or not at all, an outcome is
missing, or live traffic had to wait. Knows nothing of what is played (drill.py).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from service.demo.stage import Stage
from tests.replay_drill.drill import EVENTS, LIVE_P99_RATIO_MAX, Course, Drill, Figures


async def play(course: Course) -> Figures:
    """One drill on a broker of its own, or the one that is given."""
    async with Stage("replay-drill") as stage:
        await stage.start_kafka()
        return await Drill(stage, course, _say).run()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.replay_drill", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help="dead letters")
    parser.add_argument("--rate", type=float, help="events a second of the replay")
    given = parser.parse_args(arguments)
    figures = asyncio.run(play(Course(given.events, given.rate)))
    _say(json.dumps(asdict(figures)))
    return 0 if figures.safe and figures.live_p99_ratio <= LIVE_P99_RATIO_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
