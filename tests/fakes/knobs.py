"""A kind whose world is a dictionary of knobs, and a controller around it in the loop's virtual time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry

from crds.container import ContainerSpec
from crds.meta import ConditionType, Key, Mode
from daemon.engine.controller import Controller
from daemon.store.database import Database
from daemon.store.operations import Apply
from daemon.store.store import Store
from metrics.engine import EngineMetrics
from reconcilers.contract import DONE, Declare, Outcome, Plan, Resource, Step, StepClass, Verdict, View
from tests.builders import START, a_container_spec
from tests.simulation.ports import InlineExecutor


class LoopClock:
    """Wall and monotonic time both follow the virtual loop."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(START.timestamp() + self.monotonic(), UTC)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Steady:
    """No chance at all."""

    def __init__(self) -> None:
        self.count = 0

    def fraction(self) -> float:
        return 0.5

    def uid(self) -> str:
        self.count += 1
        return f"{self.count:032x}"


@dataclass(frozen=True, slots=True)
class Turn:
    name: str
    to: int


@dataclass
class Knobs:
    """A kind: ``spec.cores`` is where the object's knob shall stand."""

    kind: str = "Container"
    poll_interval: timedelta = timedelta(seconds=60)
    pass_deadline: timedelta = timedelta(seconds=5)
    stand: dict[str, int] = field(default_factory=dict)
    looks: list[tuple[float, str]] = field(default_factory=list)
    turns: list[tuple[float, str, int]] = field(default_factory=list)
    trouble: dict[str, Exception] = field(default_factory=dict)
    deaf: set[str] = field(default_factory=set)
    hang: set[str] = field(default_factory=set)
    at_work: int = 0
    most_at_work: int = 0
    foreign: str | None = None
    step_class: StepClass = StepClass.ABSOLUTE
    beside: str | None = None
    """Another knob that each object wants turned first; then no step builds on another."""
    declares: tuple[Declare, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    """What each plan says besides."""
    forgotten: list[str] = field(default_factory=list)

    def endpoint(self, resource: Resource[ContainerSpec]) -> str | None:
        return resource.spec.endpoint

    async def observe(self, resource: Resource[ContainerSpec], view: View) -> int | None:
        name = resource.key.name
        self.looks.append((asyncio.get_running_loop().time(), name))
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            await asyncio.sleep(1000 if name in self.hang else 0.01)
        finally:
            self.at_work -= 1
        if name in self.trouble:
            raise self.trouble[name]
        return self.stand.get(name)

    def plan(self, resource: Resource[ContainerSpec], seen: int | None, now: datetime) -> Plan[Turn]:
        wanted = resource.spec.cores or 0
        names = () if self.beside is None or self.beside in self.stand else (self.beside,)
        names = names if seen == wanted else (*names, resource.key.name)
        if not names:
            return Plan(writes=self.declares, verdicts=self.verdicts)
        steps = tuple(
            Step(
                Turn(name, wanted),
                self.step_class,
                f"knob {name}",
                f"turn {name} to {wanted}",
                independent=self.beside is not None,
            )
            for name in names
        )
        return Plan(steps=steps, foreign=self.foreign, writes=self.declares)

    async def apply(self, step: Step[Turn]) -> Outcome:
        turn = step.action
        self.turns.append((asyncio.get_running_loop().time(), turn.name, turn.to))
        await asyncio.sleep(0)
        if f"apply {turn.name}" in self.trouble:
            raise self.trouble[f"apply {turn.name}"]
        if turn.name not in self.deaf:
            self.stand[turn.name] = turn.to
        return DONE

    def gone(self, key: Key) -> None:
        self.forgotten.append(key.name)


@dataclass
class House:
    store: Store
    controller: Controller
    knobs: Knobs

    async def declare(self, name: str, **fields: object) -> None:
        spec = a_container_spec(**fields)
        await self.store.commit([Apply(Key("Container", name), f"{name:0>32}", spec, START)])

    def says(self, name: str, kind: ConditionType) -> tuple[str, str] | None:
        condition = self.store.state.objects[Key("Container", name)].condition(kind)
        return None if condition is None else (condition.status.value, condition.reason)


@contextlib.asynccontextmanager
async def a_house(mode: Mode = Mode.ENFORCE, **knob_fields: object) -> AsyncIterator[House]:
    store = Store(Database(":memory:"), InlineExecutor())
    knobs = Knobs(**knob_fields)  # type: ignore[arg-type]  # keywords of a test
    metrics = EngineMetrics(
        CollectorRegistry(), version="test", kinds=["Container"], systems={"pve": "proxmox"}
    )
    controller = Controller(store, {"Container": knobs}, LoopClock(), Steady(), metrics, mode=mode)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(controller.run())
        watching = group.create_task(controller.watch_staleness())
        yield House(store, controller, knobs)
        watching.cancel()
        controller.drain()
        await running
    store.close()
