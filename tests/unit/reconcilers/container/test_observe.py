"""What is concluded from what Proxmox answers: here, elsewhere, absent, unknown; and which tasks are ours."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from daemon.store.state import State
from lab.pve.cluster import PveCluster
from lab.pve.faults import FailTask, NodeDown, NoQuorum, SlowTask, Status
from lab.pve.message import Request
from reconcilers.container.client import ContainerClient, ProxmoxContainers
from reconcilers.container.model import (
    Absent,
    Elsewhere,
    Place,
    Seen,
    SeenContainer,
    Silent,
    TaskState,
)
from reconcilers.container.reconciler import ContainerReconciler
from reconcilers.container.settings import creation_options
from reconcilers.contract import Intent, PermanentError, TransientError
from reconcilers.transports.proxmox import NOTHING, ApiPath, Json
from tests.builders import START
from tests.builders_container import UID, UPID, a_container, an_intent
from tests.fakes.proxmox import USER, FakeProxmox, a_cluster

CONTAINER = a_container()
OPTIONS = creation_options(CONTAINER.spec, "psa-crm", UID)


class Site:
    """A cluster whose time stands still until it is moved."""

    def __init__(self) -> None:
        self.time = START.timestamp()
        self.cluster: PveCluster = a_cluster(self.time)
        self.fake = FakeProxmox(self.cluster, lambda: self.time)
        self.client: ContainerClient = ProxmoxContainers(self.fake)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    def by_root(self, method: str, path: str, **params: str) -> None:
        auth = self.cluster.log_in("root@pam", self.time)
        answer = self.cluster.handle(Request(method, path, params, auth), self.time)
        assert answer.status == 200, answer

    async def create(self, node: str = "pve1") -> str:
        return await self.client.create(Place("pve", node, 100), OPTIONS)

    async def seen(self, *intents: Intent) -> Seen:
        view = State(open_intents={CONTAINER.key: intents} if intents else {})
        return await ContainerReconciler({"pve": self.client}).observe(CONTAINER, view)


@pytest.fixture
def site() -> Site:
    return Site()


async def test_a_container_in_its_place_is_seen(site: Site) -> None:
    await site.create()
    site.time += 10
    seen = await site.seen()
    assert isinstance(seen.world, SeenContainer)
    assert seen.world.config.hostname == "psa-crm"
    assert seen.is_quorate is True


async def test_nothing_anywhere_is_absent_when_the_permissions_prove_it(site: Site) -> None:
    assert (await site.seen()).world == Absent()


async def test_another_node_is_found_by_the_list_and_confirmed_by_the_node(site: Site) -> None:
    await site.create("pve3")
    assert (await site.seen()).world == Elsewhere("pve3", is_container=True)


async def test_a_stale_list_alone_does_not_put_a_container_elsewhere(site: Site) -> None:
    class Stale(ProxmoxContainers):
        async def find(self, ctid: int) -> Elsewhere | None:
            return Elsewhere("pve3", is_container=True)

    site.client = Stale(site.fake)
    assert (await site.seen()).world == Absent()


async def test_a_virtual_machine_with_the_id_is_seen_as_one(site: Site) -> None:
    class WithMachine(ProxmoxContainers):
        async def find(self, ctid: int) -> Elsewhere | None:
            return Elsewhere("pve1", is_container=False)

    site.client = WithMachine(site.fake)
    assert (await site.seen()).world == Elsewhere("pve1", is_container=False)


async def test_a_token_without_rights_sees_nothing_and_that_is_no_absence(site: Site) -> None:
    await site.create()
    site.time += 10
    site.cluster.disallow(USER, "/")
    with pytest.raises(PermanentError, match=r"/vms/100, VM\.Audit") as refused:
        await site.seen()
    assert refused.value.reason == "Forbidden"
    assert await site.client.find(100) is None


async def test_what_the_permissions_do_not_prove_is_hidden_not_absent(site: Site) -> None:
    class Blind(ProxmoxContainers):
        async def look(self, place: Place) -> SeenContainer | None:
            return None

    site.cluster.disallow(USER, "/")
    site.client = Blind(site.fake)
    with pytest.raises(PermanentError, match=r"VM\.Audit on /vms/100") as refused:
        await site.seen()
    assert refused.value.reason == "NotVisible"


@pytest.mark.parametrize(
    ("path", "propagate", "may"),
    [("/", True, True), ("/vms", True, True), ("/vms/100", False, True), ("/vms/101", True, False)],
)
async def test_permissions_count_where_they_reach(site: Site, path: str, propagate: bool, may: bool) -> None:  # noqa: FBT001
    site.cluster.disallow(USER, "/")
    site.cluster.allow(USER, path, "PVEAuditor", propagate=propagate)
    assert await site.client.may_see(100) is may


async def test_a_dead_node_makes_its_container_unknown(site: Site) -> None:
    await site.create()
    site.cluster.add_fault(NodeDown("pve1"), site.time)
    site.cluster.world.time_scale = 0.001
    site.cluster.world.nodes["pve1"].down_since = site.time
    assert isinstance((await site.seen()).world, Silent)


async def test_an_unauthorised_token_is_not_an_empty_cluster(site: Site) -> None:
    site.cluster.add_fault(Status(401, "Authentication failed!", count=3), site.time)
    site.cluster.world.time_scale = 0.001
    with pytest.raises(PermanentError) as refused:
        await site.seen()
    assert refused.value.reason == "Unauthorized"


async def test_an_unknown_endpoint_lists_those_that_are(site: Site) -> None:
    reconciler = ContainerReconciler({"edge": site.client})
    with pytest.raises(PermanentError, match="no Proxmox endpoint pve; they have: edge") as refused:
        await reconciler.observe(CONTAINER, State())
    assert refused.value.reason == "UnknownEndpoint"


async def test_an_unknown_node_does_not_count_against_the_endpoint(site: Site) -> None:
    container = replace(CONTAINER, spec=a_container(node="pve9").spec)
    with pytest.raises(PermanentError, match="hostname lookup 'pve9' failed") as refused:
        await ContainerReconciler({"pve": site.client}).observe(container, State())
    assert refused.value.reason == "UnknownNode"


async def test_quorum_is_unknown_to_a_token_that_may_not_ask(site: Site) -> None:
    site.cluster.disallow(USER, "/")
    site.cluster.allow(USER, "/vms", "PVEVMAdmin")
    assert (await site.seen()).is_quorate is None


async def test_lost_quorum_is_seen(site: Site) -> None:
    site.cluster.add_fault(NoQuorum(), site.time)
    assert (await site.seen()).is_quorate is False


async def test_while_a_task_runs_the_container_itself_is_not_looked_at(site: Site) -> None:
    upid = await site.create()
    site.fake.asked.clear()
    seen = await site.seen(an_intent(CONTAINER, reference=upid, begun_at=site.now))
    assert seen.world is None
    assert [s.task.state for s in seen.intents if s.task is not None] == [TaskState.RUNNING]
    assert len(site.fake.asked) == 1


async def test_a_finished_task_is_seen_together_with_what_it_left(site: Site) -> None:
    upid = await site.create()
    site.time += 10
    seen = await site.seen(an_intent(CONTAINER, reference=upid))
    assert isinstance(seen.world, SeenContainer)
    (followed,) = seen.intents
    assert followed.task is not None
    assert followed.task.state is TaskState.DONE


async def test_a_step_without_an_answer_is_found_by_its_task(site: Site) -> None:
    begun_at = site.now
    upid = await site.create()
    (running,) = (await site.seen(an_intent(CONTAINER, reference=None, begun_at=begun_at))).intents
    site.time += 10
    (done,) = (await site.seen(an_intent(CONTAINER, reference=None, begun_at=begun_at))).intents
    assert running.task is not None
    assert (running.task.upid, running.task.state) == (upid, TaskState.RUNNING)
    assert done.task is not None
    assert done.task.state is TaskState.DONE


async def test_the_failure_of_a_task_that_was_found_is_told_with_its_log(site: Site) -> None:
    begun_at = site.now
    site.cluster.add_fault(FailTask("vzcreate", "no space left on device"), site.time)
    await site.create()
    site.time += 10
    (found,) = (await site.seen(an_intent(CONTAINER, reference=None, begun_at=begun_at))).intents
    assert found.task is not None
    assert (found.task.state, found.task.message) == (TaskState.FAILED, "no space left on device")


async def test_tasks_of_others_of_another_kind_or_from_before_are_not_ours(site: Site) -> None:
    await site.create()
    site.time += 100
    begun_at = site.now
    site.cluster.add_fault(SlowTask("vzstart", seconds=50), site.time)
    site.by_root("POST", "/nodes/pve1/lxc/100/status/start")
    for action in ("Create", "Start", "Shutdown", "Unheard"):
        (followed,) = (
            await site.seen(an_intent(CONTAINER, action, reference=None, begun_at=begun_at))
        ).intents
        assert followed.task is None, action


async def test_a_node_whose_clock_is_a_little_behind_still_shows_the_task(site: Site) -> None:
    begun_at = site.now + timedelta(seconds=1.5)
    await site.create()
    (found,) = (await site.seen(an_intent(CONTAINER, reference=None, begun_at=begun_at))).intents
    assert found.task is not None


async def test_a_task_that_the_node_forgot_is_lost(site: Site) -> None:
    (followed,) = (await site.seen(an_intent(CONTAINER, reference=UPID))).intents
    assert followed.task is not None
    assert followed.task.state is TaskState.LOST


async def test_a_garbled_list_is_an_error_never_an_empty_one(site: Site) -> None:
    class Garbled(FakeProxmox):
        async def read(self, path: ApiPath, params: Mapping[str, str] = NOTHING) -> Json:
            return {"data": []} if path[0] == "cluster" else await super().read(path, params)

    site.client = ProxmoxContainers(Garbled(site.cluster, lambda: site.time))
    with pytest.raises(TransientError, match="where a list is due"):
        await site.seen()
