"""One kind writes what another owns: at once, urgently where it is, and never over what it has not seen."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from crds.container import ContainerSpec
from crds.meta import ConditionType, Key, Mode, Origin
from crds.release import ReleaseMemo, ReleaseSpec, ReleaseStatus
from daemon.engine.controller import PRIORITIES, Controller
from daemon.engine.passes import AnyReconciler
from daemon.store.database import Database
from daemon.store.operations import Apply, Ask, Assign, Orphan, Suspend
from daemon.store.store import Store
from metrics.engine import EngineMetrics
from reconcilers.contract import (
    DONE,
    Amend,
    Answer,
    Declare,
    Note,
    Outcome,
    Plan,
    Resource,
    Step,
    StepClass,
    TransientError,
    Urgency,
    View,
)
from tests.builders import START, a_container_spec
from tests.fakes.knobs import Knobs, LoopClock, Steady
from tests.simulation.ports import InlineExecutor

pytestmark = pytest.mark.looptime(end=4 * 3600)

RELEASE, OWNER, CHILD = Key("Release", "suite"), Key("Container", "owner"), Key("Container", "child")


@dataclass
class Releases:
    """A kind whose plan a test gives, from what the object's store holds at the time of its look."""

    given: Callable[[Resource[ReleaseSpec], View], Plan[str]]
    kind: str = "Release"
    poll_interval: timedelta = timedelta(seconds=60)
    pass_deadline: timedelta = timedelta(seconds=5)
    looks: list[float] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    trouble: Exception | None = None

    def endpoint(self, resource: Resource[ReleaseSpec]) -> str | None:
        return None

    async def observe(self, resource: Resource[ReleaseSpec], view: View) -> View:
        self.looks.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)
        if self.trouble is not None:
            raise self.trouble
        return view

    def plan(self, resource: Resource[ReleaseSpec], seen: View, now: datetime) -> Plan[str]:
        return self.given(resource, seen)

    async def apply(self, step: Step[str]) -> Outcome:
        await asyncio.sleep(0)
        self.applied.append(step.action)
        return DONE

    def gone(self, key: Key) -> None:
        """Nothing is remembered."""


@dataclass
class Site:
    store: Store
    controller: Controller
    knobs: Knobs
    releases: Releases

    async def release(self, version: str = "1.2.3") -> None:
        spec = ReleaseSpec(version=version, services=("psa-crm",))
        await self.store.commit([Apply(RELEASE, "r" * 32, spec, START)])

    async def container(self, key: Key, owner: Key | None = None, **fields: object) -> None:
        origin = Origin("owner.yaml", 3) if owner is None else None
        labels = {"team": "a"} if owner is None else {}
        spec = a_container_spec(**fields)
        await self.store.commit(
            [Apply(key, f"{key.name:0>32}", spec, START, labels=labels, owner=owner, origin=origin)]
        )

    def cores(self, key: Key = CHILD) -> int | None:
        found = self.store.state.get(key)
        return found.spec.cores if found is not None and isinstance(found.spec, ContainerSpec) else None


@contextlib.asynccontextmanager
async def a_site(
    given: Callable[[Resource[ReleaseSpec], View], Plan[str]], mode: Mode = Mode.ENFORCE, **fields: object
) -> AsyncIterator[Site]:
    store = Store(Database(":memory:"), InlineExecutor())
    knobs, releases = Knobs(**fields), Releases(given)  # type: ignore[arg-type]  # keywords of a test
    kinds: Mapping[str, AnyReconciler] = {"Container": knobs, "Release": releases}
    metrics = EngineMetrics(CollectorRegistry(), version="test", kinds=kinds, systems={"pve": "proxmox"})
    controller = Controller(store, kinds, LoopClock(), Steady(), metrics, mode=mode)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(controller.run())
        yield Site(store, controller, knobs, releases)
        controller.drain()
        await running
    store.close()


def an_amend(cores: int, *, attempt: str = "1") -> Amend:
    spec = a_container_spec(ctid=101, cores=cores)
    return Amend(CHILD, spec, {"psa.platform/version": attempt}, OWNER)


def once(plan: Plan[str]) -> Callable[[Resource[ReleaseSpec], View], Plan[str]]:
    """Give *plan* until the child is as it says, then nothing."""
    amend = next(write for write in plan.writes if isinstance(write, Amend))

    def given(_release: Resource[ReleaseSpec], view: View) -> Plan[str]:
        found = view.get(amend.key)
        return Plan() if found is not None and found.spec == amend.spec else plan

    return given


async def test_what_is_amended_belongs_to_its_owner_and_has_its_place_and_labels() -> None:
    async with a_site(once(Plan(writes=(an_amend(7),)))) as site:
        await site.container(OWNER, cores=1)
        await site.release()
        await asyncio.sleep(5)
        child = site.store.state.objects[CHILD]
        assert (child.owner, child.labels, child.origin) == (OWNER, {"team": "a"}, Origin("owner.yaml", 3))
        assert child.annotations == {"psa.platform/version": "1"}
        assert site.store.state.children(OWNER) == (child,)
        assert site.knobs.stand == {"owner": 1, "child": 7}


async def test_an_owner_that_changes_its_other_children_does_not_orphan_what_was_made_meanwhile() -> None:
    other = Declare(Key("Container", "other"), a_container_spec(ctid=102, cores=5))
    async with a_site(lambda _release, _view: Plan(), declares=(other,)) as site:
        await site.container(OWNER, cores=1)
        await asyncio.sleep(0.005)  # the owner's look is under way
        await site.container(CHILD, OWNER, ctid=101, cores=7)
        await asyncio.sleep(0.007)  # and over; the next one may see the child, and give it up
        assert site.cores(other.key) == 5
        assert site.store.state.objects[CHILD].orphaned_since is None


async def test_what_changed_since_it_was_seen_is_looked_at_again_and_nothing_of_the_plan_is_kept() -> None:
    def given(_release: Resource[ReleaseSpec], view: View) -> Plan[str]:
        found = view.get(CHILD)
        cores = found.spec.cores if found is not None and isinstance(found.spec, ContainerSpec) else None
        if cores == 8:
            return Plan()
        seen = "none" if cores is None else str(cores)
        notes = (Note("Saw", seen), an_amend(8))
        return Plan(writes=notes, status=ReleaseStatus(visible=seen), memo=ReleaseMemo(attempt=cores or 0))

    async with a_site(given) as site:
        await site.container(OWNER, cores=1)
        await site.release()
        await asyncio.sleep(0.005)  # its look is under way
        await site.container(CHILD, OWNER, ctid=101, cores=4)
        await asyncio.sleep(0.02)
        assert len(site.releases.looks) == 2, "again at once"
        await asyncio.sleep(1)
        assert site.cores() == 8
        assert [event.message for event in site.store.events(RELEASE)] == ["4"]
        release = site.store.state.objects[RELEASE]
        assert (release.status, release.memo) == (ReleaseStatus(visible="4"), ReleaseMemo(attempt=4))


async def test_what_a_stale_pass_did_outside_stays_in_the_journal() -> None:
    step = Step("hook", StepClass.EXCLUSIVE, "the hook", "run the hook")

    def given(_release: Resource[ReleaseSpec], view: View) -> Plan[str]:
        found = view.get(CHILD)
        return Plan(steps=(step,), writes=(an_amend(8),)) if found is None else Plan()

    async with a_site(given) as site:
        await site.container(OWNER, cores=1)
        await site.release()
        await asyncio.sleep(0.005)
        await site.container(CHILD, OWNER, ctid=101, cores=4)
        await asyncio.sleep(5)
        assert site.releases.applied == ["hook"]
        assert site.store.state.intents(RELEASE) == ()
        assert [event.reason for event in site.store.events(RELEASE)] == ["str"]
        assert site.cores() == 4


@pytest.mark.parametrize("urgency", [Urgency.RELEASE, Urgency.ROLLBACK])
async def test_what_an_urgent_plan_amends_passes_a_crowd_that_takes_every_ordinary_slot(
    urgency: Urgency,
) -> None:
    async with a_site(lambda _release, _view: Plan()) as site:
        for number in range(40):
            site.knobs.hang.add(f"slow{number}")
            await site.container(
                Key("Container", f"slow{number}"), ctid=200 + number, endpoint=f"e{number % 20}"
            )
        await site.container(OWNER, cores=1, ctid=100)
        await asyncio.sleep(1)
        assert site.knobs.at_work == 14, "the ordinary slots are taken"
        site.releases.given = once(Plan(writes=(an_amend(7),), urgency=urgency))
        await site.release()
        site.controller.wake(RELEASE, PRIORITIES[urgency])
        began = asyncio.get_running_loop().time()
        while site.knobs.stand.get("child") != 7:
            await asyncio.sleep(0.01)
        assert asyncio.get_running_loop().time() - began < 0.1


async def test_an_urgent_plans_own_next_look_is_urgent_too() -> None:
    async with a_site(
        lambda _release, _view: Plan(urgency=Urgency.RELEASE, recheck_after=timedelta(seconds=1))
    ) as site:
        await site.release()
        for number in range(40):
            site.knobs.hang.add(f"slow{number}")
            await site.container(
                Key("Container", f"slow{number}"), ctid=200 + number, endpoint=f"e{number % 20}"
            )
        await asyncio.sleep(10)
        assert 9 <= len(site.releases.looks) <= 11


async def test_a_request_is_heard_at_once_even_in_back_off_and_answered_once() -> None:
    def given(release: Resource[ReleaseSpec], _view: View) -> Plan[str]:
        waiting = [each for each in release.requests if each.answer is None]
        return Plan(writes=tuple(Answer(each.id, accepted=True, message="done") for each in waiting))

    async with a_site(given) as site:
        site.releases.trouble = TransientError("no route")
        await site.release()
        await asyncio.sleep(300)
        site.releases.trouble = None
        await site.store.commit([Ask(RELEASE, "rollback", "uid 0", START)])
        await asyncio.sleep(0.1)
        [request] = site.store.state.objects[RELEASE].requests
        assert (request.accepted, request.answer) == (True, "done")
        commits = site.store.commits
        await asyncio.sleep(300)
        assert site.store.commits == commits


async def test_an_answer_alone_wakes_nobody() -> None:
    async with a_site(lambda _release, _view: Plan()) as site:
        await site.release()
        await asyncio.sleep(1)
        await site.store.commit([Ask(RELEASE, "pause", "uid 0", START)])
        await asyncio.sleep(0.1)
        assert len(site.releases.looks) == 2
        site.releases.given = lambda _release, _view: Plan(writes=(Answer(1, accepted=True, message="yes"),))
        site.controller.wake(RELEASE)
        await asyncio.sleep(5)
        assert len(site.releases.looks) == 3


async def test_a_memo_may_change_each_second_and_wakes_nobody() -> None:
    def given(release: Resource[ReleaseSpec], _view: View) -> Plan[str]:
        before = release.memo.soaked_s if isinstance(release.memo, ReleaseMemo) else 0.0
        memo = ReleaseMemo(attempt=1, soaked_s=before + 1)
        return Plan(memo=memo, recheck_after=timedelta(seconds=1))

    async with a_site(given) as site:
        await site.container(OWNER, cores=1, dependsOn=[str(RELEASE)])
        await site.release()
        await asyncio.sleep(2)
        before, looks = len(site.knobs.looks), len(site.releases.looks)
        await asyncio.sleep(30)
        assert len(site.knobs.looks) == before
        assert 29 <= len(site.releases.looks) - looks <= 31
        memo = site.store.state.objects[RELEASE].memo
        assert isinstance(memo, ReleaseMemo)
        assert memo.soaked_s >= 29


async def test_a_plan_reads_the_daemons_own_values() -> None:
    heard: list[str | None] = []

    def given(_release: Resource[ReleaseSpec], view: View) -> Plan[str]:
        heard.append(view.value("freeze"))
        return Plan()

    async with a_site(given) as site:
        await site.release()
        await asyncio.sleep(1)
        await site.store.commit([Assign("freeze", "until then")])
        site.controller.wake(RELEASE)
        await asyncio.sleep(1)
        assert heard == [None, "until then"]


async def test_a_plan_hears_what_forbids_changes_and_why() -> None:
    heard: list[tuple[str, str] | None] = []

    def given(release: Resource[ReleaseSpec], _view: View) -> Plan[str]:
        heard.append(release.held)
        return Plan()

    async with a_site(given) as site:
        await site.release()
        await asyncio.sleep(1)
        await site.store.commit([Suspend(RELEASE, "work", "uid 0")])
        site.controller.wake(RELEASE)
        await asyncio.sleep(1)
        await site.store.commit([Assign("mode", "Observe")])
        site.controller.wake(RELEASE)
        await asyncio.sleep(1)
        assert [found[0] if found else None for found in heard] == [None, "Suspended", "ObserveMode"]
        assert site.store.state.objects[RELEASE].held is None


@pytest.mark.parametrize(("outlives", "applied"), [(True, ["hook"]), (False, [])])
async def test_what_was_begun_goes_on_without_its_file_only_where_its_plan_says_so(
    outlives: object, applied: list[str]
) -> None:
    step = Step("hook", StepClass.ABSOLUTE, "the hook", "run the hook")
    async with a_site(lambda _release, _view: Plan()) as site:
        await site.release()
        await asyncio.sleep(1)
        await site.store.commit([Orphan(RELEASE, START)])
        await asyncio.sleep(1)
        site.releases.given = lambda _release, _view: (
            Plan() if site.releases.applied else Plan(steps=(step,), outlives_file=bool(outlives))
        )
        site.controller.wake(RELEASE)
        await asyncio.sleep(1)
        assert site.releases.applied == applied


async def test_an_amended_childs_readiness_wakes_its_owner() -> None:
    async with a_site(once(Plan(writes=(an_amend(7),)))) as site:
        await site.container(OWNER, cores=1)
        await asyncio.sleep(1)
        before = len([name for _, name in site.knobs.looks if name == "owner"])
        await site.release()
        await asyncio.sleep(1)
        condition = site.store.state.objects[CHILD].condition(ConditionType.READY)
        assert condition is not None
        assert len([name for _, name in site.knobs.looks if name == "owner"]) > before
