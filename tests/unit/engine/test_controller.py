"""The loop in virtual time, with one kind whose world is a dictionary of knobs."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from crds.container import ContainerSpec
from crds.meta import ConditionType, Key, Mode
from daemon.engine.controller import Controller
from daemon.engine.workset import Priority
from daemon.store.database import Database
from daemon.store.operations import Apply, Assign, Orphan, Suspend
from daemon.store.store import Store
from metrics.engine import EngineMetrics
from reconcilers.contract import (
    DONE,
    Declare,
    Outcome,
    OutcomeKind,
    PermanentError,
    Plan,
    Resource,
    Step,
    StepClass,
    TransientError,
    View,
)
from tests.builders import START, a_container_spec

pytestmark = pytest.mark.looptime(end=4 * 3600)


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


class Inline:
    async def run(self, call: Callable[[], None]) -> None:
        call()

    def close(self) -> None:
        pass


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
    declares: tuple[Declare, ...] = ()
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
        if seen == wanted:
            return Plan(writes=self.declares)
        turn = Turn(resource.key.name, wanted)
        step = Step(turn, self.step_class, f"knob {turn.name}", f"turn {turn.name} to {wanted}")
        return Plan(steps=(step,), foreign=self.foreign, writes=self.declares)

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
    store = Store(Database(":memory:"), Inline())
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


async def test_a_declared_object_is_applied_looked_at_again_and_then_only_polled() -> None:
    async with a_house() as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(300)
        assert house.knobs.stand == {"a": 3}
        assert house.says("a", ConditionType.READY) == ("True", "AsAsked")
        assert len(house.knobs.turns) == 1
        assert 6 <= len(house.knobs.looks) <= 8


async def test_steady_state_writes_nothing_for_five_minutes() -> None:
    async with a_house() as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(10)
        before = house.store.commits
        await asyncio.sleep(300)
        assert house.store.commits == before


async def test_a_change_from_outside_is_drift_and_is_put_right_at_the_next_poll() -> None:
    async with a_house() as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(10)
        house.knobs.stand["a"] = 9
        await asyncio.sleep(67)
        assert house.knobs.stand["a"] == 3
        events = [(event.reason, event.message) for event in house.store.events(Key("Container", "a"))]
        assert events[-1] == ("Turn", "turn a to 3")
        assert house.says("a", ConditionType.DRIFTED) == ("False", "NoDifference")


async def test_in_observe_mode_the_difference_is_said_and_nothing_is_changed() -> None:
    async with a_house(Mode.OBSERVE) as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(100)
        assert house.knobs.turns == []
        assert house.says("a", ConditionType.SYNCED) == ("False", "ObserveMode")


async def test_the_stricter_mode_counts_and_leaving_it_takes_effect_at_once() -> None:
    async with a_house() as house:
        await house.store.commit([Assign("mode", "Observe")])
        await house.declare("a", cores=3)
        await asyncio.sleep(5)
        assert house.knobs.turns == []
        await house.store.commit([Assign("mode", "Enforce")])
        house.controller.wake_all()
        await asyncio.sleep(1)
        assert house.knobs.stand == {"a": 3}


async def test_a_foreign_thing_waits_until_the_file_says_adopt() -> None:
    async with a_house(foreign="it is not ours") as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(5)
        assert house.knobs.turns == []
        assert house.says("a", ConditionType.ADOPTED) == ("False", "AdoptionRequired")
        await house.declare("a", cores=3, adopt=True)
        await asyncio.sleep(5)
        assert house.knobs.stand == {"a": 3}


async def test_failures_back_off_and_a_new_spec_is_tried_at_once() -> None:
    async with a_house() as house:
        house.knobs.trouble["apply a"] = TransientError("no answer")
        await house.declare("a", cores=3)
        await asyncio.sleep(100)
        times = [at for at, _, _ in house.knobs.turns]
        pauses = [round(later - earlier, 1) for earlier, later in itertools.pairwise(times)]
        assert pauses == [0.8, 1.5, 3.0, 6.0, 12.0, 24.0, 48.0]
        assert house.says("a", ConditionType.SYNCED) == ("False", "ApplyFailed")
        del house.knobs.trouble["apply a"]
        edited_at = asyncio.get_running_loop().time()
        await house.declare("a", cores=4)
        await asyncio.sleep(1)
        assert house.knobs.turns[-1][0] - edited_at < 0.1


async def test_what_asks_to_be_left_alone_for_a_while_is_left_alone() -> None:
    async with a_house() as house:
        house.knobs.trouble["apply a"] = TransientError("too much to do", retry_after_s=40.0)
        await house.declare("a", cores=1)
        await asyncio.sleep(39)
        assert len(house.knobs.turns) == 1
        await asyncio.sleep(3)
        assert len(house.knobs.turns) == 2


@pytest.mark.parametrize("trouble", ["a", "apply a"])
async def test_what_is_looked_at_every_few_seconds_is_found_as_soon_after_an_outage(trouble: str) -> None:
    async with a_house(poll_interval=timedelta(seconds=5)) as house:
        house.knobs.trouble[trouble] = TransientError("not reached")
        await house.declare("a", cores=1)
        await asyncio.sleep(3600)
        del house.knobs.trouble[trouble]
        await asyncio.sleep(5.5)
        assert house.knobs.stand == {"a": 1}


async def test_what_will_never_do_is_left_alone_however_often_it_is_looked_at() -> None:
    async with a_house(poll_interval=timedelta(seconds=5)) as house:
        house.knobs.trouble["a"] = PermanentError("wrong password", reason="WrongCredentials")
        await house.declare("a", cores=1)
        await asyncio.sleep(3600)
        assert len(house.knobs.looks) <= 13


async def test_what_is_not_in_the_store_is_forgotten_by_its_kind_and_never_looked_at() -> None:
    async with a_house() as house:
        await house.declare("a", cores=1)
        house.controller.wake(Key("Container", "b"))
        await asyncio.sleep(300)
        assert house.knobs.forgotten == ["b"]
        assert {name for _, name in house.knobs.looks} == {"a"}


async def test_a_permanent_refusal_stalls_until_the_spec_changes() -> None:
    async with a_house() as house:
        house.knobs.trouble["apply a"] = PermanentError("never", reason="Forbidden")
        await house.declare("a", cores=3)
        await asyncio.sleep(3600)
        assert len(house.knobs.turns) == 1
        assert house.says("a", ConditionType.STALLED) == ("True", "Forbidden")
        del house.knobs.trouble["apply a"]
        await house.declare("a", cores=4)
        await asyncio.sleep(1)
        assert house.knobs.stand == {"a": 4}
        assert house.says("a", ConditionType.STALLED) == ("False", "Moving")


async def test_what_refused_a_step_is_looked_at_as_often_as_before() -> None:
    async with a_house(poll_interval=timedelta(seconds=5)) as house:
        house.knobs.trouble["apply a"] = PermanentError("never", reason="Forbidden")
        await house.declare("a", cores=3)
        await asyncio.sleep(60)
        assert len(house.knobs.turns) == 1
        assert len(house.knobs.looks) >= 10
        assert house.says("a", ConditionType.READY) == ("False", "Forbidden")


async def test_steps_without_effect_back_off_instead_of_spinning() -> None:
    async with a_house(deaf={"a"}) as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(600)
        assert 5 <= len(house.knobs.turns) <= 12
        assert house.says("a", ConditionType.READY) == ("False", "Changing")


async def test_what_cannot_be_seen_becomes_unknown_after_three_polls() -> None:
    async with a_house() as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(10)
        house.knobs.trouble["a"] = TransientError("no route")
        await asyncio.sleep(120)
        assert house.says("a", ConditionType.READY) == ("True", "AsAsked")
        await asyncio.sleep(120)
        assert house.says("a", ConditionType.READY) == ("Unknown", "ObservationStale")
        del house.knobs.trouble["a"]
        await asyncio.sleep(300)
        assert house.says("a", ConditionType.READY) == ("True", "AsAsked")


async def test_one_dead_endpoint_does_not_slow_another() -> None:
    async with a_house() as house:
        for number in range(40):
            house.knobs.hang.add(f"dead{number}")
            await house.declare(f"dead{number}", ctid=200 + number, endpoint="dead")
        await asyncio.sleep(1)
        assert house.knobs.most_at_work <= 4
        await house.declare("a", cores=3)
        await asyncio.sleep(1)
        assert house.knobs.stand == {"a": 3}
        await asyncio.sleep(30)
        assert house.controller.breaker_is_open("dead")
        assert not house.controller.breaker_is_open("pve")
        house.knobs.hang.clear()
        await asyncio.sleep(400)
        assert len(house.knobs.stand) == 41


async def test_a_bug_is_isolated_and_quarantined_after_five_equal_errors() -> None:
    async with a_house() as house:
        house.knobs.trouble["bad"] = KeyError("a bug")
        await house.declare("bad", cores=1)
        await house.declare("good", ctid=101, cores=2)
        await asyncio.sleep(1800)
        assert house.knobs.stand == {"good": 2}
        assert len([name for _, name in house.knobs.looks if name == "bad"]) == 5
        assert house.says("bad", ConditionType.STALLED) == ("True", "Quarantined")
        del house.knobs.trouble["bad"]
        await house.declare("bad", cores=5)
        await asyncio.sleep(1)
        assert house.knobs.stand["bad"] == 5


async def test_a_dependency_is_released_by_the_event_not_by_a_poll() -> None:
    async with a_house() as house:
        await house.declare("b", ctid=101, cores=1, dependsOn=["Container/a"])
        await asyncio.sleep(30)
        assert house.says("b", ConditionType.DEPENDENCIES_READY) == ("False", "MissingReference")
        began = asyncio.get_running_loop().time()
        await house.declare("a", cores=1)
        await asyncio.sleep(2)
        assert [name for _, name, _ in house.knobs.turns] == ["a", "b"]
        assert house.knobs.turns[-1][0] - began < 1.0


async def test_an_orphan_is_looked_at_and_left_alone() -> None:
    async with a_house() as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(5)
        await house.store.commit([Orphan(Key("Container", "a"), START)])
        house.knobs.stand["a"] = 8
        await asyncio.sleep(200)
        assert house.knobs.stand["a"] == 8
        assert house.says("a", ConditionType.SYNCED) == ("False", "Orphaned")


async def test_a_suspension_holds_and_runs_out_by_itself() -> None:
    async with a_house() as house:
        until = START + timedelta(seconds=100)
        await house.declare("a", cores=1)
        await asyncio.sleep(5)
        await house.store.commit([Suspend(Key("Container", "a"), "maintenance", "uid 0", until)])
        await house.declare("a", cores=3)
        await asyncio.sleep(60)
        assert house.knobs.stand["a"] == 1
        await asyncio.sleep(120)
        assert house.knobs.stand["a"] == 3


async def test_an_exclusive_step_leaves_an_intent_when_its_outcome_is_unknown() -> None:
    async with a_house(step_class=StepClass.EXCLUSIVE) as house:
        house.knobs.trouble["apply a"] = TransientError("connection lost")
        await house.declare("a", cores=3)
        await asyncio.sleep(60)
        intents = house.store.state.intents(Key("Container", "a"))
        assert [intent.state for intent in intents] == [OutcomeKind.UNKNOWN]
        assert len(house.knobs.turns) == 1
        assert house.says("a", ConditionType.READY) == ("False", "OutcomeUnknown")


async def test_children_are_made_once_and_become_orphans_when_no_longer_declared() -> None:
    async with a_house() as house:
        child = Declare(Key("Container", "child"), a_container_spec(ctid=101, cores=7))
        house.knobs.declares = (child,)
        await house.declare("a", cores=1)
        await asyncio.sleep(5)
        assert house.knobs.stand["child"] == 7
        other = Declare(Key("Container", "other"), a_container_spec(ctid=102, cores=5))
        house.knobs.declares = (other,)
        house.controller.wake(Key("Container", "a"))
        await asyncio.sleep(5)
        assert house.store.state.objects[Key("Container", "child")].orphaned_since is not None


async def test_a_person_who_asks_is_served_at_once_even_in_back_off() -> None:
    async with a_house() as house:
        house.knobs.trouble["a"] = TransientError("no route")
        await house.declare("a", cores=3)
        await asyncio.sleep(200)
        del house.knobs.trouble["a"]
        house.controller.wake(Key("Container", "a"), Priority.CHANGE)
        await asyncio.sleep(1)
        assert house.knobs.stand == {"a": 3}


async def test_draining_lets_the_pass_under_way_end() -> None:
    async with a_house() as house:
        await house.declare("a", cores=3)
        await asyncio.sleep(0.005)
        house.controller.drain()
    assert house.knobs.stand == {"a": 3}
