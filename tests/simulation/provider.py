"""The `Provider` port on the twin's pure behaviour, with a network in between that loses things.

What is on its way arrives although the process that sent it is gone: everything after the first
byte happens outside of all nodes. A POST that its client gave up is aborted, unless the world draws
case (g). Knows nothing of batches.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from service.core.verdicts import Answer, NoAnswer, NotSent, Response
from service.twin.behaviour import Decision, Twin
from tests.simulation.loop import Node, VirtualLoop

ARRIVAL_SECONDS_MAX = 0.05
"""An ordinary way to the provider."""


@dataclass(slots=True)
class Network:
    """How the way to the provider fares; drawn anew for each world."""

    not_sent_share: float = 0.0
    lost_before_share: float = 0.0
    """Of requests, those that never arrive whole."""
    lost_after_share: float = 0.0
    """Of requests, those that are worked on but whose answer is lost."""
    slow_way_share: float = 0.0
    """Of requests, those that take up to the client's time limit to arrive."""
    slow_answer_share: float = 0.0
    """Of answers, those that may come after the client's time limit."""
    finishes_half_written: bool = False
    """Case (g): what a stopped process had half written arrives when it continues."""
    down: bool = False
    """Nobody can connect."""


class Wire:
    """One request on its way: `arrived`, or `aborted` before that."""

    __slots__ = ("aborted", "arrived", "body", "late", "node", "reply")

    def __init__(self, body: bytes, reply: asyncio.Future[Answer], node: Node) -> None:
        self.body = body
        self.reply = reply
        self.node = node
        self.arrived = False
        self.aborted = False
        self.late = False
        """Whether it waited for a stopped process to finish it: case (g)."""


class SimProvider:
    """`Provider` of one process."""

    def __init__(
        self,
        internet: Internet,
        node: Node,
        timeout_seconds: float,
    ) -> None:
        self._internet = internet
        self._node = node
        self._timeout_seconds = timeout_seconds

    async def post(self, body: bytes, may_begin: Callable[[], bool]) -> Answer:
        """See `Provider.post`."""
        internet = self._internet
        wire: Wire | None = None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await asyncio.sleep(internet.connect_seconds(self._timeout_seconds))
                if not internet.connects():
                    return NotSent("refused")
                if not may_begin():
                    return NotSent("the lease ran out")
                wire = internet.send(body, self._node, self._timeout_seconds)
                answer = await wire.reply
                internet.heard(body, self._node, answer)
                return answer
        except TimeoutError:
            return NoAnswer("timeout") if wire is not None else NotSent("no connection in time")
        finally:
            if wire is not None:
                wire.aborted = True


class Internet:
    """Everything between the processes and the provider, and the provider itself."""

    def __init__(
        self,
        loop: VirtualLoop,
        rng: random.Random,
        network: Network,
        twin: Twin,
        wall: Callable[[], float],
    ) -> None:
        self.network = network
        self.twin = twin
        self.loop = loop
        self.launched: Callable[[bytes, Node, int], None] = lambda _body, _node, _twins: None
        """Told of each request whose first byte leaves, and how many alike may still arrive."""
        self.arrived: Callable[[Wire, Decision], None] = lambda _wire, _decision: None
        """Told of each request that reaches the provider, with what it decided."""
        self.heard: Callable[[bytes, Node, Answer], None] = lambda _body, _node, _answer: None
        """Told of each answer that reaches the process that asked."""
        self._rng = rng
        self._wall = wall
        self._under_way: list[Wire] = []

    # What the client sees of it

    def connect_seconds(self, timeout_seconds: float) -> float:
        """How long a connection takes, also one that is refused in the end."""
        rng = self._rng
        if rng.random() < self.network.not_sent_share:
            return rng.random() * timeout_seconds * 1.2
        return rng.random() * 0.01

    def connects(self) -> bool:
        """Whether the connection comes about."""
        share = self.network.not_sent_share
        return not self.network.down and not (share and self._rng.random() < share)

    def send(self, body: bytes, node: Node, timeout_seconds: float) -> Wire:
        """The first byte leaves; the reply comes, or does not."""
        rng, network = self._rng, self.network
        wire = Wire(body, self.loop.create_future(), node)
        self._under_way = [one for one in self._under_way if not one.aborted]
        self.launched(body, node, sum(one.body == body for one in self._under_way))
        seconds = rng.random() * ARRIVAL_SECONDS_MAX
        if rng.random() < network.slow_way_share:
            seconds = rng.random() * timeout_seconds
        if rng.random() < network.lost_before_share:
            if rng.random() < 0.5:
                self.loop.after(seconds, self._reply, wire, NoAnswer("reset"))
            return wire
        self._under_way.append(wire)
        self.loop.after(seconds, self._arrive, wire, timeout_seconds)
        return wire

    # What happens outside of all processes

    def _arrive(self, wire: Wire, timeout_seconds: float) -> None:
        if wire.node.stopped and self.network.finishes_half_written and self._rng.random() < 0.5:
            wire.late = True
            self.loop.after(0.05, self._arrive, wire, timeout_seconds)
            return
        if wire in self._under_way:
            self._under_way.remove(wire)
        if wire.aborted and not wire.late:
            return
        if wire.node.dead and self._rng.random() < 0.5:
            # The kernel of a killed process resets what it had not delivered.
            return
        wire.arrived = True
        now = self.loop.now
        decision = self.twin.arrive(wire.body, self.twin.options.path, now, self._wall())
        self.arrived(wire, decision)
        lost = self._rng.random() < self.network.lost_after_share
        slow = 0.0
        if self._rng.random() < self.network.slow_answer_share:
            slow = self._rng.random() * timeout_seconds * 1.5
        self.loop.after(decision.act_after_seconds, self._act, wire, decision, lost, slow)

    def _act(self, wire: Wire, decision: Decision, lost: bool, slow_seconds: float) -> None:  # noqa: FBT001 - a callback's argument
        self.twin.act(decision, self.loop.now, self._wall())
        seconds = decision.answer_after_seconds + slow_seconds
        answer, options = decision.answer, self.twin.options
        seconds += self._rng.random() * ARRIVAL_SECONDS_MAX
        if answer.delivery == "drip":
            seconds += options.drip_seconds
        if answer.delivery == "silence":
            seconds += options.silence_seconds
        if lost and self._rng.random() < 0.5:
            return
        if lost or answer.delivery in {"cut", "silence"}:
            self.loop.after(seconds, self._reply, wire, NoAnswer("reset"))
            return
        headers = {name.lower(): value for name, value in answer.headers}
        response = Response(
            answer.status,
            answer.body,
            headers.get("retry-after"),
            truncated=answer.delivery == "short",
        )
        self.loop.after(seconds, self._reply, wire, response)

    @staticmethod
    def _reply(wire: Wire, answer: Answer) -> None:
        if not wire.reply.done():
            wire.reply.set_result(answer)
