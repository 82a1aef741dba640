"""`python -m tests.mutations`: breaks the program in one way after the other; each must be noticed.

The last line is JSON: `mutations, survived, names` (of the survivors), `seconds`. Knows nothing of
what the mutations are.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.mutations.catalogue import MUTATIONS
from tests.mutations.hunt import Found, hunt
from tests.mutations.mutation import Mutation

SEEDS = 200


def _timed(mutation: Mutation, seeds: int) -> tuple[Found, float]:
    started = time.monotonic()
    return hunt(mutation, seeds), time.monotonic() - started


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of the simulator, at most")
    parser.add_argument("--only", default="", help="mutations with this in their name")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    given = parser.parse_args(arguments)
    started = time.monotonic()
    mutations = [each for each in MUTATIONS if given.only in each.name]
    with ThreadPoolExecutor(given.jobs) as pool:
        sound = pool.submit(hunt, None, given.seeds)
        found = list(pool.map(lambda each: _told(each, given.seeds), mutations))
        if sound.result().caught:
            _say(f"the program fails as it is: {sound.result().how}")
            return 1
    survivors = [each.name for each, caught in zip(mutations, found, strict=True) if not caught]
    summary = {
        "mutations": len(mutations),
        "survived": len(survivors),
        "names": survivors,
        "seconds": round(time.monotonic() - started, 1),
    }
    _say(json.dumps(summary))
    return 1 if survivors else 0


def _told(mutation: Mutation, seeds: int) -> bool:
    found, seconds = _timed(mutation, seeds)
    how = found.how if found.caught else "SURVIVED"
    _say(f"{mutation.name} ({seconds:.1f} s): {how}")
    return found.caught


if __name__ == "__main__":
    sys.exit(main())
