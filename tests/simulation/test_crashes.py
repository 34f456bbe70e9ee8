"""Killed at every single numbered point, the daemon ends like one that was never killed."""

from collections import Counter

import pytest

from crds.container import ContainerSpec
from crds.meta import Key
from crds.service import ServiceSpec
from daemon.store.operations import Apply
from daemon.store.state import State
from tests.builders import START, a_container_spec
from tests.fakes.haproxy import FakeBackend, FakeHaproxy, FakeServer
from tests.simulation.crashes import Killer, Machine, every_crash
from tests.simulation.world import World, a_world

pytestmark = [pytest.mark.looptime(end=10**9, noop_cycles=0), pytest.mark.timeout(240)]

REDIS = Key("Container", "psa-redis")
GATEWAY = Key("Service", "psa-api-gateway")


def an_edge() -> FakeHaproxy:
    servers = [
        FakeServer("blue", "10.0.20.10:3000", is_alive=False),
        FakeServer("green", "10.0.20.110:3001", is_alive=False),
    ]
    return FakeHaproxy(FakeBackend("api_backend", servers))


class SimulatedMachine(Machine):
    """A machine with its world."""

    def __init__(self) -> None:
        self.world: World = a_world(an_edge())
        super().__init__(self.world.reconcilers)


def declared(key: Key, spec: ContainerSpec | ServiceSpec) -> Apply:
    return Apply(key, key.name.encode().hex()[:32].ljust(32, "0"), spec, START)


def a_service() -> ServiceSpec:
    return ServiceSpec.model_validate(
        {
            "backend": {"endpoint": "edge", "name": "api_backend"},
            "container": {
                "endpoint": "pve",
                "template": "local:vztmpl/psa-api-gateway_{version}_amd64.tar.zst",
                "cores": 2,
                "memory": "4Gi",
                "swap": 0,
                "disk": "10Gi",
                "features": {"nesting": True},
                "network": {"bridge": "vmbr1", "vlan": 20, "gateway": "10.0.20.1"},
            },
            "colors": {
                "blue": {"ctid": 100, "node": "pve1", "address": "10.0.20.10/24", "port": 3000},
                "green": {"ctid": 1100, "node": "pve2", "address": "10.0.20.110/24", "port": 3001},
            },
            "initial": {"color": "blue", "version": "1.0.0"},
        }
    )


def a_redis(**fields: object) -> ContainerSpec:
    return a_container_spec(ctid=210, node="pve2", tags=["data"], onBoot=True, **fields)


def surplus(world: World) -> dict[str, int]:
    """Mutations that must happen once at most, if they happened more often."""
    counted = Counter(
        write for write in world.proxmox.writes if write.endswith("/lxc") or write.startswith("DELETE")
    )
    return {write: count for write, count in counted.items() if count > 1 or write.startswith("DELETE")}


def ends_well(machine: Machine, state: State, moment: str) -> None:
    assert isinstance(machine, SimulatedMachine)
    world = machine.world
    running = {found.vmid: found.hostname for found in world.cluster.running()}
    assert running == {100: "psa-api-gateway-blue", 210: "psa-redis"}, moment
    not_ready = [str(key) for key, found in state.objects.items() if not found.is_ready()]
    split = Key("TrafficSplit", "psa-api-gateway")
    assert set(not_ready) <= {str(GATEWAY), str(split)}, moment  # nothing serves behind the fake's addresses
    weights = {name: world.haproxy.nodes[0].state["api_backend", name].weight for name in ("blue", "green")}
    assert weights == {"blue": 100, "green": 0}, moment
    assert state.open_intents == {}, moment
    assert surplus(world) == {}, moment


async def test_every_single_crash_point_ends_like_the_run_without_a_crash() -> None:
    operations = (declared(REDIS, a_redis()), declared(GATEWAY, a_service()))
    points = await every_crash(SimulatedMachine, operations, ends_well)
    assert points > 40


async def test_a_change_survives_a_crash_at_every_point_without_another_container() -> None:
    def grown(machine: Machine, state: State, moment: str) -> None:
        assert isinstance(machine, SimulatedMachine)
        container = machine.world.cluster.container(210)
        assert container is not None, moment
        assert container.config["memory"] == "6144", moment
        assert state.objects[REDIS].is_ready(), moment
        assert surplus(machine.world) == {}, moment

    before, after = declared(REDIS, a_redis()), declared(REDIS, a_redis(memory="6Gi", disk="20Gi"))
    whole = Killer()
    reference = SimulatedMachine()
    assert await reference.run((before,), Killer()) is not None
    state = await reference.run((after,), whole)
    assert state is not None
    grown(reference, state, "no crash")
    for number in range(1, whole.last + 1):
        machine = SimulatedMachine()
        assert await machine.run((before,), Killer()) is not None
        ended = await machine.run((after,), Killer(number))
        state = ended or await machine.run((after,), Killer())
        assert state is not None
        grown(machine, state, f"killed at point {number}")


@pytest.mark.parametrize("path", ["lxc", "status/start", "config"])
async def test_a_lost_answer_makes_no_second_container(path: str) -> None:
    machine = SimulatedMachine()
    machine.world.proxmox.lose_answers_of = path
    state = await machine.run((declared(REDIS, a_redis()), declared(GATEWAY, a_service())), Killer())
    assert state is not None
    ends_well(machine, state, f"the answer to {path} was lost")


async def test_steady_state_neither_writes_nor_changes_anything_for_five_minutes() -> None:
    machine = SimulatedMachine()
    operations = (declared(REDIS, a_redis()), declared(GATEWAY, a_service()))
    assert await machine.run(operations, Killer()) is not None
    writes, commands = len(machine.world.proxmox.writes), len(machine.world.haproxy.commands)
    quiet = Killer()
    state = await machine.run((), quiet, seconds=300)
    assert state is not None
    assert len(machine.world.proxmox.writes) == writes
    assert len(machine.world.haproxy.commands) == commands
    assert not [point for point in quiet.points if "intent" in point]
