"""An event loop under virtual time, in which whole processes can be killed, stopped and suspended.

A *node* stands for one process: every callback belongs to the node in whose context it was
scheduled, so what a real process cannot do without (its callbacks and timers) can be taken from it
between any two of them. Knows nothing of what the processes do.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

STEP_SECONDS = 1e-6
"""What running one callback takes: without it, two waits that round to zero would never end."""
STEPS_MAX = 3_000_000
"""Of one world; more is a loop that spins."""


class Node:
    """One process, as the loop sees it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.stopped = False
        self.lag = 0.0
        """Seconds by which its monotonic clock is behind, from times when its machine slept."""
        self.crash_in: int | None = None
        """Callbacks left before `on_crash`."""
        self.on_crash: Callable[[], None] = lambda: None
        self.held: list[SimHandle] = []
        """What came due while it was stopped."""


NODE: contextvars.ContextVar[Node | None] = contextvars.ContextVar("node", default=None)


class SimHandle:
    """A callback that was scheduled; the part of asyncio's handles that is public."""

    __slots__ = ("args", "callback", "context", "node", "off", "when_of_node")

    def __init__(
        self, callback: Any, args: Any, context: contextvars.Context | None, when: float | None
    ) -> None:
        if context is None:
            context = contextvars.copy_context()
        self.callback = callback
        self.args = args
        self.off = False
        """Whether it was cancelled."""
        self.context = context
        self.node: Node | None = context.get(NODE)
        self.when_of_node = when

    def cancel(self) -> None:
        """Never run it."""
        self.off = True

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.off

    def when(self) -> float:
        """Its time by its node's clock."""
        assert self.when_of_node is not None
        return self.when_of_node


class SimTask(asyncio.Task[Any]):
    """A task with a hash that is the same in every run, so that sets of tasks have one order."""

    def __init__(self, coro: Any, number: int, **options: Any) -> None:
        self.number = number
        self.node = NODE.get()
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class Stuck(Exception):
    """The world cannot go on: nothing is scheduled, or it spins."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs callbacks in the order of their times; no thread, no IO, no real clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self.failures: list[str] = []
        """What nobody caught."""
        self._ready: deque[SimHandle] = deque()
        self._timers: list[tuple[float, int, SimHandle]] = []
        self._numbers = count()
        self._closed = False

    # What asyncio asks of a loop

    def time(self) -> float:
        """Seconds, by the clock of the node that asks."""
        node = NODE.get()
        return self.now if node is None else self.now - node.lag

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        """See `asyncio.AbstractEventLoop`."""
        handle = SimHandle(callback, args, context, None)
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        """See `asyncio.AbstractEventLoop`."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        """At `when` by the clock of the node that asks."""
        handle = SimHandle(callback, args, context, when)
        node = handle.node
        due = when if node is None else when + node.lag
        heapq.heappush(self._timers, (due, next(self._numbers), handle))
        return handle

    def after(self, seconds: float, callback: Callable[..., object], *args: Any) -> None:
        """Outside of all nodes: what is under way arrives, whatever befalls who sent it."""
        handle = SimHandle(callback, args, contextvars.Context(), None)
        heapq.heappush(self._timers, (self.now + seconds, next(self._numbers), handle))

    def create_future(self) -> asyncio.Future[Any]:
        """See `asyncio.AbstractEventLoop`."""
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Any = None
    ) -> asyncio.Task[Any]:
        """See `asyncio.AbstractEventLoop`."""
        number = next(self._numbers)
        if context is None:
            return SimTask(coro, number, loop=self, name=name or f"task-{number}")
        return context.run(  # type: ignore[no-any-return]
            lambda: SimTask(coro, number, loop=self, name=name or f"task-{number}", context=context)
        )

    def get_debug(self) -> bool:
        """See `asyncio.AbstractEventLoop`."""
        return False

    def is_running(self) -> bool:
        """See `asyncio.AbstractEventLoop`."""
        return not self._closed

    def is_closed(self) -> bool:
        """See `asyncio.AbstractEventLoop`."""
        return self._closed

    def close(self) -> None:
        """See `asyncio.AbstractEventLoop`."""
        self._closed = True

    def default_exception_handler(self, context: Any) -> None:
        """See `asyncio.AbstractEventLoop`."""
        self.call_exception_handler(context)

    def call_exception_handler(self, context: Any) -> None:
        """Remember what nobody caught: no world may have any."""
        self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")

    # Running

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Run until `main` has returned.

        Raises:
            Stuck: it never will.
        """
        asyncio._set_running_loop(self)  # noqa: SLF001 - documented for those who write loops
        try:
            task = self.create_task(main, name="world")
            done, step = task.done, self._step
            while not done():
                step()
            return task.result()
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001

    def _step(self) -> None:
        ready = self._ready
        while not ready:
            self._advance()
        handle = ready.popleft()
        if handle.off:
            return
        node = handle.node
        if node is not None:
            if node.dead or node.stopped:
                node.held.append(handle)
                return
            if node.crash_in is not None:
                node.crash_in -= 1
                if node.crash_in < 0:
                    node.crash_in = None
                    node.on_crash()
                    ready.appendleft(handle)
                    return
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Stuck(f"{STEPS_MAX} callbacks ran: something spins")
        self.now += STEP_SECONDS
        handle.context.run(handle.callback, *handle.args)

    def _advance(self) -> None:
        if not self._timers:
            raise Stuck("nothing is scheduled: everybody waits for ever")
        due, _, handle = heapq.heappop(self._timers)
        if handle.off:
            return
        node = handle.node
        if node is not None:
            if node.dead:
                # Kept, or what waits for it would be collected half done.
                node.held.append(handle)
                return
            # Its machine slept since this was scheduled: the timer is late by as much.
            if node.lag:
                real = handle.when() + node.lag
                if real > due + STEP_SECONDS:
                    heapq.heappush(self._timers, (real, next(self._numbers), handle))
                    return
        self.now = max(self.now, due)
        self._ready.append(handle)

    # What befalls nodes

    def resume(self, node: Node, slept_seconds: float = 0.0) -> None:
        """Let a stopped node go on; `slept_seconds`: its monotonic clock stood still so long."""
        node.stopped = False
        node.lag += slept_seconds
        held, node.held = node.held, []
        for handle in held:
            late = handle.when_of_node is not None and slept_seconds > 0.0
            if late and handle.when() + node.lag > self.now:
                due = handle.when() + node.lag
                heapq.heappush(self._timers, (due, next(self._numbers), handle))
            else:
                self._ready.append(handle)

    def reap(self, nodes: list[Node]) -> None:
        """Unwind what dead nodes left, so that nothing of them is collected half done.

        Call it only when nobody looks at the world any more.
        """
        asyncio._set_running_loop(self)  # noqa: SLF001
        self._ready.clear()
        try:
            for node in nodes:
                node.dead = False
                node.crash_in = None
                self.resume(node)
            for _ in range(100):
                tasks = [t for t in asyncio.all_tasks(self) if isinstance(t, SimTask)]
                if not tasks:
                    return
                for task in sorted(tasks, key=lambda task: task.number):
                    task.cancel()
                for _ in range(10_000):
                    if not self._ready:
                        break
                    self._step()
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001
