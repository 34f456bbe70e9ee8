"""Service, TrafficSplit and LoadBalancer in the real engine before a real HAProxy, under traffic."""

import asyncio
import contextlib
import http.client
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import pytest
from prometheus_client import CollectorRegistry

from crds.balancer import ServerState, TrafficSplitSpec
from crds.container import ContainerSpec
from crds.meta import ConditionType, Key, Mode, Spec
from daemon.engine.controller import Controller
from daemon.ports import SystemClock, SystemRandom
from daemon.store.database import Database
from daemon.store.operations import Apply
from daemon.store.store import Store
from lab.haproxy import LabBackend, LabHaproxy, LabServer
from metrics.engine import EngineMetrics
from metrics.traffic import TrafficMetrics
from reconcilers.balancer.reconciler import BalancerReconciler
from reconcilers.contract import DONE, Outcome, Plan, Reconciler, Resource, Step, View
from reconcilers.service.reconciler import ServiceReconciler
from reconcilers.split.reconciler import SplitReconciler
from reconcilers.transports.haproxy import HaproxyTransport
from reconcilers.transports.haproxy_endpoints import HaproxyEndpoints
from tests.builders import START
from tests.builders_haproxy import NAME, a_balancer, a_service_spec
from tests.real_haproxy import Site, a_site, free_address, until
from tests.simulation.ports import InlineExecutor

SERVICE, SPLIT, BALANCER = Key("Service", NAME), Key("TrafficSplit", NAME), Key("LoadBalancer", "edge")
POLL_S: Final = 0.02


class Containers:
    """Every container is there at once: Proxmox is not what is tested here."""

    kind = "Container"
    poll_interval = timedelta(seconds=60)
    pass_deadline = timedelta(seconds=5)

    def endpoint(self, resource: Resource[ContainerSpec]) -> str | None:
        return None

    async def observe(self, resource: Resource[ContainerSpec], view: View) -> None:
        await asyncio.sleep(0)

    def plan(self, resource: Resource[ContainerSpec], seen: None, now: datetime) -> Plan[None]:
        return Plan()

    async def apply(self, step: Step[None]) -> Outcome:
        await asyncio.sleep(0)
        return DONE


class Platform:
    """The engine with the three kinds, its store, and the instances that it drives."""

    def __init__(self, site: Site, store: Store, registry: CollectorRegistry, *instances: LabHaproxy) -> None:
        self.site, self.store, self.registry, self.instances = site, store, registry, instances

    async def declare(self, key: Key, spec: Spec) -> None:
        uid = f"{len(self.store.state.objects):032x}"
        await self.store.commit([Apply(key, uid, spec, START)])

    async def declare_service(self, *, live: str | None = "blue") -> None:
        """Declare the service with the addresses that the site has."""
        slots = {"blue": (100, self.site.blue), "green": (1100, self.site.green)}
        colors = {
            color: {
                "ctid": ctid,
                "node": "pve1",
                "address": f"127.0.0.1/{8 + index}",
                "port": int(app.address.split(":")[1]),
            }
            for index, (color, (ctid, app)) in enumerate(slots.items())
        }
        initial = {"color": live, "version": "1.0.0"} if live else None
        await self.declare(SERVICE, a_service_spec(colors=colors, initial=initial))

    async def shift(self, *, live: str) -> None:
        """Write the split as a release would: *live* has all, the other nothing, and is closed."""
        found = self.store.state.objects[SPLIT]
        assert isinstance(found.spec, TrafficSplitSpec)
        shares = {
            name: getattr(found.spec, name).model_copy(
                update={
                    "weight": 100 if name == live else 0,
                    "state": ServerState.READY if name == live else ServerState.MAINT,
                }
            )
            for name in ("blue", "green")
        }
        spec = found.spec.model_copy(update=shares)
        await self.store.commit([Apply(SPLIT, found.uid, spec, START, owner=SERVICE)])

    def says(self, key: Key, kind: ConditionType = ConditionType.READY) -> tuple[str, str, str] | None:
        found = self.store.state.objects.get(key)
        said = found.condition(kind) if found is not None else None
        return (said.status.value, said.reason, said.message) if said is not None else None

    async def wait_ready(self, key: Key) -> None:
        async def look() -> tuple[str, str, str] | None:
            await asyncio.sleep(0)
            found = self.store.state.objects.get(key)
            return self.says(key) if found is not None and found.is_ready() else None

        await until(look, lambda said: said is not None and said[0] == "True")

    async def wait_said(self, key: Key, kind: ConditionType, reason: str) -> tuple[str, str, str]:
        async def look() -> tuple[str, str, str] | None:
            await asyncio.sleep(0)
            return self.says(key, kind)

        found = await until(look, lambda said: said is not None and said[1] == reason)
        assert found is not None
        return found

    async def wait_servers(self, *expected: str, instance: int = 0) -> None:
        async def look() -> tuple[str, ...]:
            await asyncio.sleep(0)
            return servers_of(self.instances[instance])

        await until(look, lambda servers: servers == expected)

    def reasons(self, key: Key) -> list[str]:
        return [event.reason for event in self.store.events(key)]


def servers_of(haproxy: LabHaproxy) -> tuple[str, ...]:
    """Return weight and admin state of all servers, as HAProxy itself prints them."""
    rows = [line.split() for line in haproxy.ask("show servers state").splitlines()[2:] if line.strip()]
    return tuple(f"{row[3]} {row[7]} {row[6]}" for row in rows)


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


@contextlib.asynccontextmanager
async def a_platform(
    site: Site, *instances: LabHaproxy, state_file: Path | None = None
) -> AsyncIterator[Platform]:
    registry = CollectorRegistry()
    transport = HaproxyTransport("edge", [each.address for each in instances])
    endpoints = HaproxyEndpoints(
        {"edge": transport}, state_files={"edge": [state_file] if state_file else []}
    )
    reconcilers: dict[str, Reconciler[Any, Any, Any]] = {
        "Container": Containers(),
        "LoadBalancer": BalancerReconciler(endpoints),
        "Service": ServiceReconciler(endpoints),
        "TrafficSplit": SplitReconciler(endpoints, TrafficMetrics(registry)),
    }
    store = Store(Database(":memory:"), InlineExecutor())
    metrics = EngineMetrics(registry, version="test", kinds=reconcilers, systems={"edge": "haproxy"})
    controller = Controller(store, reconcilers, SystemClock(), SystemRandom(), metrics, mode=Mode.ENFORCE)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(controller.run())
        try:
            yield Platform(site, store, registry, *instances)
        finally:
            controller.drain()
    assert running.done()
    store.close()


class Users:
    """Ask the frontend again and again on new connections, and count who answered what."""

    def __init__(self, haproxy: LabHaproxy, threads: int = 2) -> None:
        self.answers: Counter[str] = Counter()
        self._address = haproxy.config.frontend
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._enough.is_set():
            connection = http.client.HTTPConnection(self._address, timeout=5)
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                self.answers[f"{answer.status} {answer.read().decode()}"] += 1
            except OSError as exc:
                self.answers[repr(exc)] += 1
            finally:
                connection.close()


async def test_from_an_empty_platform_to_one_live_colour_and_then_not_one_write(site: Site) -> None:
    site.blue.is_healthy = site.green.is_healthy = False
    async with a_platform(site, site.start()) as platform:
        await platform.declare_service()
        await platform.declare(BALANCER, a_balancer(minimumVersion="2.6").spec)
        await platform.wait_servers("blue 100 0", "green 0 1")
        assert platform.says(SPLIT) is not None
        site.blue.is_healthy = True
        for key in (SPLIT, SERVICE, BALANCER):
            await platform.wait_ready(key)
        assert "LiveColorFound" not in platform.reasons(SERVICE)
        commits, asked = platform.store.commits, platform.instances[0].ask("show info")
        await asyncio.sleep(3)
        assert platform.store.commits == commits
        assert platform.instances[0].ask("show info") != asked, "it was not even looked at"


@pytest.mark.parametrize(("live", "idle"), [("blue", "green"), ("green", "blue")])
async def test_the_colour_that_is_live_already_is_kept(site: Site, live: str, idle: str) -> None:
    haproxy = site.start()
    haproxy.ask(f"set server api_backend/{idle} state drain")
    async with a_platform(site, haproxy) as platform:
        await platform.declare_service(live=None)
        expected = {live: f"{live} 100 0", idle: f"{idle} 0 1"}
        await platform.wait_servers(expected["blue"], expected["green"])
        assert platform.reasons(SERVICE).count("LiveColorFound") == 1
        assert (await platform.wait_said(SERVICE, ConditionType.READY, "VersionUnknown"))[0] == "False"


async def test_two_live_colours_are_left_alone_until_somebody_closes_one(site: Site) -> None:
    haproxy = site.start()
    async with a_platform(site, haproxy) as platform:
        await platform.declare_service()
        await platform.wait_said(SERVICE, ConditionType.STALLED, "BothLive")
        assert servers_of(haproxy) == ("blue 100 0", "green 100 0")
        haproxy.ask("set server api_backend/green state maint")
        await platform.wait_servers("blue 100 0", "green 0 1")
        await platform.wait_ready(SERVICE)


@pytest.mark.parametrize(("live", "idle"), [("blue", "green"), ("green", "blue")])
async def test_a_switch_there_and_back_loses_no_request(site: Site, live: str, idle: str) -> None:
    haproxy = site.start()
    haproxy.ask(f"set server api_backend/{idle} state maint")
    async with a_platform(site, haproxy) as platform:
        await platform.declare_service(live=live)
        await platform.wait_ready(SERVICE)
        with Users(haproxy) as users:
            for color, other in ((idle, live), (live, idle)):
                await platform.shift(live=color)
                expected = {color: f"{color} 100 0", other: f"{other} 0 1"}
                await platform.wait_servers(expected["blue"], expected["green"])
        assert set(users.answers) == {"200 blue", "200 green"}


async def test_a_colour_that_is_not_healthy_never_gets_the_traffic_alone(site: Site) -> None:
    haproxy = site.start()
    haproxy.ask("set server api_backend/green state maint")
    site.green.is_healthy = False
    async with a_platform(site, haproxy) as platform:
        await platform.declare_service()
        await platform.wait_ready(SERVICE)
        await platform.shift(live="green")
        said = await platform.wait_said(SPLIT, ConditionType.READY, "Waiting")
        assert said[2].startswith("api_backend/blue keeps its traffic on edge: green ")
        await asyncio.sleep(1)
        assert servers_of(haproxy) == ("blue 100 0", "green 100 0")
        site.green.is_healthy = True
        await platform.wait_servers("blue 0 1", "green 100 0")


@pytest.mark.parametrize("event", ["reload", "restart"])
async def test_a_reload_or_restart_is_put_right_within_a_second_and_noted(site: Site, event: str) -> None:
    haproxy = site.start()
    haproxy.ask("set server api_backend/green state maint")
    async with a_platform(site, haproxy) as platform:
        await platform.declare_service()
        await platform.wait_ready(SERVICE)
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(haproxy.reload if event == "reload" else haproxy.restart)
        began = loop.time()
        await platform.wait_servers("blue 100 0", "green 0 1")
        assert loop.time() - began <= 1.2
        await platform.wait_ready(SPLIT)
        assert platform.reasons(SPLIT).count("BalancerReloaded") == 1
        wrong_s = platform.registry.get_sample_value("psa_wrong_color_seconds_total", {"service": NAME})
        assert wrong_s is not None
        assert 0 < wrong_s <= 1.5


async def test_a_hand_edited_weight_is_put_back(site: Site) -> None:
    haproxy = site.start()
    haproxy.ask("set server api_backend/green state maint")
    async with a_platform(site, haproxy) as platform:
        await platform.declare_service()
        await platform.wait_ready(SERVICE)
        haproxy.ask("set server api_backend/blue weight 1")
        haproxy.ask("set server api_backend/green state ready")
        await platform.wait_servers("blue 100 0", "green 0 1")


async def test_with_a_state_file_a_reload_never_shows_the_wrong_colour(site: Site) -> None:
    haproxy = site.start(loads_state_file=True)
    haproxy.ask("set server api_backend/green state maint")
    async with a_platform(site, haproxy, state_file=haproxy.state_file) as platform:
        await platform.declare_service()
        await platform.declare(BALANCER, a_balancer().spec)
        await platform.wait_ready(SERVICE)
        await platform.shift(live="green")
        await platform.wait_servers("blue 0 1", "green 100 0")

        async def content() -> str:
            return await asyncio.to_thread(haproxy.state_file.read_text)

        await until(content, lambda text: " blue 127.0.0.1 0 1 0 100 " in text)
        assert haproxy.state_file.stat().st_mode & 0o777 == 0o644
        await asyncio.to_thread(haproxy.reload)
        assert servers_of(haproxy) == ("blue 0 1", "green 100 0")
        written = haproxy.state_file.stat().st_mtime_ns
        await asyncio.sleep(2.5)
        assert haproxy.state_file.stat().st_mtime_ns == written, "what moves by itself was written"
        assert [path.name for path in haproxy.folder.glob(".state*")] == []


async def test_one_of_two_nodes_away_keeps_the_other_right_and_the_object_degraded(site: Site) -> None:
    first, second = site.start(), site.start()
    for each in (first, second):
        each.ask("set server api_backend/green state maint")
    async with a_platform(site, first, second) as platform:
        await platform.declare_service()
        await platform.wait_ready(SERVICE)
        first.kill()
        said = await platform.wait_said(SPLIT, ConditionType.DEGRADED, "NodeDown")
        assert said[2].startswith("node 1 is away: cannot connect to unix://")
        assert said[2].endswith("nobody listens there")
        second.ask("set server api_backend/blue weight 1")
        await platform.wait_servers("blue 100 0", "green 0 1", instance=1)
        await platform.wait_ready(SPLIT)
        await asyncio.to_thread(first.start)
        await platform.wait_servers("blue 100 0", "green 0 1", instance=0)
        await platform.wait_said(SPLIT, ConditionType.DEGRADED, "Whole")


async def test_all_of_haproxy_gone_is_reported_and_survived(site: Site) -> None:
    haproxy = site.start()
    haproxy.ask("set server api_backend/green state maint")
    async with a_platform(site, haproxy) as platform:
        await platform.declare_service()
        await platform.wait_ready(SERVICE)
        haproxy.kill()
        await platform.wait_said(SPLIT, ConditionType.SYNCED, "ObserveFailed")
        await asyncio.to_thread(haproxy.start)
        await platform.wait_servers("blue 100 0", "green 0 1")
        await platform.wait_ready(SPLIT)


async def test_an_operators_socket_stalls_until_the_configuration_is_mended(site: Site) -> None:
    haproxy = site.start(level="operator")
    site.green.is_healthy = False
    async with a_platform(site, haproxy) as platform:
        await platform.declare_service()
        said = await platform.wait_said(SPLIT, ConditionType.STALLED, "SocketNotAdmin")
        assert "`level admin`" in said[2]
        await asyncio.to_thread(haproxy.reload, replace(haproxy.config, level="admin"))
        await platform.wait_servers("blue 100 0", "green 0 1")


async def test_a_static_algorithm_stalls_until_the_configuration_is_mended(site: Site) -> None:
    haproxy = site.start(site.backend("source"))
    site.green.is_healthy = False
    async with a_platform(site, haproxy) as platform:
        await platform.declare_service()
        await platform.wait_servers("blue 100 0", "green 0 1")
        found = platform.store.state.objects[SPLIT]
        assert isinstance(found.spec, TrafficSplitSpec)
        share = found.spec.green.model_copy(update={"weight": 50})
        spec = found.spec.model_copy(update={"green": share})
        await platform.store.commit([Apply(SPLIT, found.uid, spec, START, owner=SERVICE)])
        said = await platform.wait_said(SPLIT, ConditionType.STALLED, "StaticAlgorithm")
        assert "only accepts weights '0%' and '100%'" in said[2]
        mended = replace(haproxy.config, backends=(site.backend("roundrobin"),))
        await asyncio.to_thread(haproxy.reload, mended)
        await platform.wait_servers("blue 100 0", "green 50 1")


async def test_a_renamed_server_stalls_the_split_and_blocks_nothing_else(site: Site) -> None:
    haproxy = site.start()
    haproxy.ask("set server api_backend/green state maint")
    async with a_platform(site, haproxy) as platform:
        await platform.declare_service()
        await platform.declare(BALANCER, a_balancer(backends={"web": {}}).spec)
        await platform.wait_ready(SERVICE)
        assert (await platform.wait_said(BALANCER, ConditionType.STALLED, "UnknownBackend"))[2].endswith(
            "web"
        )
        servers = (LabServer("blue", site.blue.address), LabServer("grn", site.green.address))
        renamed = replace(haproxy.config, backends=(LabBackend("api_backend", servers),))
        await asyncio.to_thread(haproxy.reload, renamed)
        said = await platform.wait_said(SPLIT, ConditionType.STALLED, "UnknownServer")
        assert said[2] == "edge has no server api_backend/green"


async def test_a_tracked_servers_maintenance_is_explained(site: Site) -> None:
    parts = (LabServer("blue", site.blue.address), LabServer("green", site.green.address))
    followed = LabBackend("followed", parts)
    tracking = LabBackend(
        "api_backend",
        tuple(replace(each, options=f"track followed/{each.name}") for each in parts),
        check=None,
    )
    haproxy = site.start(tracking, followed)
    haproxy.ask("set server api_backend/green state maint")
    async with a_platform(site, haproxy) as platform:
        await platform.declare_service()
        await platform.wait_ready(SERVICE)
        haproxy.ask("set server followed/blue state maint")
        said = await platform.wait_said(SPLIT, ConditionType.STALLED, "MaintenanceInherited")
        assert said[2].endswith("cannot be ready: the server that it tracks is in maintenance")
        haproxy.ask("set server followed/blue state ready")
        await platform.wait_ready(SPLIT)


def test_the_labs_configuration_has_a_maintenance_page_statistics_and_a_log(site: Site) -> None:
    haproxy = site.start(stats=free_address(), log_to="127.0.0.1:9")
    assert "log 127.0.0.1:9" in haproxy.config_file.read_text()
    haproxy.ask(f"set map {haproxy.maintenance_map} maintenance on")
    with Users(haproxy, threads=1) as users:
        while not users.answers:
            pass
    assert set(users.answers) == {"503 maintenance"}
    haproxy.stop()
    assert haproxy.processes() == frozenset()
