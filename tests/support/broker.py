"""The one real broker of a test run, shared by its workers.

`KAFKA_BOOTSTRAP` names a running one. Else the first test that asks starts one under a keeper, a
process that lives exactly as long as the run: it knows only the run's process id, so that neither
a worker that ends early nor a run killed with -9 matters.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

from service.demo.kafka import LocalKafka

_keepers: list[subprocess.Popen[str]] = []


def shared_bootstrap(run_dir: Path, run_pid: int) -> str:
    """The broker's address; `run_dir` is seen by all workers of the run, `run_pid` is the run."""
    given = os.environ.get("KAFKA_BOOTSTRAP")
    if given:
        return given
    address = run_dir / "kafka-bootstrap"
    with (run_dir / "kafka-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not address.exists():
            address.write_text(_start_keeper(run_pid))
    return address.read_text()


def _start_keeper(run_pid: int) -> str:
    keeper = subprocess.Popen(
        [sys.executable, "-m", __name__, str(run_pid)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _keepers.append(keeper)
    assert keeper.stdout is not None
    with keeper.stdout as answer:
        bootstrap = answer.readline().strip()
    assert bootstrap, "the local Kafka did not start; its keeper says why on standard error"
    return bootstrap


def keep(run_pid: int) -> None:
    """Run a broker until the process `run_pid` is gone."""
    run = os.pidfd_open(run_pid)
    with tempfile.TemporaryDirectory(prefix="kafka-for-tests-") as data_dir:
        kafka = LocalKafka(Path(data_dir))
        try:
            asyncio.run(kafka.start())
            sys.stdout.write(f"{kafka.bootstrap}\n")
            sys.stdout.flush()
            select.select([run], [], [])
        finally:
            kafka.kill()


if __name__ == "__main__":
    keep(int(sys.argv[1]))
