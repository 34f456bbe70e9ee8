"""Runs the engine in virtual time and kills it at any of its numbered points."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from crds.meta import Mode
from daemon.engine.controller import Controller
from daemon.engine.passes import AnyReconciler
from daemon.store.database import Database
from daemon.store.operations import Operation
from daemon.store.state import State
from daemon.store.store import Store
from metrics.engine import EngineMetrics
from tests.simulation.ports import InlineExecutor, SeededRandom, VirtualClock

#: Virtual seconds without a commit, and without an open intent, after which nothing moves any more.
QUIET_S = 40
#: Virtual seconds that a run may take; longer than "it did not happen" needs.
LONGEST_S = 3600


class Killed(BaseException):
    """The process is gone at this point."""


@dataclass
class Killer:
    """Counts the points of a run and ends the process at one of them."""

    at: int | None = None
    points: list[str] = field(default_factory=list)
    last: int = 0
    """How many points there were when something moved last; the rest is steady state."""

    def __call__(self, point: str) -> None:
        self.points.append(point)
        if self.at is not None and len(self.points) == self.at:
            raise Killed(point)


@dataclass
class Machine:
    """A state directory that outlives the process, and the reconcilers that a new process gets."""

    reconcilers: Callable[[], Mapping[str, AnyReconciler]]
    database: Database = field(default_factory=lambda: Database(":memory:"))
    seed: int = 1

    async def beside(self) -> None:
        """Do, while a process runs, what the world does meanwhile; ended with it."""

    async def run(
        self, operations: tuple[Operation, ...], killer: Killer, seconds: float | None = None
    ) -> State | None:
        """Start a process, declare *operations*, let it work; return the state, None if it was killed."""
        clock, random = VirtualClock(), SeededRandom(self.seed)
        store = Store(self.database, InlineExecutor())
        metrics = EngineMetrics(CollectorRegistry(), version="sim", kinds=(), systems={})
        controller = Controller(
            store, self.reconcilers(), clock, random, metrics, mode=Mode.ENFORCE, at_point=killer
        )
        killed = False
        try:
            await store.commit(operations)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(controller.run())
                world = group.create_task(self.beside())
                await (_wait_quiet(store, killer) if seconds is None else asyncio.sleep(seconds))
                controller.drain()
                await running
                world.cancel()
        except* Killed:
            killed = True
        return None if killed else store.state


async def _wait_quiet(store: Store, killer: Killer) -> None:
    commits, quiet_s = -1, 0
    for _ in range(LONGEST_S):
        await asyncio.sleep(1)
        moved = store.commits != commits or bool(store.state.open_intents)
        quiet_s = 0 if moved else quiet_s + 1
        if moved:
            commits, killer.last = store.commits, len(killer.points)
        if quiet_s >= QUIET_S:
            return
    raise AssertionError(f"still moving after {LONGEST_S} virtual seconds")


async def every_crash(
    machine: Callable[[], Machine],
    operations: tuple[Operation, ...],
    check: Callable[[Machine, State, str], None],
) -> int:
    """Kill a fresh machine at each point in turn, start it again and *check* the end; return the points."""
    whole = Killer()
    reference = machine()
    state = await reference.run(operations, whole)
    assert state is not None
    check(reference, state, "no crash")
    for number in range(1, whole.last + 1):
        world = machine()
        killer = Killer(number)
        ended = await world.run(operations, killer)
        state = ended or await world.run(operations, Killer())
        assert state is not None
        check(world, state, f"killed at point {number}, {killer.points[-1]}")
    return whole.last
