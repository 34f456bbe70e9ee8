"""The calls of the Container slice: one body against the fake and against the simulator's HTTPS server."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

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
    SlowTask,
    Status,
)
from reconcilers.container.client import ContainerClient, ProxmoxContainers
from reconcilers.container.model import Elsewhere, Place, SeenContainer, SeenTask, TaskState, Volume
from reconcilers.container.settings import creation_options
from reconcilers.contract import NotSentError, PermanentError, TransientError
from reconcilers.transports.proxmox_errors import NodeSilentError
from tests.builders_container import UID, a_container
from tests.fakes.proxmox import FakeProxmox, PveServer, a_cluster

GIB = 1024**3
EPOCH = datetime.fromtimestamp(0, UTC)
PLACE = Place("pve", "pve1", 100)
SPEC = a_container(network={"bridge": "vmbr1", "address": "10.0.20.10/24", "gateway": "10.0.20.1"}).spec
OPTIONS = creation_options(SPEC, "psa-crm", UID)


class Cluster(Protocol):
    """A cluster that tests look at through *client* and whose faults they switch on."""

    @property
    def client(self) -> ContainerClient: ...

    async def fault(self, fault: Fault) -> None: ...
    async def act(self, vmid: int, action: str) -> None: ...


class _Fake:
    def __init__(self) -> None:
        cluster = a_cluster(time.time(), time_scale=0.05)
        self._cluster = cluster
        self.client = ProxmoxContainers(FakeProxmox(cluster, time.time))

    async def fault(self, fault: Fault) -> None:
        self._cluster.add_fault(fault, time.time())

    async def act(self, vmid: int, action: str) -> None:
        assert action == "stop-by-hand"
        self._cluster.stop_by_hand(vmid, time.time())


class _Real:
    def __init__(self, server: PveServer, client: ContainerClient) -> None:
        self._server = server
        self.client = client

    async def fault(self, fault: Fault) -> None:
        await self._server.fault(fault)

    async def act(self, vmid: int, action: str) -> None:
        await self._server.control("POST", f"/container/{vmid}/{action}", {})


@pytest.fixture(scope="module")
def servers() -> Iterator[Callable[[str], PveServer]]:
    """One simulator for each version that a test asks for, shared by the tests of this module."""
    running: dict[str, PveServer] = {}
    with contextlib.ExitStack() as stack:

        def of(version: str) -> PveServer:
            if version not in running:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="psa-pve-", dir="/tmp")))
                running[version] = stack.enter_context(PveServer(folder, version=version))
            return running[version]

        yield of


@pytest.fixture(params=["fake", "8.4", "9.2"])
async def cluster(
    request: pytest.FixtureRequest, servers: Callable[[str], PveServer]
) -> AsyncIterator[Cluster]:
    if request.param == "fake":
        yield _Fake()
        return
    server = servers(request.param)
    await server.prepare()
    transport = server.transport()
    client = ProxmoxContainers(transport)
    yield _Real(server, client)
    await _clean_up(server, client)
    transport.close()


async def _clean_up(server: PveServer, client: ContainerClient) -> None:
    """Leave nothing for the next test that shares the process."""
    await server.control("DELETE", "/faults")
    for node in ("pve1", "pve3"):
        place = Place("pve", node, 100)
        if await client.look(place) is None:
            continue
        async with asyncio.timeout(10):
            while any(task.state is TaskState.RUNNING for task in await client.tasks(place, EPOCH)):
                await asyncio.sleep(0.01)
        await server.control("POST", "/container/100/unlock")
        if (await look_at(client, place)).is_running:
            await server.control("POST", "/container/100/stop-by-hand")
        await done(client, client.destroy(place))


async def wait_for_end(client: ContainerClient, upid: str) -> SeenTask:
    async with asyncio.timeout(10):
        while (task := await client.task(upid)).state is TaskState.RUNNING:
            await asyncio.sleep(0.01)
    return task


async def done(client: ContainerClient, begun: Awaitable[str]) -> None:
    task = await wait_for_end(client, await begun)
    assert (task.state, task.message) == (TaskState.DONE, "")


async def look_at(client: ContainerClient, place: Place) -> SeenContainer:
    seen = await client.look(place)
    assert seen is not None
    return seen


async def look(client: ContainerClient) -> SeenContainer:
    return await look_at(client, PLACE)


async def test_a_created_container_is_read_back_as_it_was_asked_for(cluster: Cluster) -> None:
    await done(cluster.client, cluster.client.create(PLACE, OPTIONS))
    seen = await look(cluster.client)
    assert (seen.is_running, seen.lock, seen.pending, seen.ha_state) == (False, None, (), None)
    config = seen.config
    assert (config.hostname, config.cores, config.memory_mib, config.swap_mib) == ("psa-crm", 2, 4096, 0)
    assert config.root == Volume("local", 10 * GIB)
    assert config.tags == {"psa", "psa-r-272bad9135db", "psa-u-01234567"}
    assert config.unprivileged
    net0 = dict(config.net0)
    assert net0.pop("hwaddr").startswith("BC:24:11:")
    wanted = {"name": "eth0", "bridge": "vmbr1", "gw": "10.0.20.1", "ip": "10.0.20.10/24", "type": "veth"}
    assert net0 == wanted


async def test_power_resize_and_removal_are_tasks_that_end(cluster: Cluster) -> None:
    client = cluster.client
    await done(client, client.create(PLACE, OPTIONS))
    await done(client, client.power(PLACE, "start"))
    assert (await look(client)).is_running
    await done(client, client.resize(PLACE, gib=12))
    assert (await look(client)).config.root == Volume("local", 12 * GIB)
    await done(client, client.power(PLACE, "shutdown", patience=timedelta(seconds=5)))
    assert not (await look(client)).is_running
    await done(client, client.power(PLACE, "start"))
    await done(client, client.power(PLACE, "stop"))
    await done(client, client.destroy(PLACE))
    assert await client.look(PLACE) is None
    assert await client.find(100) is None


async def test_settings_change_with_the_digest_that_was_read_and_conflict_with_another(
    cluster: Cluster,
) -> None:
    client = cluster.client
    await done(client, client.create(PLACE, OPTIONS))
    before = (await look(client)).config.digest
    await client.configure(PLACE, (("memory", "6144"),), deleted=("cores",), digest=before)
    after = (await look(client)).config
    assert (after.memory_mib, after.cores) == (6144, None)
    with pytest.raises(NotSentError, match="detected modified configuration"):
        await client.configure(PLACE, (("memory", "1024"),), deleted=(), digest=before)
    assert (await look(client)).config == after


async def test_a_running_container_keeps_features_pending_and_takes_memory_live(cluster: Cluster) -> None:
    client = cluster.client
    await done(client, client.create(PLACE, OPTIONS))
    await done(client, client.power(PLACE, "start"))
    digest = (await look(client)).config.digest
    changes = (("features", "nesting=1"), ("memory", "6144"), ("nameserver", "9.9.9.9"))
    await client.configure(PLACE, changes, deleted=(), digest=digest)
    seen = await look(client)
    assert seen.pending == ("features", "nameserver")
    assert (seen.config.memory_mib, seen.config.nameserver) == (6144, "9.9.9.9")


async def test_a_put_that_answers_500_is_stored_all_the_same(cluster: Cluster) -> None:
    client = cluster.client
    await done(client, client.create(PLACE, OPTIONS))
    config = (await look(client)).config
    net0 = "name=eth0,bridge=nobr,ip=10.0.20.10/24"
    with pytest.raises(NotSentError, match="bridge 'nobr' does not exist"):
        await client.configure(PLACE, (("net0", net0),), deleted=(), digest=config.digest)
    assert dict((await look(client)).config.net0)["bridge"] == "nobr"


async def test_the_id_is_found_wherever_it_is(cluster: Cluster) -> None:
    client = cluster.client
    there = Place("pve", "pve3", 100)
    await done(client, client.create(there, OPTIONS))
    assert await client.look(PLACE) is None
    assert await client.find(100) == Elsewhere("pve3", is_container=True)
    with pytest.raises(NotSentError, match="already exists on node 'pve3'"):
        await client.create(PLACE, OPTIONS)


async def test_our_permissions_prove_that_nothing_is_hidden(cluster: Cluster) -> None:
    assert await cluster.client.may_see(100)
    assert await cluster.client.is_quorate() is True


async def test_without_quorum_changes_are_refused_before_anything_happens(cluster: Cluster) -> None:
    client = cluster.client
    await cluster.fault(NoQuorum())
    assert await client.is_quorate() is False
    with pytest.raises(NotSentError, match="no quorum"):
        await client.create(PLACE, OPTIONS)


async def test_a_failed_task_tells_its_last_lines(cluster: Cluster) -> None:
    client = cluster.client
    missing = tuple((k, "local:vztmpl/nope.tar.zst" if k == "ostemplate" else v) for k, v in OPTIONS)
    task = await wait_for_end(client, await client.create(PLACE, missing))
    assert task.state is TaskState.FAILED
    assert task.message.startswith(
        "unable to create CT 100 - volume 'local:vztmpl/nope.tar.zst' does not exist"
    )
    assert await client.look(PLACE) is None


async def test_a_killed_worker_leaves_a_half_created_container_behind_a_lock(cluster: Cluster) -> None:
    client = cluster.client
    await cluster.fault(LoseTask("vzcreate"))
    task = await wait_for_end(client, await client.create(PLACE, OPTIONS))
    assert (task.state, task.message) == (TaskState.FAILED, "unable to read tail (got 0 bytes)")
    seen = await look(client)
    assert (seen.lock, seen.config.hostname) == ("create", None)
    with pytest.raises(NotSentError, match=r"CT is locked \(create\)"):
        await client.destroy(PLACE)


@pytest.mark.parametrize(
    ("exit_status", "state"),
    [
        ("WARNINGS: 2", TaskState.DONE),
        ("unexpected status", TaskState.ENDED),
        ("command 'lxc-start' failed: exit code 1", TaskState.FAILED),
    ],
)
async def test_the_exit_of_a_task_is_read_as_proxmox_means_it(
    cluster: Cluster, exit_status: str, state: TaskState
) -> None:
    client = cluster.client
    await done(client, client.create(PLACE, OPTIONS))
    await cluster.fault(FailTask("vzstart", exit_status))
    task = await wait_for_end(client, await client.power(PLACE, "start"))
    assert task.state is state


async def test_a_task_that_proxmox_does_not_know_is_lost(cluster: Cluster) -> None:
    upid = "UPID:pve1:00000001:00000001:00000001:vzstart:100:psa@pve!daemon:"
    task = await cluster.client.task(upid)
    assert (task.state, task.kind, task.user) == (TaskState.LOST, "vzstart", "psa@pve!daemon")


async def test_somebody_elses_task_says_nothing_about_ours(cluster: Cluster) -> None:
    upid = "UPID:pve1:00000001:00000001:00000001:vzstart:100:root@pam:"
    assert (await cluster.client.task(upid)).state is TaskState.LOST


async def test_the_task_of_a_lost_answer_is_in_the_list_while_it_runs_and_afterwards(
    cluster: Cluster,
) -> None:
    client = cluster.client
    since = datetime.now(UTC) - timedelta(seconds=2)
    await cluster.fault(SlowTask("vzcreate", seconds=10))
    await cluster.fault(DropReply(method="POST", path="/lxc$"))
    with pytest.raises(TransientError) as lost:
        await client.create(PLACE, OPTIONS)
    assert not isinstance(lost.value, NotSentError)
    task = (await client.tasks(PLACE, since))[0]
    assert (task.kind, task.user, task.state) == ("vzcreate", client.user, TaskState.RUNNING)
    assert (await wait_for_end(client, task.upid)).state is TaskState.DONE
    assert (await client.tasks(PLACE, since))[0].state is TaskState.DONE
    assert await client.tasks(PLACE, datetime.now(UTC) + timedelta(hours=1)) == ()


async def test_a_deaf_container_outlasts_its_shutdown_and_not_its_stop(cluster: Cluster) -> None:
    client = cluster.client
    await done(client, client.create(PLACE, OPTIONS))
    await done(client, client.power(PLACE, "start"))
    await cluster.fault(Deaf(100))
    upid = await client.power(PLACE, "shutdown", patience=timedelta(seconds=1))
    task = await wait_for_end(client, upid)
    assert (task.state, task.message) == (TaskState.FAILED, "container did not stop")
    assert (await look(client)).is_running
    await done(client, client.power(PLACE, "stop"))
    assert not (await look(client)).is_running


async def test_a_lock_is_seen_and_refuses_changes(cluster: Cluster) -> None:
    client = cluster.client
    await done(client, client.create(PLACE, OPTIONS))
    await cluster.fault(Lock(100, "backup"))
    seen = await look(client)
    assert seen.lock == "backup"
    with pytest.raises(NotSentError, match=r"CT is locked \(backup\)"):
        await client.configure(PLACE, (("memory", "64"),), deleted=(), digest=seen.config.digest)


async def test_a_container_that_died_is_seen_as_stopped_at_once(cluster: Cluster) -> None:
    client = cluster.client
    await done(client, client.create(PLACE, OPTIONS))
    await done(client, client.power(PLACE, "start"))
    await cluster.act(100, "stop-by-hand")
    assert not (await look(client)).is_running


Call = Callable[[ContainerClient], Awaitable[object]]


async def _look(client: ContainerClient) -> object:
    return await client.look(PLACE)


async def _start(client: ContainerClient) -> object:
    return await client.power(PLACE, "start")


def _named(value: object) -> str:
    """Return an id that is the same in every process."""
    return getattr(value, "__name__", repr(value))


@pytest.mark.parametrize(
    ("fault", "call", "error", "is_unsent"),
    [
        (Status(401, "Authentication failed!"), _look, PermanentError, False),
        (Status(403, "Permission check failed (/vms/100, VM.Audit)"), _look, PermanentError, False),
        (Status(595, "No route to host", count=3), _look, NodeSilentError, False),
        (Status(596, "Connection reset by peer", count=3), _look, NodeSilentError, False),
        (Status(500, "got timeout", count=3), _look, TransientError, False),
        (Garbled(count=3), _look, TransientError, False),
        (DropReply(method="GET", count=3), _look, TransientError, False),
        (NodeDown("pve1"), _look, NodeSilentError, False),
        (Status(595, "No route to host"), _start, NotSentError, True),
        (Status(596, "Connection reset by peer", applied=True), _start, TransientError, False),
        (Status(500, "got timeout"), _start, TransientError, False),
        (Garbled(), _start, TransientError, False),
        (DropReply(), _start, TransientError, False),
        (Status(403, "Permission check failed (/vms/100, VM.PowerMgmt)"), _start, PermanentError, False),
    ],
    ids=_named,
)
async def test_a_fault_is_the_error_that_it_means(
    cluster: Cluster, fault: Fault, call: Call, error: type[Exception], *, is_unsent: bool
) -> None:
    await done(cluster.client, cluster.client.create(PLACE, OPTIONS))
    await cluster.fault(fault)
    with pytest.raises(error) as met:
        await call(cluster.client)
    assert isinstance(met.value, NotSentError) is is_unsent
