"""`python -m tests.simulation`: many seeds over all cores, or one seed with its full trace.

The last line is JSON: `seeds, failed, events, exceptions (by case), seconds`. Knows nothing of
what a world does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.simulation.report import Report
from tests.simulation.runs import run_seeds, simulate

FAILURES_SHOWN_MAX = 20
VIOLATIONS_SHOWN_MAX = 3


def replay_command(seed: int) -> str:
    """What shows a failing seed with its full trace."""
    return f"make simulate SEED={seed}"


def describe(report: Report) -> list[str]:
    """A failing seed in a few lines."""
    shown = report.violations[:VIOLATIONS_SHOWN_MAX]
    more = len(report.violations) - len(shown)
    lines = [f"seed {report.seed} failed ({replay_command(report.seed)}):"]
    lines += [f"  {violation}" for violation in shown]
    return lines + ([f"  and {more} more"] if more else [])


def one(seed: int) -> bool:
    """Print the whole trace of a seed; True if all was well."""
    report = simulate(seed, verbose=True)
    _say(*report.trace, f"digest {report.digest}", f"outcomes {report.outcomes}")
    if report.violations:
        _say(f"seed {seed} failed:", *(f"  {violation}" for violation in report.violations))
    return not report.violations


def many(seeds: Sequence[int], jobs: int, *, stop: bool = False) -> bool:
    """Run seeds and print what failed, to the end or until `stop`; True if nothing did."""
    started = time.monotonic()
    ran, failed, events, unconfirmed = 0, 0, 0, 0
    exceptions: Counter[str] = Counter()
    for report in run_seeds(seeds, jobs):
        ran += 1
        events += report.events
        unconfirmed += report.unconfirmed
        exceptions.update(report.exceptions)
        if report.violations:
            failed += 1
            if failed <= FAILURES_SHOWN_MAX:
                _say(*describe(report))
            if stop:
                break
    summary = {
        "seeds": ran,
        "failed": failed,
        "events": events,
        "unconfirmed": unconfirmed,
        "exceptions": dict(sorted(exceptions.items())),
        "seconds": round(time.monotonic() - started, 1),
    }
    _say(json.dumps(summary))
    return not failed


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--seed", type=int, default=None, help="only this one, with its trace")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--stop", action="store_true", help="at the first seed that fails")
    given = parser.parse_args(arguments)
    if given.seed is not None:
        return 0 if one(given.seed) else 1
    seeds = range(given.first, given.first + given.seeds)
    return 0 if many(seeds, given.jobs, stop=given.stop) else 1


if __name__ == "__main__":
    sys.exit(main())
