"""From any weights and states, with a crash after any command, a split comes about and nobody is cut off."""

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from crds.balancer import ServerShare, ServerState, TrafficSplitSpec
from crds.meta import Key
from metrics.traffic import TrafficMetrics
from reconcilers.contract import AnyResource
from reconcilers.servers import CONFIGURED_MAINT, FORCED_DRAIN, FORCED_MAINT, Health
from reconcilers.split.reconciler import SplitReconciler
from tests.builders import START, a_resource
from tests.builders_haproxy import NAME, Desk, a_backend
from tests.fakes.haproxy import FakeHaproxy

KEY = Key("TrafficSplit", NAME)
WEIGHTS = st.sampled_from([0, 1, 50, 99, 100, 256])
ADMIN = st.sampled_from(
    [0, FORCED_MAINT, FORCED_DRAIN, CONFIGURED_MAINT, FORCED_MAINT | CONFIGURED_MAINT, 0x40]
)


@dataclass(frozen=True)
class Found:
    """What somebody left in one server of one node."""

    weight: int
    admin: int
    is_alive: bool


FOUND = st.builds(Found, weight=WEIGHTS, admin=ADMIN, is_alive=st.booleans())
SHARES = st.tuples(WEIGHTS, st.sampled_from(ServerState))
SPLITS = st.tuples(SHARES, SHARES).filter(
    lambda pair: any(weight > 0 and state is ServerState.READY for weight, state in pair)
)
WORLDS = st.lists(st.tuples(FOUND, FOUND), min_size=1, max_size=2)


def a_world(found: list[tuple[Found, Found]], *, checks_at_each_look: bool) -> FakeHaproxy:
    haproxy = FakeHaproxy(a_backend(), nodes=len(found), checks_at_each_look=checks_at_each_look)
    for node, servers in zip(haproxy.nodes, found, strict=True):
        for configured, each in zip(node.backends[0].servers, servers, strict=True):
            configured.is_alive = each.is_alive
            node.change("api_backend", configured.name, weight=each.weight, admin=each.admin)
            if node.state["api_backend", configured.name].state is ServerState.MAINT:
                node.change("api_backend", configured.name, health=Health.DOWN)
        node.check()
    return haproxy


def a_split_of(pair: tuple[tuple[int, ServerState], tuple[int, ServerState]]) -> AnyResource:
    blue, green = (
        ServerShare(server=name, weight=weight, state=state)
        for name, (weight, state) in zip(("blue", "green"), pair, strict=True)
    )
    spec = TrafficSplitSpec(service=NAME, endpoint="edge", backend="api_backend", blue=blue, green=green)
    return a_resource(spec, NAME, "TrafficSplit")


def is_as_asked(haproxy: FakeHaproxy, spec: Any) -> bool:
    return all(
        (node.state["api_backend", share.server].weight, node.state["api_backend", share.server].state)
        == (share.weight, share.state)
        for node in haproxy.nodes
        for share in (spec.blue, spec.green)
    )


@given(
    found=WORLDS,
    pair=SPLITS,
    crashes=st.lists(st.integers(0, 4), max_size=3),
    checks_at_each_look=st.booleans(),
)
async def test_any_crash_ends_in_the_split_and_nobody_alive_is_ever_left_without_weight(
    found: list[tuple[Found, Found]],
    pair: tuple[tuple[int, ServerState], tuple[int, ServerState]],
    crashes: list[int],
    *,
    checks_at_each_look: bool,
) -> None:
    haproxy = a_world(found, checks_at_each_look=checks_at_each_look)
    desk = Desk(
        {
            "TrafficSplit": SplitReconciler(
                haproxy, TrafficMetrics(CollectorRegistry()), lambda: START, lambda: 0.0
            )
        }
    )
    split = desk.put(a_split_of(pair))
    for crash in crashes:
        await desk.one_pass(KEY, crash_after=crash)
    for _ in range(3):
        await desk.one_pass(KEY)
    assert haproxy.blackouts == []

    # Whoever was missing comes back: then the split comes about, and stays.
    for node in haproxy.nodes:
        for server in node.backends[0].servers:
            server.is_alive = True
        node.check()
    haproxy.checks_at_each_look = True
    await desk.until_quiet(KEY)
    assert is_as_asked(haproxy, split.spec)
    assert haproxy.blackouts == []
    sent = list(haproxy.commands)
    plan = await desk.one_pass(KEY)
    assert (plan.steps, plan.writes, haproxy.commands) == ((), (), sent)


@given(found=WORLDS, first=SPLITS, second=SPLITS, reloads=st.lists(st.integers(0, 1), max_size=2))
async def test_a_split_may_change_and_haproxy_reload_at_any_moment(
    found: list[tuple[Found, Found]],
    first: tuple[tuple[int, ServerState], tuple[int, ServerState]],
    second: tuple[tuple[int, ServerState], tuple[int, ServerState]],
    reloads: list[int],
) -> None:
    haproxy = a_world(found, checks_at_each_look=True)
    desk = Desk(
        {
            "TrafficSplit": SplitReconciler(
                haproxy, TrafficMetrics(CollectorRegistry()), lambda: START, lambda: 0.0
            )
        }
    )
    desk.put(a_split_of(first))
    await desk.one_pass(KEY, crash_after=1)
    split = desk.put(a_split_of(second))
    for number in reloads:
        haproxy.reload(number % len(haproxy.nodes))
        await desk.one_pass(KEY, crash_after=1)
    for node in haproxy.nodes:
        for server in node.backends[0].servers:
            server.is_alive = True
    await desk.until_quiet(KEY)
    assert is_as_asked(haproxy, split.spec)
    assert haproxy.blackouts == []
