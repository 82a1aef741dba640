"""Reads the dead letters of a plan back, and makes sure that they are those.

Knows nothing of what becomes of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import groupby
from typing import Any

from service.adapters.kafka.scan import KafkaScan
from service.core.letters import Letter, letter_of
from service.core.replay_choice import digest_of
from service.core.replay_words import Row
from service.errors import DispatcherError
from service.replay.plan_file import PlanFile

ROWS_MAX = 2_000
"""Looked for at once, and held."""

Found = tuple[Row, Letter, Any]


async def planned_letters(scan: KafkaScan, plan: PlanFile, done: int) -> AsyncIterator[list[Found]]:
    """All but the first `done`, in the plan's order, some at a time.

    Raises:
        DispatcherError: one is gone, or is not the one of which the plan was made.
        BrokerUnavailable: the broker did not answer.
    """
    topic = plan.head.topic
    rows = enumerate(plan.rows(done))
    for (partition, _), some in groupby(
        rows, lambda each: (each[1].partition, each[0] // ROWS_MAX)
    ):
        wanted = {row.offset: row for _, row in some}
        span = (min(wanted), max(wanted) + 1)
        found = list[Found]()
        async for _, records in scan.read("", {(topic, partition): span}):
            for record in records:
                row = wanted.get(record.offset)
                if row is not None:
                    found.append((row, _letter(record, row), record))
        if len(found) < len(wanted):
            raise DispatcherError(
                f"{len(wanted) - len(found)} dead letters of the plan are gone from {topic} "
                f"(retention): {_WAY_ON}"
            )
        yield found


_WAY_ON = "make a new plan; what was sent already is left out of it"


def _letter(record: Any, row: Row) -> Letter:
    letter = letter_of(record)
    if letter is None or digest_of(record) != row.sha256:
        raise DispatcherError(
            f"{record.topic}-{record.partition}-{record.offset} is not the dead letter of which "
            f"the plan was made: {_WAY_ON}"
        )
    return letter
