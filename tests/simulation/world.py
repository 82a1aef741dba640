"""One world: the real pipeline in several processes, a Kafka, a provider, and a plan of faults.

Knows nothing of what is right: the oracle does.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from service.core.facts import Fact
from service.core.verdicts import Answer
from service.errors import TopicsError
from service.pipeline.flows import Flows, make_intake
from service.pipeline.lane import World
from service.pipeline.replica import Replica
from service.settings import Settings
from service.twin.behaviour import Decision, Twin
from service.twin.options import Options, with_switches
from tests.simulation.clients import SimBroker
from tests.simulation.faults import schedule
from tests.simulation.kafka import SimKafka
from tests.simulation.link import Link, Weather
from tests.simulation.log import Transaction
from tests.simulation.loop import NODE, Node, Stuck, VirtualLoop
from tests.simulation.oracle import Oracle
from tests.simulation.plan import SECURITY_IDS, Plan
from tests.simulation.process import Process, SimClock, Slot, Tracer
from tests.simulation.provider import Internet, Network, SimProvider, Wire
from tests.simulation.report import Report
from tests.simulation.shared import RedisFaults, SimRedis, SimWindow
from tests.simulation.upstream import Upstream

QUIET_SECONDS = 12.0
"""After the last outcome, for what might still come."""
STOP_SECONDS_MAX = 120.0
LOOK_SECONDS = 2.0
"""Between two looks whether all is done."""


class SimWorld:
    """Everything of one seed."""

    def __init__(self, plan: Plan, *, verbose: bool = False) -> None:
        self.plan = plan
        self.verbose = verbose
        self.loop = VirtualLoop()  # type: ignore[abstract]  # the rest is IO
        self.trace: list[str] = []
        self.slots = [Slot(n, settings=plan.settings_of(n)) for n in range(plan.replicas)]
        self.closing = False
        self.calm = False
        """Whether all faults have healed."""
        self.paused = False
        """Whether an operator keeps dispatchers from being started."""
        self.stops_allowed = False
        """Whether a dispatcher may rightly refuse to run."""
        self._hash = hashlib.sha256()
        self.nodes: list[Node] = []
        self._owners: dict[str, str] = {}
        """The name under which each process writes its checkpoints."""
        self._rng = plan.rng("world")
        names = self._settings(plan.settings).kafka.topics
        partitions = dict.fromkeys(names.model_dump().values(), 1)
        partitions |= {
            names.requests: plan.partitions,
            names.results: 2,
            names.dead_letters: 2,
            **dict.fromkeys((names.checkpoints, names.parked, names.overflow), plan.lanes),
        }
        self.requests, self.control = names.requests, names.control
        self.checkpoints = names.checkpoints
        self.kafka = SimKafka(self.loop, plan.rng("kafka"), partitions, self.wall)
        self.kafka.group.partitions = plan.lanes
        twin = Twin(
            with_switches(Options(), plan.switches),
            plan.rng("twin"),
            security_ids=frozenset(SECURITY_IDS),
        )
        twin.program(plan.script, 0.0)
        self.internet = Internet(self.loop, plan.rng("internet"), plan.network, twin, self.wall)
        self.redis = SimRedis(self.loop, plan.rng("redis"), self.wall)
        self._redis_faults = RedisFaults(self.redis, plan.fault_seconds, self.note)
        self.oracle = Oracle(plan, twin, names.model_dump())
        self.upstream = Upstream(plan, self.kafka, names.requests, self.oracle.written)
        self.kafka.committed = self._committed
        self.kafka.deleted = self.oracle.orders.deleted
        self.internet.launched = self._launched
        self.internet.arrived = self._arrived
        self.internet.heard = self._heard

    def wall(self) -> float:
        """Seconds since the epoch, by a clock that is right."""
        return self.loop.now + self.plan.wall_base

    def note(self, who: str, what: str) -> None:
        """One line of the trace."""
        line = f"{self.loop.now:11.6f} {who:10} {what}"
        self._hash.update(line.encode())
        if self.verbose:
            self.trace.append(line)

    def _told(self, who: str, fact: Fact) -> None:
        if self.verbose:
            self.note(who, repr(fact))

    # What the world sees

    def _committed(self, transaction: Transaction) -> None:
        if not transaction.producer.startswith("upstream"):
            topics = Counter(record.topic for record in transaction.records)
            self.note("kafka", f"commit {transaction.producer} {dict(topics)}")
            self.oracle.committed(transaction)

    def _launched(self, body: bytes, node: Node, twins: int) -> None:
        self.note(node.name, f"POST {hashlib.sha256(body).hexdigest()[:12]}")
        self.oracle.launched(body, self._owners[node.name], self.wall(), twins=twins)

    def _arrived(self, wire: Wire, decision: Decision) -> None:
        answer, sha = decision.answer, hashlib.sha256(wire.body).hexdigest()[:12]
        taken = ",".join(str(key) for _, key in decision.accepts)
        said = f"{answer.delivery} {answer.status} {answer.code} takes [{taken}]"
        self.note("provider", f"from {wire.node.name} {sha}: {said}")
        self.oracle.arrived(wire, decision)

    def _heard(self, body: bytes, node: Node, answer: Answer) -> None:
        self.oracle.bodies.heard(body, self._owners[node.name], answer)

    # Processes

    @staticmethod
    def _settings(values: dict[str, Any]) -> Settings:
        return Settings.model_validate(values)

    def start(self, slot: Slot) -> None:
        """Start the slot's next process."""
        if self.paused or self.closing:
            self.loop.after(0.5, self.start, slot)
            return
        node = Node(f"r{slot.number}.{slot.lives}")
        slot.lives += 1
        self.nodes.append(node)
        context = contextvars.Context()
        context.run(NODE.set, node)
        link = Link(self.kafka, rng := self.plan.rng(node.name), self.plan.weather)
        slot.process = process = Process(
            node, link, SimClock(lambda: self.loop.now, self.wall), context
        )
        if "clock" in self.plan.kinds:
            process.clock.skew = self._rng.uniform(-2.0, 2.0)
        settings = self._settings(slot.settings)
        self.note(node.name, "starts")
        life = self._run(slot, process, settings, rng)
        process.task = self.loop.create_task(life, context=context)

    async def _run(
        self, slot: Slot, process: Process, settings: Settings, rng: random.Random
    ) -> None:
        name = process.node.name
        broker = SimBroker(self.kafka, process.link, settings, name)
        flows = Flows(settings)
        owner = self._owners[name] = f"{rng.getrandbits(64):016x}"
        world = World(
            settings,
            broker,
            SimProvider(self.internet, process.node, settings.provider.timeout_seconds),
            process.clock,
            Tracer(self._told, name),
            rng,
            owner,
            make_intake(settings, flows),
            flows,
            SimWindow(self.redis) if settings.provider.limit_scope == "redis" else None,
        )
        process.world = world
        replica = process.replica = Replica(world, broker.election())
        try:
            await replica.run()
        except TopicsError as error:
            self.note(name, f"refuses to run: {error}")
            if not self.stops_allowed:
                self.oracle.wrong(f"{name} refused to run: {error}")
        except Exception as error:  # noqa: BLE001 - whatever it is, the world must report it
            self.oracle.wrong(f"{name} ended with {type(error).__name__}: {error}")
        process.ended = True
        self.note(name, "ends")
        if slot.process is process and not self.closing:
            self.loop.after(self._rng.uniform(0.5, 3.0), self.start, slot)

    def kill(self, slot: Slot, down_seconds: float) -> None:
        """Do as kill -9 does, and a new process after a while."""
        process = slot.process
        if process is None or process.node.dead or process.ended:
            return
        self.note(process.node.name, "is killed")
        process.node.dead = True
        self.loop.after(down_seconds, self.start, slot)

    def stop(self, slot: Slot) -> None:
        """SIGTERM."""
        process = slot.process
        if process is not None and process.replica is not None and not process.node.dead:
            self.note(process.node.name, "is stopped")
            self.loop.call_soon(process.replica.stop, context=process.context)

    def in_process(self, slot: Slot, act: Callable[[Process], None]) -> None:
        """Do something to the slot's process, if there is one that lives."""
        process = slot.process
        if process is not None and process.runs:
            act(process)

    # The course of things

    def run(self) -> Report:
        """The whole world, from its first event to its judgement."""
        try:
            self.loop.run(self._main())
        except Stuck as stuck:
            self.oracle.wrong(f"stuck: {stuck}")
        for failure in self.loop.failures:
            self.oracle.wrong(f"uncaught: {failure}")
        findings = self.oracle.judge()
        self._unwind()
        return Report(
            self.plan.seed,
            findings.violations,
            len(self.oracle.events),
            dict(findings.exceptions),
            findings.unconfirmed,
            self._hash.hexdigest(),
            self.trace,
            self.loop.now,
            self.loop.steps,
            dict(Counter(self.oracle.outcomes.values())),
        )

    async def _main(self) -> None:
        for slot in self.slots:
            late = self.plan.head_start_seconds if slot.number else 0.0
            self.loop.after(late + self._rng.uniform(0.0, 2.0), self.start, slot)
        if self.plan.settings["provider"].get("limit_scope") == "redis":
            self._redis_faults.schedule(self._living, self.plan.rng("redis-faults"))
        await self.course()
        self.heal()
        deadline = self.loop.now + self.plan.patience_seconds
        while (  # noqa: ASYNC110 - whether a world is done is cheaper asked than told
            self.oracle.missing or not self.upstream.done
        ) and self.loop.now < deadline:
            await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(QUIET_SECONDS)
        self.closing = True
        if self._rng.random() < 0.5:
            await self._close()

    async def course(self) -> None:
        """What happens until everything heals."""
        self.upstream.start()
        schedule(self)
        await asyncio.sleep(self.plan.fault_seconds)

    def heal(self) -> None:
        """From now on nothing goes wrong any more."""
        self.note("world", "heals")
        self.calm = self.kafka.calm = True
        self.kafka.start()
        self.plan.weather = Weather()
        self.internet.network = Network(
            finishes_half_written=self.internet.network.finishes_half_written
        )
        self.internet.twin.program(None, self.loop.now)
        self._redis_faults.heal()
        for slot in self.slots:
            self.in_process(slot, self._heal)

    def _living(self) -> list[str]:
        return [slot.process.node.name for slot in self.slots if slot.process] or ["nobody"]

    def _heal(self, process: Process) -> None:
        process.link.up = process.link.heartbeats_up = True
        process.link.weather = Weather()
        process.node.crash_in = None
        if process.node.stopped:
            self.loop.resume(process.node)

    async def _close(self) -> None:
        """SIGTERM for all: they must end, and must end nothing twice."""
        for slot in self.slots:
            self.stop(slot)
        lives = [slot.life for slot in self.slots if slot.life]
        if lives and (await asyncio.wait(lives, timeout=STOP_SECONDS_MAX))[1]:
            self.oracle.wrong(f"a process did not end within {STOP_SECONDS_MAX} s of SIGTERM")

    def _unwind(self) -> None:
        self.closing = True
        self.loop.reap(self.nodes)
        self.loop.close()
