"""Sends dead letters again, in two steps that a command or a page of this process may take.

`make_plan` looks and writes a plan file; nothing else changes. `execute` sends exactly that, one
replay at a time in the whole group: how far it came is committed with the events themselves, so a
plan may be executed again after any end, and goes on where it stopped. `replays` tells of all.

What may be sent again, and how fast, the core decides (core/replay_choice.py, replay_pace.py).
"""

from service.replay.executing import How, execute
from service.replay.planning import Asked, Plan, make_plan
from service.replay.standing import Standing, replays

__all__ = ["Asked", "How", "Plan", "Standing", "execute", "make_plan", "replays"]
