"""Fixtures that tests of all floors may ask for."""

from __future__ import annotations

import logging
import os
import signal
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.support.broker import shared_bootstrap
from tests.support.kafka import Names

# Machines are shared: how long an example takes says nothing about the code.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A run in the background of a script ignores Ctrl-C, and so would every process it starts,
    # those that are sent one here too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_news(record: logging.LogRecord) -> bool:
    """A fenced aiokafka producer leaves failed futures of its own behind.

    asyncio would print each with its traceback when it is collected, which on Python 3.11 breaks
    whatever is being parsed at that moment (cpython#106905).
    """
    return not (record.exc_info and isinstance(record.exc_info[1], KafkaError))


logging.getLogger("asyncio").addFilter(_is_news)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a time limit of their own come first: as the last ones they would run alone."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


class OneWorkerForThePage(LoadScopeScheduling):  # type: ignore[misc]  # xdist is untyped here
    """Deals out single tests, but those of the page together: they share a browser and a scene."""

    def _split_scope(self, nodeid: str) -> str:
        return "tests/page" if nodeid.startswith("tests/page/") else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneWorkerForThePage:
    """Which worker gets which test."""
    return OneWorkerForThePage(config, log)


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
