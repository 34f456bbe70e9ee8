"""A person's override of a split in the real engine before a real HAProxy, under traffic."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from crds.balancer import Override, TrafficSplitSpec
from crds.meta import ConditionType
from daemon.ports import SystemClock
from daemon.store.operations import Apply
from tests.builders import START
from tests.real_haproxy import Site, a_site
from tests.real_haproxy_platform import SERVICE, SPLIT, Platform, Users, a_platform, servers_of


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


async def override(platform: Platform, live: str, seconds: float) -> None:
    found = platform.store.state.objects[SPLIT]
    assert isinstance(found.spec, TrafficSplitSpec)
    weights = {"blue": 100 if live == "blue" else 0, "green": 100 if live == "green" else 0}
    until = SystemClock().now() + timedelta(seconds=seconds)
    asked = Override(**weights, until=until, reason="a look", actor="uid 0")
    spec = found.spec.model_copy(update={"override": asked})
    await platform.store.commit([Apply(SPLIT, found.uid, spec, START, owner=SERVICE)])


@pytest.mark.parametrize(("live", "idle"), [("blue", "green"), ("green", "blue")])
async def test_an_override_moves_everybody_and_runs_out_by_itself_without_a_lost_request(
    site: Site, live: str, idle: str
) -> None:
    haproxy = site.start()
    haproxy.ask(f"set server api_backend/{idle} state maint")
    async with a_platform(site, haproxy) as platform:
        await platform.declare_service(live=live)
        await platform.wait_ready(SERVICE)
        before = servers_of(haproxy)
        with Users(haproxy) as users:
            await override(platform, idle, seconds=4)
            during = {idle: f"{idle} 100 0", live: f"{live} 0 1"}
            await platform.wait_servers(during["blue"], during["green"])
            said = await platform.wait_said(SPLIT, ConditionType.DEGRADED, "Overridden")
            assert said[2].endswith("by uid 0: a look")
            await platform.wait_said(SERVICE, ConditionType.DEGRADED, "SplitDegraded")
            await platform.wait_servers(*before)
            await platform.wait_noted(SPLIT, "OverrideEnded")
            await platform.wait_said(SERVICE, ConditionType.DEGRADED, "Whole")
        assert set(users.answers) == {"200 blue", "200 green"}
        reasons = platform.reasons(SPLIT)
        assert (reasons.count("OverrideInForce"), reasons.count("OverrideEnded")) == (1, 1)
        record = platform.store.state.objects[SPLIT].spec
        assert isinstance(record, TrafficSplitSpec)
        assert record.override is None


async def test_while_it_is_in_force_a_reload_is_put_right_to_the_override(site: Site) -> None:
    haproxy = site.start()
    haproxy.ask("set server api_backend/green state maint")
    async with a_platform(site, haproxy) as platform:
        await platform.declare_service()
        await platform.wait_ready(SERVICE)
        await override(platform, "green", seconds=60)
        await platform.wait_servers("blue 0 1", "green 100 0")
        haproxy.reload()
        await platform.wait_servers("blue 0 1", "green 100 0")


async def test_an_override_to_a_colour_that_is_down_takes_nothing_from_the_other(site: Site) -> None:
    haproxy = site.start()
    haproxy.ask("set server api_backend/green state maint")
    site.green.is_healthy = False
    async with a_platform(site, haproxy) as platform:
        await platform.declare_service()
        await platform.wait_ready(SERVICE)
        await override(platform, "green", seconds=60)
        said = await platform.wait_said(SPLIT, ConditionType.READY, "Waiting")
        assert said[2].startswith("api_backend/blue keeps its traffic on edge: green ")
        assert servers_of(haproxy)[0] == "blue 100 0"
        assert "OverrideInForce" in platform.reasons(SPLIT)
