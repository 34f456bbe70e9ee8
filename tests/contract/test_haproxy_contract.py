"""What we rely on in HAProxy, against the fake and against the real one."""

from collections.abc import Callable, Iterator
from typing import Protocol

import pytest

from crds.balancer import ServerState
from lab.haproxy import LabHaproxy
from reconcilers.balancer.model import lasting
from reconcilers.contract import PermanentError
from reconcilers.servers import CONFIGURED_MAINT, FORCED_DRAIN, FORCED_MAINT, Health, Node, NodeDown, Server
from reconcilers.transports.haproxy import HaproxyTransport
from reconcilers.transports.haproxy_endpoints import HaproxyEndpoints
from tests.fakes.haproxy import FakeBackend, FakeHaproxy, FakeServer
from tests.real_haproxy import Site, a_site, the_node, until


class Client(Protocol):
    """What all three kinds need together."""

    async def look(self, endpoint: str, backend: str | None = None) -> tuple[Node | NodeDown, ...]: ...

    async def set_weight(
        self, endpoint: str, socket: str, backend: str, server: str, weight: int
    ) -> None: ...

    async def set_state(
        self, endpoint: str, socket: str, backend: str, server: str, state: ServerState
    ) -> None: ...

    async def server_states(self, endpoint: str, socket: str) -> str: ...


class Rig(Protocol):
    """One HAProxy with servers blue and green, and the levers of a test."""

    client: Client

    def begin(self, algorithm: str = "roundrobin", *, level: str = "admin", disabled: bool = False) -> None:
        """Start it; *disabled* means green, in the configuration."""
        ...

    def set_healthy(self, *, green: bool) -> None: ...

    def reload(self) -> None: ...


class FakeRig:
    def begin(self, algorithm: str = "roundrobin", *, level: str = "admin", disabled: bool = False) -> None:
        servers = [FakeServer("blue"), FakeServer("green", is_disabled=disabled)]
        self._haproxy = FakeHaproxy(FakeBackend("api_backend", servers, algorithm))
        self._haproxy.nodes[0].level = level
        self.client: Client = self._haproxy

    def set_healthy(self, *, green: bool) -> None:
        self._haproxy.nodes[0].backends[0].servers[1].is_alive = green

    def reload(self) -> None:
        self._haproxy.reload()


class RealRig:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._haproxy: LabHaproxy | None = None

    def begin(self, algorithm: str = "roundrobin", *, level: str = "admin", disabled: bool = False) -> None:
        backend = self._site.backend(algorithm, green="disabled" if disabled else "")
        self._haproxy = self._site.start(backend, level=level)
        transport = HaproxyTransport("edge", [self._haproxy.address])
        self.client: Client = HaproxyEndpoints({"edge": transport})

    def set_healthy(self, *, green: bool) -> None:
        self._site.green.is_healthy = green

    def reload(self) -> None:
        assert self._haproxy is not None
        self._haproxy.reload()


@pytest.fixture(params=["fake", "real"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    if request.param == "fake":
        yield FakeRig()
        return
    with a_site() as site:
        yield RealRig(site)


async def look(rig: Rig) -> Node:
    return the_node(await rig.client.look("edge", "api_backend"))


async def server(rig: Rig, name: str = "green") -> Server:
    backend = (await look(rig)).find("api_backend")
    assert backend is not None
    found = backend.find(name)
    assert found is not None
    return found


async def wait_for(rig: Rig, is_so: Callable[[Server], bool], name: str = "green") -> Server:
    return await until(lambda: server(rig, name), is_so)


async def set_weight(rig: Rig, weight: int, name: str = "green") -> None:
    await rig.client.set_weight("edge", (await look(rig)).socket, "api_backend", name, weight)


async def set_state(rig: Rig, state: ServerState, name: str = "green") -> None:
    await rig.client.set_state("edge", (await look(rig)).socket, "api_backend", name, state)


async def test_a_process_tells_what_it_is(rig: Rig) -> None:
    rig.begin()
    node = await look(rig)
    assert (node.name, node.is_admin) == ("edge", True)
    assert node.version.startswith("2.")
    assert node.pid > 1
    assert [backend.algorithm for backend in node.backends] == ["roundrobin"]


async def test_a_server_begins_with_its_configuration_and_becomes_up(rig: Rig) -> None:
    rig.begin()
    found = await wait_for(rig, lambda each: each.health is Health.UP)
    assert (found.weight, found.initial_weight, found.state) == (100, 100, ServerState.READY)
    assert found.address is not None
    assert found.address.startswith("127.0.0.1:")
    assert found.takes_traffic


@pytest.mark.parametrize("weight", [0, 1, 256])
async def test_a_weight_is_read_back_as_it_was_set(rig: Rig, weight: int) -> None:
    rig.begin()
    await set_weight(rig, weight)
    found = await server(rig)
    assert (found.weight, found.initial_weight) == (weight, 100)
    assert (await server(rig, "blue")).weight == 100


@pytest.mark.parametrize(
    ("state", "bits"),
    [(ServerState.DRAIN, FORCED_DRAIN), (ServerState.MAINT, FORCED_MAINT), (ServerState.READY, 0)],
)
async def test_a_state_is_read_back_as_it_was_set_whatever_it_was_before(
    rig: Rig, state: ServerState, bits: int
) -> None:
    rig.begin()
    for former in ServerState:
        await set_state(rig, former)
        await set_state(rig, state)
        found = await server(rig)
        assert (found.state, found.admin) == (state, bits)


async def test_a_state_leaves_the_weight_and_a_weight_the_state(rig: Rig) -> None:
    rig.begin()
    await set_state(rig, ServerState.MAINT)
    await set_weight(rig, 7)
    found = await server(rig)
    assert (found.weight, found.state) == (7, ServerState.MAINT)


async def test_a_server_in_maintenance_is_not_used_and_one_in_drain_is_still_checked(rig: Rig) -> None:
    rig.begin()
    await wait_for(rig, lambda each: each.health is Health.UP)
    await set_state(rig, ServerState.MAINT)
    assert (await server(rig)).health is Health.DOWN
    await set_state(rig, ServerState.DRAIN)
    assert not (await wait_for(rig, lambda each: each.health is Health.UP)).takes_traffic


async def test_a_server_that_leaves_maintenance_is_used_before_it_was_checked(rig: Rig) -> None:
    rig.begin()
    rig.set_healthy(green=False)
    await wait_for(rig, lambda each: each.health is Health.DOWN)
    await set_state(rig, ServerState.MAINT)
    await set_state(rig, ServerState.READY)
    # It may have been checked already, but it cannot have passed.
    assert (await server(rig)).health in {Health.DOUBTFUL, Health.DOWN}
    await wait_for(rig, lambda each: each.health is Health.DOWN)
    rig.set_healthy(green=True)
    await wait_for(rig, lambda each: each.health is Health.UP)


async def test_a_server_whose_checks_fail_keeps_weight_and_state_and_gets_nothing(rig: Rig) -> None:
    rig.begin()
    rig.set_healthy(green=False)
    found = await wait_for(rig, lambda each: each.health is Health.DOWN)
    assert (found.weight, found.state, found.takes_traffic) == (100, ServerState.READY, False)


async def test_a_server_disabled_in_the_configuration_is_opened_and_keeps_its_mark(rig: Rig) -> None:
    rig.begin(disabled=True)
    found = await server(rig)
    assert (found.state, found.admin) == (ServerState.MAINT, FORCED_MAINT | CONFIGURED_MAINT)
    await set_state(rig, ServerState.READY)
    found = await wait_for(rig, lambda each: each.health is Health.UP)
    assert (found.admin, found.takes_traffic) == (CONFIGURED_MAINT, True)


async def test_a_reload_is_another_process_with_the_configurations_weights_and_states(rig: Rig) -> None:
    rig.begin()
    before = await look(rig)
    await set_weight(rig, 3)
    await set_state(rig, ServerState.MAINT)
    rig.reload()
    after = await look(rig)
    assert after.pid != before.pid
    assert after.uptime_s <= 2
    found = await server(rig)
    assert (found.weight, found.state) == (100, ServerState.READY)


async def test_what_is_not_configured_is_absent_in_a_look_and_refused_in_a_command(rig: Rig) -> None:
    rig.begin()
    node = the_node(await rig.client.look("edge", "nothing"))
    assert node.backends == ()
    for backend, name, reason in (
        ("nothing", "green", "UnknownBackend"),
        ("api_backend", "red", "UnknownServer"),
    ):
        with pytest.raises(PermanentError) as refused:
            await rig.client.set_weight("edge", node.socket, backend, name, 1)
        assert refused.value.reason == reason
        with pytest.raises(PermanentError) as refused:
            await rig.client.set_state("edge", node.socket, backend, name, ServerState.DRAIN)
        assert refused.value.reason == reason


async def test_a_weight_above_256_is_refused(rig: Rig) -> None:
    rig.begin()
    with pytest.raises(PermanentError) as refused:
        await set_weight(rig, 257)
    assert refused.value.reason == "WeightRefused"


async def test_an_operators_socket_shows_all_and_changes_nothing(rig: Rig) -> None:
    rig.begin(level="operator")
    assert not (await look(rig)).is_admin
    with pytest.raises(PermanentError) as refused:
        await set_weight(rig, 1)
    assert refused.value.reason == "SocketNotAdmin"
    assert "level admin" in str(refused.value)
    assert (await server(rig)).weight == 100


@pytest.mark.parametrize("algorithm", ["static-rr", "source"])
async def test_a_static_algorithm_takes_only_nothing_and_the_configured_weight(
    rig: Rig, algorithm: str
) -> None:
    rig.begin(algorithm)
    with pytest.raises(PermanentError) as refused:
        await set_weight(rig, 50)
    assert refused.value.reason == "StaticAlgorithm"
    for weight in (0, 100):
        await set_weight(rig, weight)
        assert (await server(rig)).weight == weight
    assert [backend.algorithm for backend in (await look(rig)).backends] == [algorithm]


async def test_an_endpoint_or_a_socket_that_nobody_configured_is_refused(rig: Rig) -> None:
    rig.begin()
    with pytest.raises(PermanentError) as refused:
        await rig.client.look("dmz", "api_backend")
    assert refused.value.reason == "UnknownEndpoint"
    with pytest.raises(PermanentError) as refused:
        await rig.client.set_weight("edge", "unix:///elsewhere.sock", "api_backend", "green", 1)
    assert refused.value.reason == "UnknownSocket"


async def test_the_dumped_states_differ_where_something_lasting_does(rig: Rig) -> None:
    rig.begin()
    await wait_for(rig, lambda each: each.health is Health.UP)
    await wait_for(rig, lambda each: each.health is Health.UP, "blue")
    socket = (await look(rig)).socket
    first = lasting(await rig.client.server_states("edge", socket))
    assert lasting(await rig.client.server_states("edge", socket)) == first
    await set_weight(rig, 99)
    assert lasting(await rig.client.server_states("edge", socket)) != first
