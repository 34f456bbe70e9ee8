"""Any spec, any world, a crash anywhere, failures: in the end the container is as asked, and all is quiet."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Final

import looptime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crds.container import ContainerSpec, PowerState
from lab.pve.cluster import PveCluster
from lab.pve.faults import DropReply, FailTask, Fault, Garbled, LoseTask, SlowTask, Status
from lab.pve.message import Auth, Request
from reconcilers.container.client import ProxmoxContainers, parse_config
from reconcilers.container.model import GIB
from reconcilers.container.reconciler import ContainerReconciler
from reconcilers.container.settings import creation_options, differences
from reconcilers.contract import Resource
from tests.builders import START
from tests.builders_container import UID, a_container
from tests.fakes.container_loop import ContainerLoop, Crash
from tests.fakes.container_loop import virtual_now as now
from tests.fakes.proxmox import TEMPLATES, FakeProxmox, a_cluster

optional = st.none()
specs: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
    {
        "template": st.sampled_from([f"local:vztmpl/{name}" for name in TEMPLATES]),
        "storage": st.sampled_from(["local", "shared"]),
        "cores": st.sampled_from([None, 1, 2]),
        "memory": st.sampled_from([None, "512Mi", "64Mi", "4Gi"]),
        "swap": st.sampled_from([None, 0, "512Mi"]),
        "disk": st.sampled_from([None, "4Gi", "6Gi"]),
        "state": st.sampled_from(["Running", "Stopped"]),
        "features": st.sampled_from([None, {"nesting": True}, {"nesting": False}, {"fuse": False}]),
        "nameserver": st.sampled_from([None, "9.9.9.9", "2620:fe::fe"]),
        "searchdomain": st.sampled_from([None, "psa.local"]),
        "tags": st.sampled_from([None, [], ["zed", "alpha"]]),
        "onBoot": st.sampled_from([None, True, False]),
        "startup": st.sampled_from([None, {"order": 0}, {"order": 3, "up": "1500ms", "down": "1m"}]),
        "protection": st.sampled_from([None, False]),
        "description": st.sampled_from([None, "", "one", "\n a: b%c#d\n\nöß\ttab\n\n"]),
        "network": st.sampled_from(
            [
                None,
                {"bridge": "vmbr1", "address": "10.0.20.10/24"},
                {
                    "bridge": "vmbr0",
                    "address": "10.0.20.10/24",
                    "gateway": "10.0.20.1",
                    "vlan": 20,
                    "firewall": True,
                    "mtu": 1400,
                    "rate": 12.5,
                },
                {"bridge": "vmbr1", "address": "10.0.20.11/24", "firewall": False, "rate": 10},
            ]
        ),
    }
)
#: Each may strike anything, reads too; what has a count is gone after it.
faults: st.SearchStrategy[Fault] = st.sampled_from(
    [
        Status(500, "got timeout", count=2),
        Status(500, "can't lock file", method="POST|PUT|DELETE", applied=True),
        Status(500, "bridge 'nobr' does not exist", method="PUT", path="config$", applied=True),
        Status(500, "cluster not ready - no quorum?", method="POST|PUT|DELETE", count=3),
        Status(595, "No route to host", count=4),
        Status(596, "Connection reset by peer", method="POST|PUT|DELETE", applied=True),
        Status(596, "Connection reset by peer", method="POST|PUT|DELETE"),
        Status(503, "Service Unavailable", count=2),
        DropReply(method="POST|PUT|DELETE"),
        DropReply(method="POST|PUT|DELETE", applied=False),
        DropReply(method="GET", count=4),
        Garbled(count=3),
        Garbled(method="POST"),
        FailTask("vzcreate"),
        FailTask("vzstart", count=3),
        FailTask("vzstart", "unexpected status"),
        FailTask("vzshutdown", "container did not stop"),
        FailTask("vzdestroy"),
        FailTask("resize"),
        FailTask("vzcreate", "WARNINGS: 1"),
        LoseTask("vzstart"),
        LoseTask("vzshutdown"),
        LoseTask("vzdestroy"),
        SlowTask("vzcreate", seconds=400),
        SlowTask("vzstart", seconds=20),
    ]
)
EVERYTHING: Final = ["recreate", "restart", "force-stop"]


def root(cluster: PveCluster, method: str, path: str, **params: str) -> None:
    """Do something by root's own hand and let its task end."""
    auth = cluster.log_in("root@pam", now().timestamp())
    answer = cluster.handle(Request(method, path, params, auth), now().timestamp())
    assert answer.status == 200, answer
    cluster.advance(now().timestamp() + 3600)
    assert isinstance(auth, Auth)


async def put_there(cluster: PveCluster, container: Resource[ContainerSpec], *, running: bool) -> None:
    """Make the container that *container* describes, by other hands but with its stamps."""
    options = creation_options(container.spec, container.key.name, container.uid)
    root(cluster, "POST", "/nodes/pve1/lxc", **dict(options))
    await asyncio.sleep(3600)
    if running:
        root(cluster, "POST", "/nodes/pve1/lxc/100/status/start")
        await asyncio.sleep(3600)


def run(scenario: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(scenario)


def assert_as_asked(cluster: PveCluster, container: Resource[ContainerSpec]) -> None:
    """Compare the simulator's own state with the spec; nothing of the slice's reading is trusted."""
    found = cluster.container(100)
    assert found is not None
    assert found.node == "pve1"
    assert found.running == (container.spec.state is PowerState.RUNNING)
    assert found.ostemplate == container.spec.template
    assert found.config["rootfs"].startswith(f"{container.spec.storage}:")
    config = parse_config({**found.merged, "digest": "x"})
    assert differences(container.spec, container.key.name, container.uid, config) == ()
    if container.spec.disk is not None:
        volume = next(v for v in cluster.world.volumes if v.volid == found.config["rootfs"].split(",")[0])
        assert volume.size_bytes >= container.spec.disk * GIB
    assert not (found.running and found.pending)


async def converge(
    loop: ContainerLoop, cluster: PveCluster, fake: FakeProxmox, *, crash_at: int, after: list[Fault]
) -> None:
    """Run into the crash, come back with other faults, and end in silence."""
    loop.crash_at = crash_at
    try:
        await loop.until_quiet()
    except Crash:
        # Where a person has to help is a case of its own; here no task dies in the middle of a creation.
        await asyncio.sleep(1)
    loop.crash_at = None
    for fault in after:
        cluster.add_fault(fault, now().timestamp())
    await loop.until_quiet()
    cluster.clear_faults(now().timestamp())
    await loop.until_quiet()
    fake.asked.clear()
    loop.committed = 0
    assert (await loop.one_pass()).is_quiet
    assert fake.writes == []
    assert loop.committed == 0
    assert loop.intents == ()


def a_loop(
    container: Resource[ContainerSpec], *, version: str = "8.4"
) -> tuple[PveCluster, FakeProxmox, ContainerLoop]:
    cluster = a_cluster(START.timestamp(), version=version)
    fake = FakeProxmox(cluster, lambda: now().timestamp())
    loop = ContainerLoop(ContainerReconciler({"pve": ProxmoxContainers(fake)}), container)
    return cluster, fake, loop


@settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(
    spec=specs,
    before=st.none() | specs,
    was_running=st.booleans(),
    crash_at=st.integers(1, 40),
    first=st.lists(faults, max_size=2),
    then=st.lists(faults, max_size=2),
    version=st.sampled_from(["8.4", "9.2"]),
)
def test_a_container_of_ours_converges_from_anything_through_anything(  # noqa: PLR0917 - all that varies
    spec: dict[str, object],
    before: dict[str, object] | None,
    was_running: bool,  # noqa: FBT001 - a case
    crash_at: int,
    first: list[Fault],
    then: list[Fault],
    version: str,
) -> None:
    # A disk that has to shrink, and flags that only root may set, are refusals; they have cases of their own.
    spec = spec | {"disk": "6Gi" if spec["disk"] is not None else None, "allow": EVERYTHING}

    async def scenario() -> None:
        container = a_container("psa-crm", **spec)
        cluster, fake, loop = a_loop(container, version=version)
        if before is not None:
            old = a_container("psa-crm", **(before | {"tags": None}))
            await put_there(cluster, replace(old, uid=UID), running=was_running)
        for fault in first:
            cluster.add_fault(fault, now().timestamp())
        await converge(loop, cluster, fake, crash_at=crash_at, after=then)
        assert_as_asked(cluster, container)

    run(scenario())


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    spec=specs,
    theirs=specs,
    was_running=st.booleans(),
    adopt=st.booleans(),
    crash_at=st.integers(1, 12),
    first=st.lists(faults, max_size=2),
)
def test_a_stranger_with_our_id_is_never_touched(  # noqa: PLR0917 - all that varies
    spec: dict[str, object],
    theirs: dict[str, object],
    was_running: bool,  # noqa: FBT001 - a case
    adopt: bool,  # noqa: FBT001 - a case
    crash_at: int,
    first: list[Fault],
) -> None:
    async def scenario() -> None:
        container = a_container("psa-crm", **spec, adopt=adopt, allow=EVERYTHING)
        cluster, fake, loop = a_loop(container)
        stranger = a_container("psa-crm", **theirs, hostname="billing")
        await put_there(cluster, replace(stranger, uid="f" * 32), running=was_running)
        for fault in first:
            cluster.add_fault(fault, now().timestamp())
        await converge(loop, cluster, fake, crash_at=crash_at, after=[])
        assert fake.writes == []
        assert [asked for asked in fake.asked if asked[0] != "GET"] == []
        found = cluster.container(100)
        assert found is not None
        assert found.running == was_running

    run(scenario())
