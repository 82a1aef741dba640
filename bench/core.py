"""`python -m bench.core`: what the core's stages cost, in units of a loop of plain Python.

Knows nothing of Kafka or HTTP. A ratio hardly depends on the machine, so the last ones are kept in
core.json, and a stage that has become slower by half fails.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pyperf

from bench.core_stages import CoreStages
from bench.process import HOME

KEPT = HOME / "bench/core.json"
SLOWER_MAX = 1.5
"""Noise of a shared machine stays below; a lost short cut is above."""
PROCESSES, VALUES, WARMUPS = 7, 2, 1
REFERENCE_STEPS = 1_000


def reference() -> int:
    """Plain bytecode, small objects and a dict, as the stages have them."""
    counts: dict[int, int] = {}
    for number in range(REFERENCE_STEPS):
        key = number & 255
        counts[key] = counts.get(key, 0) + len(b"%d" % number)
    return sum(counts.values())


def main() -> int:
    """Measure, compare, and with `--keep` write the ratios; returns the exit code."""
    keep = "--keep" in sys.argv
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument != "--keep"]
    runner = pyperf.Runner(
        values=VALUES,
        processes=PROCESSES,
        warmups=WARMUPS,
        program_args=("-m", "bench.core"),
    )
    runner.metadata["description"] = "the core's stages"
    seconds = {
        # Each beside a reference of its own: a shared machine's speed drifts within a minute.
        name: (_quickest(runner, name, run), _quickest(runner, f"{name}, reference", reference))
        for name, run in _benchmarks().items()
    }
    if runner.args.worker:
        return 0
    ratios = {name: round(stage / least, 4) for name, (stage, least) in seconds.items()}
    if keep:
        KEPT.write_text(f"{json.dumps(ratios, indent=1)}\n")
    before = json.loads(KEPT.read_text())
    worse = [name for name, ratio in ratios.items() if ratio > SLOWER_MAX * before.get(name, ratio)]
    for name, ratio in ratios.items():
        print(f"{name:12} {ratio:8.4f}  kept {before.get(name, ratio):8.4f}")
    print(json.dumps({"ok": not worse, "worse": worse, **ratios}))
    return 1 if worse else 0


def _benchmarks() -> Mapping[str, Callable[[], object]]:
    stages = CoreStages()
    return {
        "intake": stages.intake,
        "ledger": stages.ledger,
        "batching": stages.batching,
        "body": stages.body,
        "verdict": stages.verdict,
        "outcome": stages.outcome,
        "checkpoint": stages.checkpoint,
        "rate": stages.rate,
    }


def _quickest(runner: Any, name: str, run: Callable[[], object]) -> float:
    """Seconds of the quickest process, for noise only ever adds; 0 in a worker process."""
    benchmark = runner.bench_func(name, run)
    return 0.0 if runner.args.worker else float(min(benchmark.get_values()))


if __name__ == "__main__":
    sys.exit(main())
