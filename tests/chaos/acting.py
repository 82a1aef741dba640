"""Brings a plan's faults about, and heals all of them.

Knows nothing of what comes of it.
"""

from __future__ import annotations

import asyncio

from tests.chaos.arena import Arena
from tests.chaos.faults import EVERYONE, OWNER, Fault, Plan
from tests.chaos.proxy import Link
from tests.chaos.replica import Replica


async def act(arena: Arena, plan: Plan) -> None:
    """Let every fault of the plan happen at its time; returns once all are healed."""
    async with asyncio.TaskGroup() as group:
        for fault in plan.faults:
            group.create_task(_one(arena, fault))


async def _one(arena: Arena, fault: Fault) -> None:
    await asyncio.sleep(fault.at_seconds)
    befallen = _befallen(arena, fault)
    replica = befallen[0]
    match fault.kind:
        case "kill":
            await replica.kill(fault.seconds)
        case "freeze":
            await replica.freeze(fault.seconds)
        case "term":
            await replica.terminate(fault.seconds)
        case "broker":
            await arena.kafka.kill(fault.broker, fault.seconds)
        case "cut":
            await arena.twin.program({"rules": [{"fault": "cut-after", "share": fault.share}]})
            await asyncio.sleep(fault.seconds)
            await arena.twin.program({})
        case "stall-kafka":
            await _stall([link for each in befallen for link in each.kafka], fault)
        case "stall-provider":
            await _stall([each.provider for each in befallen], fault)
        case "rolling":
            for each in arena.replicas:
                await each.terminate(fault.seconds)
                await each.ready()


async def _stall(links: list[Link], fault: Fault) -> None:
    for link in links:
        link.stall(fault.direction, late=fault.late)
    await asyncio.sleep(fault.seconds)
    for link in links:
        link.release()


def _befallen(arena: Arena, fault: Fault) -> list[Replica]:
    if fault.target == EVERYONE:
        return arena.replicas
    return [arena.owner if fault.target == OWNER else arena.replicas[fault.target - 1]]
