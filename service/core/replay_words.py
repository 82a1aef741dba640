"""The words of a replay: its plan, and the audit record of each of its steps.

Knows nothing of files or topics.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

VERSION = 1


class State(StrEnum):
    """How far a replay is.

    One that was killed stays `running`; that nobody runs it, the group of replays tells.
    """

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    """Somebody stopped it; it can go on."""
    ABORTED = "aborted"
    """Too many failed again; it can go on with another --abort-ratio."""
    DONE = "done"


class PlanHead(msgspec.Struct, frozen=True, rename="kebab"):
    """What a plan is; the dead letters follow it, one row each."""

    version: int
    id: str
    """Of the replay."""
    made_at: str
    by: str
    filter: dict[str, Any]
    """What was asked for, as it was given."""
    options: dict[str, Any]
    topic: str
    """Where the dead letters stand."""
    planned: int
    by_reason: dict[str, int]
    left_out: dict[str, int]
    """Why, and how many."""
    since_ms: int
    """When the oldest of them was written."""
    replays_end: int
    """Where the replays topic ended when the plan was begun: what is written there later may have
    sent the same events."""
    sha256: str = ""
    """Of this head without it, and of all rows."""


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One dead letter of a plan."""

    partition: int
    offset: int
    sha256: str
    """See `replay_choice.digest_of`."""
    drops: tuple[str, ...] = ()
    """Fields that the event loses."""


class Replay(msgspec.Struct, frozen=True, rename="kebab"):
    """One record of the replays topic: where a replay stood after a step."""

    id: str
    state: State
    by: str
    """Who made the plan."""
    run_by: str
    """Who runs it now."""
    made_at: str
    started_at: str
    updated_at: str
    plan_sha256: str
    filter: dict[str, Any]
    options: dict[str, Any]
    planned: int
    by_reason: dict[str, int]
    done: int
    """Rows of the plan that are done: all before it were sent, or left out by now."""
    sent: int
    left_out: dict[str, int]
    """Of the plan, when their turn came."""
    accepted: int
    failed: int
    """Outcomes of what was sent, as far as they were seen by then."""
    note: str = ""

    @property
    def left(self) -> int:
        """Rows of the plan that are to be done."""
        return self.planned - self.done


encode = msgspec.json.Encoder().encode
decode_replay = msgspec.json.Decoder(Replay).decode
decode_head = msgspec.json.Decoder(PlanHead).decode
decode_row = msgspec.json.Decoder(Row).decode
