"""Service, TrafficSplit and LoadBalancer in the real engine before a real HAProxy, under traffic."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from crds.balancer import TrafficSplitSpec
from crds.meta import ConditionType, Key
from daemon.store.operations import Apply
from lab.haproxy import LabBackend, LabServer
from tests.builders import START
from tests.builders_haproxy import NAME, a_balancer
from tests.real_haproxy import Site, a_site, free_address, until
from tests.real_haproxy_platform import SERVICE, SPLIT, Users, a_platform, servers_of

BALANCER = Key("LoadBalancer", "edge")


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


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
        await platform.wait_noted(SPLIT, "BalancerReloaded")
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
