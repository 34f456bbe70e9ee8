"""The Container kind over the simulator's real HTTPS API: what users do, and each fault."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from crds.container import ContainerSpec
from lab.pve.faults import (
    Deaf,
    DropReply,
    FailTask,
    Fault,
    Garbled,
    Lock,
    LoseTask,
    NodeDown,
    NoQuorum,
    ProxyGone,
    Slow,
    Status,
)
from lab.pve.setup import AclSetup, Setup, TokenSetup
from reconcilers.container.client import ProxmoxContainers
from reconcilers.container.model import Place, TaskState
from reconcilers.container.reconciler import ContainerReconciler
from reconcilers.contract import PermanentError, Request, Resource
from reconcilers.transports.proxmox import Json, ProxmoxTransport
from tests.builders_container import OTHER_TEMPLATE, a_container
from tests.fakes.container_loop import ContainerLoop, Pass
from tests.fakes.proxmox import PveServer

PATIENCE = timedelta(seconds=30)
NETWORK = {"bridge": "vmbr1", "address": "10.0.20.10/24", "gateway": "10.0.20.1", "vlan": 20}


def wall() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def versions() -> Iterator[Callable[[str], PveServer]]:
    """One simulator for each version that a test asks for, shared by the tests of this module."""
    running: dict[str, PveServer] = {}
    with contextlib.ExitStack() as stack:

        def of(version: str) -> PveServer:
            if version not in running:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="psa-pve-", dir="/tmp")))
                running[version] = stack.enter_context(PveServer(folder, version=version, time_scale=0.02))
            return running[version]

        yield of


class Site:
    """One simulator, a transport to all of its nodes, and the object under test with an id of its own."""

    _ids = iter(range(100, 999))

    def __init__(self, server: PveServer, transport: ProxmoxTransport) -> None:
        self.server = server
        self.ctid = next(Site._ids)
        self.client = ProxmoxContainers(transport)
        self.reconciler = ContainerReconciler({"pve": self.client})

    def loop(self, **fields: object) -> ContainerLoop:
        return ContainerLoop(self.reconciler, self.container(**fields), now=wall)

    def container(self, **fields: object) -> Resource[ContainerSpec]:
        return a_container("psa-crm", **{"ctid": self.ctid, **fields})

    async def state(self) -> dict[str, Json]:
        """Return the simulator's own record of the container."""
        answer = await self.server.control("GET", "/state")
        assert isinstance(answer, dict)
        rows = cast("list[dict[str, Json]]", answer["containers"])
        return next(row for row in rows if row["vmid"] == self.ctid)

    async def config(self) -> dict[str, str]:
        return cast("dict[str, str]", (await self.state())["config"])

    async def writes(self, since: int = 0) -> list[str]:
        answer = await self.server.control("GET", f"/log?since={since}")
        rows = cast("list[dict[str, Json]]", answer)
        mine = (row for row in rows if f"/{self.ctid}" in str(row["path"]) and row["method"] != "GET")
        return [f"{row['method']} {row['path']}" for row in mine]

    async def log_length(self) -> int:
        return len(cast("list[Json]", await self.server.control("GET", "/log")))

    async def by_hand(self, action: str, **body: str) -> None:
        await self.server.control("POST", f"/container/{self.ctid}/{action}", body)


@pytest.fixture(params=["8.4", "9.2"])
async def site(request: pytest.FixtureRequest, versions: Callable[[str], PveServer]) -> AsyncIterator[Site]:
    server = versions(request.param)
    await server.prepare()
    transport = server.transport()
    yield Site(server, transport)
    await server.control("DELETE", "/faults")
    transport.close()


async def converge(loop: ContainerLoop) -> Pass:
    return await loop.until_quiet(PATIENCE)


async def assert_silent(site: Site, loop: ContainerLoop) -> None:
    """One more pass plans nothing, commits nothing and only reads."""
    since = await site.log_length()
    committed = loop.committed
    last = await loop.one_pass()
    assert last.is_quiet
    assert last.plan is not None
    assert last.plan.steps == ()
    assert loop.committed == committed
    assert await site.writes(since) == []


async def test_a_declared_container_is_created_started_and_then_left_in_peace(site: Site) -> None:
    loop = site.loop(
        network=NETWORK,
        features={"nesting": True},
        tags=["crm"],
        description="the CRM\n",
        onBoot=True,
        startup={"order": 3, "up": "5s"},
        nameserver="9.9.9.9",
        searchdomain="psa.local",
    )
    await converge(loop)
    assert (await site.state())["running"]
    config = await site.config()
    assert config["net0"].startswith("name=eth0,bridge=vmbr1,")
    assert config["tags"] == "crm;psa;psa-r-272bad9135db;psa-u-01234567"
    assert [type(step.action).__name__ for made in loop.history for step in made.ran] == ["Create", "Start"]
    await assert_silent(site, loop)


async def test_an_edit_changes_memory_live_and_grows_the_disk(site: Site) -> None:
    loop = site.loop()
    await converge(loop)
    started_at = (await site.state())["started_at"]
    loop.container = site.container(memory="6Gi", disk="12Gi")
    await converge(loop)
    config = await site.config()
    assert config["memory"] == "6144"
    assert config["rootfs"].endswith("size=12G")
    assert (await site.state())["started_at"] == started_at
    await assert_silent(site, loop)


async def test_a_change_by_hand_and_a_stop_by_hand_are_put_right(site: Site) -> None:
    loop = site.loop(network=NETWORK)
    await converge(loop)
    hardware = (await site.config())["net0"].partition("hwaddr=")[2][:17]
    await site.by_hand("edit-by-hand", key="memory", text="1024")
    await site.by_hand("edit-by-hand", key="tags", text="psa-u-01234567;mine")
    await site.by_hand("stop-by-hand")
    await converge(loop)
    config = await site.config()
    assert (config["memory"], config["tags"]) == ("4096", "mine;psa;psa-r-272bad9135db;psa-u-01234567")
    assert f"hwaddr={hardware}" in config["net0"]
    assert (await site.state())["running"]


async def test_a_new_template_makes_the_container_anew_if_that_is_allowed(site: Site) -> None:
    loop = site.loop()
    await converge(loop)
    loop.container = site.container(template=OTHER_TEMPLATE)
    held = await converge(loop)
    assert held.plan is not None
    assert [step.needs for step in held.plan.steps] != [None]
    assert (await site.state())["ostemplate"] != OTHER_TEMPLATE
    loop.container = site.container(template=OTHER_TEMPLATE, allow=["recreate"])
    await converge(loop)
    assert (await site.state())["ostemplate"] == OTHER_TEMPLATE
    assert (await site.state())["running"]
    await assert_silent(site, loop)


def asked(container: Resource[ContainerSpec]) -> Resource[ContainerSpec]:
    request = Request(1, "restart", "PostgresCluster/psa-db", wall(), "work_mem would take effect")
    return replace(container, requests=(request,))


async def test_a_restart_that_is_asked_for_is_one_reboot_and_its_end_is_the_answer(site: Site) -> None:
    loop = site.loop(allow=["force-stop"])
    await converge(loop)
    started_at, since = (await site.state())["started_at"], await site.log_length()
    loop.container = asked(loop.container)
    await converge(loop)
    assert [(each.accepted, each.answer) for each in loop.container.requests] == [(True, "restarted")]
    assert (await site.state())["started_at"] != started_at
    assert [path.rpartition("/")[2] for path in await site.writes(since)] == ["reboot"]
    await assert_silent(site, loop)


async def test_a_restart_that_proxmox_fails_is_not_repeated(site: Site) -> None:
    loop = site.loop(allow=["force-stop"])
    await converge(loop)
    await site.server.fault(FailTask("vzreboot", "no space left"))
    since = await site.log_length()
    loop.container = asked(loop.container)
    await converge(loop)
    (request,) = loop.container.requests
    assert (request.accepted, (request.answer or "").partition(" (log")[0]) == (
        False,
        "failed: no space left",
    )
    assert len([path for path in await site.writes(since) if path.endswith("/reboot")]) == 1
    assert (await site.state())["running"]


async def test_a_locked_container_refuses_a_restart(site: Site) -> None:
    loop = site.loop(allow=["force-stop"])
    await converge(loop)
    await site.server.fault(Lock(site.ctid, "backup"))
    since = await site.log_length()
    loop.container = asked(loop.container)
    await loop.one_pass()
    (request,) = loop.container.requests
    assert request.answer == f"refused: CT {site.ctid} on pve is locked (backup)"
    assert await site.writes(since) == []


async def test_a_pending_change_takes_effect_by_an_allowed_restart(site: Site) -> None:
    loop = site.loop()
    await converge(loop)
    loop.container = site.container(nameserver="9.9.9.9")
    held = await converge(loop)
    assert held.plan is not None
    assert [verdict.reason for verdict in held.plan.verdicts] == ["PendingRestart"]
    assert (await site.state())["pending"] == {"nameserver": "9.9.9.9"}
    loop.container = site.container(nameserver="9.9.9.9", allow=["restart"])
    await converge(loop)
    assert (await site.state())["pending"] == {}
    assert (await site.state())["running"]


async def test_a_deaf_container_is_cut_off_only_if_that_is_allowed(site: Site) -> None:
    loop = site.loop()
    await converge(loop)
    await site.server.fault(Deaf(site.ctid))
    loop.container = site.container(state="Stopped", shutdownTimeout="1s")
    held = await converge(loop)
    assert held.plan is not None
    assert held.plan.steps[0].summary.startswith(f"cut the power of CT {site.ctid}")
    assert (await site.state())["running"]
    status = loop.container.status
    allowed = site.container(state="Stopped", shutdownTimeout="1s", allow=["force-stop"])
    loop.container = replace(allowed, status=status)
    await converge(loop)
    assert not (await site.state())["running"]


async def test_a_stranger_with_the_id_is_never_touched(site: Site) -> None:
    other = ContainerLoop(
        site.reconciler, replace(site.container(hostname="billing"), uid="f" * 32), now=wall
    )
    await converge(other)
    since = await site.log_length()
    loop = site.loop(adopt=True, memory="6Gi", allow=["recreate", "restart", "force-stop"])
    last = await converge(loop)
    assert last.plan is not None
    assert last.plan.blocked is not None
    assert last.plan.blocked[0] == "IdTaken"
    assert await site.writes(since) == []


async def test_a_container_of_the_same_name_is_adopted_on_request(site: Site) -> None:
    other = ContainerLoop(site.reconciler, replace(site.container(), uid="f" * 32), now=wall)
    await converge(other)
    waiting = site.loop(memory="6Gi")
    last = await converge(waiting)
    assert last.plan is not None
    assert last.plan.foreign is not None
    assert (await site.config())["memory"] == "4096"
    adopting = site.loop(memory="6Gi", adopt=True)
    await converge(adopting)
    config = await site.config()
    assert (config["memory"], config["tags"]) == ("6144", "psa;psa-a;psa-r-272bad9135db;psa-u-01234567")
    await assert_silent(site, adopting)


#: Where the versions do not differ, one of them is enough.
one_version = pytest.mark.parametrize("site", ["8.4"], indirect=True)

TROUBLES: list[Fault] = [
    Status(500, "can't lock file '/run/lock/lxc/pve-config.lock' - got timeout", method="PUT"),
    Status(500, "bridge 'nobr' does not exist", method="PUT", path="config$", applied=True),
    Status(500, "detected modified configuration - file changed by other user? Try again.", method="PUT"),
    Status(595, "No route to host", count=4),
    Status(596, "Connection reset by peer", method="POST", applied=True),
    Status(596, "Connection reset by peer", count=3),
    DropReply(method="POST"),
    DropReply(method="PUT"),
    DropReply(method="GET", count=4),
    Garbled(count=3),
    Garbled(method="POST"),
    Slow(seconds=10.0),
    FailTask("vzcreate", "no space left on device"),
    FailTask("vzstart", count=2),
    FailTask("vzstart", "WARNINGS: 1"),
    FailTask("vzstart", "unexpected status"),
    LoseTask("vzstart"),
    ProxyGone("pve1"),
]


@one_version
@pytest.mark.parametrize("fault", TROUBLES, ids=repr)
async def test_after_any_trouble_the_container_is_as_asked(site: Site, fault: Fault) -> None:
    await site.server.fault(fault)
    loop = site.loop()
    await loop.until_quiet(timedelta(minutes=2))
    loop.container = replace(site.container(memory="6Gi"), status=loop.container.status)
    await converge(loop)
    await site.server.control("DELETE", "/faults")
    await converge(loop)
    state = await site.state()
    assert state["running"]
    assert cast("dict[str, str]", state["config"])["memory"] == "6144"
    await assert_silent(site, loop)
    creations = [step for made in loop.history for step in made.ran if "create" in step.summary]
    assert len(creations) <= 2


@one_version
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Status(401, "Authentication failed!"), "Unauthorized"),
        (Status(403, "Permission check failed (/vms/100, VM.Audit)"), "Forbidden"),
    ],
    ids=["401", "403"],
)
async def test_a_refused_token_is_permanent_until_it_is_not(site: Site, fault: Fault, reason: str) -> None:
    await site.server.fault(fault)
    loop = site.loop()
    made = await loop.one_pass()
    assert isinstance(made.error, PermanentError)
    assert made.error.reason == reason
    await converge(loop)
    assert (await site.state())["running"]


@one_version
async def test_a_token_without_rights_creates_nothing_on_top_of_what_it_cannot_see(site: Site) -> None:
    await converge(site.loop())
    blind = Setup(
        users={"blind@pve": ""},
        tokens=(TokenSetup("blind@pve", "daemon", "22222222-2222-2222-2222-222222222222"),),
        acl=(AclSetup("blind@pve", f"/vms/{site.ctid + 5000}", "PVEVMAdmin"),),
    )
    await site.server.control("POST", "/setup", _as_json(blind))
    token = "blind@pve!daemon=22222222-2222-2222-2222-222222222222"
    transport = ProxmoxTransport("pve", site.server.urls, token, fingerprint=site.server.fingerprint)
    since = await site.log_length()
    reconciler = ContainerReconciler({"pve": ProxmoxContainers(transport)})
    made = await ContainerLoop(reconciler, site.container(), now=wall).one_pass()
    transport.close()
    assert isinstance(made.error, PermanentError)
    assert made.error.reason == "Forbidden"
    assert await site.writes(since) == []


def _as_json(setup: Setup) -> dict[str, object]:
    return {
        "users": setup.users,
        "tokens": [{"user": t.user, "name": t.name, "secret": t.secret} for t in setup.tokens],
        "acl": [{"who": a.who, "path": a.path, "role": a.role} for a in setup.acl],
    }


@one_version
async def test_a_lock_is_waited_for_by_name_and_never_removed(site: Site) -> None:
    loop = site.loop()
    await converge(loop)
    await site.server.fault(Lock(site.ctid, "backup"))
    loop.container = replace(site.container(memory="6Gi"), status=loop.container.status)
    made = await loop.one_pass()
    assert made.plan is not None
    assert made.plan.waiting == f"CT {site.ctid} on pve is locked (backup)"
    assert (await site.config())["lock"] == "backup"
    await site.server.control("DELETE", "/faults")
    await converge(loop)
    assert (await site.config())["memory"] == "6144"


@one_version
async def test_without_quorum_nothing_is_tried_and_with_it_everything_goes_on(site: Site) -> None:
    await site.server.fault(NoQuorum())
    since = await site.log_length()
    loop = site.loop()
    made = await loop.one_pass()
    assert made.plan is not None
    assert made.plan.waiting == "pve has no quorum: it takes no changes"
    assert await site.writes(since) == []
    await site.server.control("DELETE", "/faults")
    await converge(loop)
    assert (await site.state())["running"]


async def test_a_half_created_container_waits_for_a_hand_on_the_node(site: Site) -> None:
    await site.server.fault(LoseTask("vzcreate"))
    loop = site.loop()
    async with asyncio.timeout(30):
        while (made := await loop.one_pass()).plan is None or made.plan.blocked is None:
            await asyncio.sleep(0.05)
    assert made.plan.blocked[0] == "HalfCreated"
    assert f"pct unlock {site.ctid} && pct destroy {site.ctid}" in made.plan.blocked[1]
    await site.by_hand("unlock")
    upid = await site.client.destroy(Place("pve", "pve1", site.ctid))
    async with asyncio.timeout(10):
        while (await site.client.task(upid)).state is TaskState.RUNNING:
            await asyncio.sleep(0.01)
    await converge(loop)
    assert (await site.state())["running"]


@one_version
async def test_a_dead_node_makes_its_containers_unknown_and_recreates_nothing(site: Site) -> None:
    loop = site.loop(node="pve2")
    await converge(loop)
    since = await site.log_length()
    await site.server.fault(NodeDown("pve2"))
    made = await loop.one_pass()
    assert made.plan is not None
    assert [(v.type.value, v.status.value) for v in made.plan.verdicts] == [("Ready", "Unknown")]
    assert await site.writes(since) == []
