"""Fixtures that tests of all floors may ask for."""

from __future__ import annotations

import os

import pytest

from tests.support.broker import shared_bootstrap
from tests.support.kafka import Names


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a real broker: `KAFKA_BOOTSTRAP`, else one for this run and all its workers."""
    run_dir = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        # A worker is a child of the run, and its directory lies in the run's.
        return shared_bootstrap(run_dir.parent, os.getppid())
    return shared_bootstrap(run_dir, os.getpid())


@pytest.fixture
def names() -> Names:
    """Make names of topics and groups that are this test's alone."""
    return Names()
