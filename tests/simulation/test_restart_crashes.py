"""Killed at every single numbered point, the daemon restarts each member's container once, in its order."""

from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry

from crds.meta import Key
from crds.postgres import PostgresClusterSpec, PostgresClusterStatus
from daemon.engine.passes import AnyReconciler
from daemon.store.operations import Apply, Ask
from daemon.store.state import State
from lab.pve.faults import FailTask, Lock, LoseTask
from metrics.postgres import PostgresMetrics
from reconcilers.contract import NotSentError
from reconcilers.gauges import Gauges
from reconcilers.postgres.actions import Target
from reconcilers.postgres.model import SeenMember
from reconcilers.postgres.reconciler import PostgresReconciler
from tests.builders import START, a_container_spec
from tests.fakes.haproxy import FakeBackend, FakeHaproxy
from tests.fakes.postgres import FakeMember, FakePostgres, at_once
from tests.real_postgres import KEY, NamedSecrets
from tests.simulation.crashes import Killer, Machine
from tests.simulation.ports import VirtualClock
from tests.simulation.world import World, a_world

pytestmark = [pytest.mark.looptime(end=10**9, noop_cycles=0), pytest.mark.timeout(240)]

HOSTS = {"primary": "psa-db-master", "replica": "psa-db-replica"}
CTIDS = {"primary": 203, "replica": 204}
LINK = {"host": "10.0.30.10", "port": "5432", "user": "replicator", "password": "secret"}


class HostedPostgres(FakePostgres):
    """Servers that live in containers of the simulated cluster: they end and begin with them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.begun: dict[str, float] = {}
        primary = FakeMember("primary", "10.0.30.10:5432")
        replica = FakeMember("replica", "10.0.30.11:5432", is_standby=True, conninfo=LINK)
        super().__init__({"primary": primary, "replica": replica})

    async def look(self, target: Target) -> SeenMember:
        container = self.world.cluster.container(CTIDS[target.member])
        if container is None or container.started_at is None:
            raise NotSentError(f"{target.member}: no route to host")
        if self.begun.setdefault(target.member, container.started_at) != container.started_at:
            self.begun[target.member] = container.started_at
            self.servers[target.member].restart()
        return await super().look(target)


class HostedMachine(Machine):
    """A machine whose cluster's members are containers of its Proxmox."""

    def __init__(self) -> None:
        self.world = a_world(FakeHaproxy(FakeBackend("unused", [])))
        self.postgres = HostedPostgres(self.world)
        super().__init__(self.processed)

    def processed(self) -> Mapping[str, AnyReconciler]:
        """Return what a new process would have: nothing in memory."""
        metrics, clock = PostgresMetrics(CollectorRegistry()), VirtualClock()
        cluster = PostgresReconciler(
            self.postgres, NamedSecrets({}), metrics, Gauges(), clock.now, worker=at_once
        )
        return {**self.world.reconcilers(), KEY.kind: cluster}

    @property
    def reboots(self) -> list[str]:
        return [write for write in self.world.proxmox.writes if write.endswith("/status/reboot")]


def a_host(member: str) -> Apply:
    ends = {"primary": "10", "replica": "11"}[member]
    spec = a_container_spec(
        ctid=CTIDS[member],
        allow=["force-stop"],
        network={"bridge": "vmbr1", "vlan": 30, "address": f"10.0.30.{ends}/24", "gateway": "10.0.30.1"},
    )
    return Apply(Key("Container", HOSTS[member]), f"{CTIDS[member]:032x}", spec, START)


def a_cluster(connections: int, **fields: object) -> Apply:
    spec = PostgresClusterSpec.model_validate(
        {
            "endpoint": "psa-db",
            "settings": {"max_connections": connections},
            "roles": {"replicator": {"login": True, "replication": True}},
            "dependsOn": [f"Container/{name}" for name in HOSTS.values()],
            "restart": {"containers": HOSTS},
            "allow": ["restart"],
            **fields,
        }
    )
    return Apply(KEY, "0" * 32, spec, START)


DECLARED = (a_host("primary"), a_host("replica"), a_cluster(200))


def restarted(machine: HostedMachine) -> list[str]:
    numbers = {f"/{ctid}/": member for member, ctid in CTIDS.items()}
    return [member for write in machine.reboots for part, member in numbers.items() if part in write]


def ends_restarted(machine: Machine, state: State, moment: str) -> None:
    assert isinstance(machine, HostedMachine)
    assert restarted(machine) == ["replica", "primary"], (moment, "what rises restarts standbys first")
    for server in machine.postgres.servers.values():
        assert (server.settings["max_connections"].value, server.runs) == ("200", 2), moment
    found = state.objects[KEY]
    assert found.is_ready(), (moment, found.conditions)
    assert isinstance(found.status, PostgresClusterStatus)
    assert found.status.pending_restart == (), moment
    for name in HOSTS.values():
        (request,) = state.objects[Key("Container", name)].requests
        assert (request.actor, request.accepted, request.answer) == (str(KEY), True, "restarted"), moment
    assert state.open_intents == {}, moment


@pytest.mark.slow
async def test_a_crash_at_any_point_restarts_no_container_twice_and_none_out_of_order() -> None:
    whole, reference = Killer(), HostedMachine()
    state = await reference.run(DECLARED, whole)
    assert state is not None
    ends_restarted(reference, state, "no crash")
    # What comes before are containers that are made: test_crashes.py has those.
    first = whole.points.index("before SetSetting") + 1
    assert whole.last - first > 20
    for number in range(first, whole.last + 1):
        machine, killer = HostedMachine(), Killer(number)
        state = await machine.run(DECLARED, killer) or await machine.run(DECLARED, Killer())
        assert state is not None
        ends_restarted(machine, state, f"killed at point {number}, {killer.points[-1]}")


async def test_a_lost_answer_restarts_no_container_twice() -> None:
    machine = HostedMachine()
    machine.world.proxmox.lose_answers_of = "status/reboot"
    state = await machine.run(DECLARED, Killer())
    assert state is not None
    ends_restarted(machine, state, "the answer to the reboot was lost")


async def test_what_falls_restarts_the_primarys_container_first() -> None:
    machine = HostedMachine()
    assert await machine.run((DECLARED[0], DECLARED[1], a_cluster(50)), Killer()) is not None
    assert restarted(machine) == ["primary", "replica"]


async def test_a_task_that_proxmox_has_lost_is_not_begun_again() -> None:
    machine = HostedMachine()
    assert await machine.run((DECLARED[0], DECLARED[1]), Killer()) is not None
    machine.world.cluster.add_fault(LoseTask("vzreboot", vmid=204), VirtualClock().now().timestamp())
    state = await machine.run((a_cluster(200),), Killer())
    assert state is not None
    (request,) = state.objects[Key("Container", HOSTS["replica"])].requests
    assert (request.accepted, request.answer) == (False, "failed: unable to read tail (got 0 bytes)")
    # It was seen to be off, and began again: what it waited for is in force, and the primary follows.
    assert restarted(machine) == ["replica", "primary"]


async def test_a_restart_that_fails_is_said_and_neither_repeated_nor_followed_by_the_next() -> None:
    machine = HostedMachine()
    assert await machine.run((DECLARED[0], DECLARED[1]), Killer()) is not None
    machine.world.cluster.add_fault(
        FailTask("vzreboot", "no space left", vmid=204), START.timestamp() + 10**6
    )
    state = await machine.run((a_cluster(200),), Killer(), seconds=900)
    assert state is not None
    assert restarted(machine) == ["replica"]
    said = [each.message for each in state.objects[KEY].conditions if each.reason == "RestartFailed"]
    assert "restart of replica through Container/psa-db-replica: failed: no space left" in said


async def test_a_locked_container_refuses_and_after_a_person_has_asked_the_rest_follows() -> None:
    machine = HostedMachine()
    assert await machine.run((DECLARED[0], DECLARED[1]), Killer()) is not None
    machine.world.cluster.add_fault(Lock(204, "backup"), START.timestamp() + 10**6)
    state = await machine.run((a_cluster(200),), Killer(), seconds=300)
    assert state is not None
    assert restarted(machine) == []
    (request,) = state.objects[Key("Container", HOSTS["replica"])].requests
    assert request.answer == "refused: CT 204 on pve is locked (backup)"
    machine.world.cluster.unlock(204)
    now = VirtualClock().now()
    wish = Ask(Key("Container", HOSTS["replica"]), "restart", "uid 0", now, "the backup is over")
    assert await machine.run((wish,), Killer()) is not None
    assert restarted(machine) == ["replica", "primary"]


async def test_in_steady_state_nothing_is_asked_or_written() -> None:
    machine = HostedMachine()
    assert await machine.run(DECLARED, Killer()) is not None
    machine.world.proxmox.writes.clear()
    quiet = Killer()
    assert await machine.run((), quiet, seconds=600) is not None
    assert machine.world.proxmox.writes == []
    assert not [point for point in quiet.points if "intent" in point]
