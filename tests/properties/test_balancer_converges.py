"""Whatever is asked of a load balancer's servers and whatever is found, nobody is cut off, and it rests."""

from hypothesis import given
from hypothesis import strategies as st

from crds.balancer import ServerState
from crds.meta import Key
from reconcilers.balancer.reconciler import BalancerReconciler
from reconcilers.servers import FORCED_DRAIN, FORCED_MAINT
from tests.builders_haproxy import Desk, a_balancer
from tests.fakes.haproxy import FakeBackend, FakeHaproxy, FakeServer

KEY = Key("LoadBalancer", "edge")
NAMES = ("one", "two", "three")
WEIGHTS = st.sampled_from([0, 1, 100, 256])
WISHES = st.fixed_dictionaries(
    {}, optional={"weight": WEIGHTS, "state": st.sampled_from([state.value for state in ServerState])}
)
FOUND = st.tuples(WEIGHTS, st.sampled_from([0, FORCED_MAINT, FORCED_DRAIN]))


@given(
    asked=st.dictionaries(st.sampled_from(NAMES), WISHES),
    found=st.tuples(FOUND, FOUND, FOUND),
    crashes=st.lists(st.integers(0, 5), max_size=3),
)
async def test_it_rests_without_ending_all_traffic_and_leaves_alone_what_is_not_asked(
    asked: dict[str, dict[str, object]], found: tuple[tuple[int, int], ...], crashes: list[int]
) -> None:
    haproxy = FakeHaproxy(FakeBackend("web", [FakeServer(name) for name in NAMES]))
    node = haproxy.nodes[0]
    for name, (weight, admin) in zip(NAMES, found, strict=True):
        node.change("web", name, weight=weight, admin=0)
        await haproxy.set_state("edge", node.socket, "web", name, _state(admin))
    haproxy.commands.clear()
    haproxy.blackouts.clear()
    desk = Desk({"LoadBalancer": BalancerReconciler(haproxy)})
    desk.put(a_balancer(backends={"web": {"servers": asked}}))
    before = dict(node.state)
    for crash in crashes:
        await desk.one_pass(KEY, crash_after=crash)
    plan = await desk.until_quiet(KEY)
    assert haproxy.blackouts == []
    for name in NAMES:
        server, wish = node.state["web", name], asked.get(name, {})
        if plan.blocked is None:
            assert server.weight == wish.get("weight", before["web", name].weight)
            assert server.state.value == wish.get("state", before["web", name].state.value)
        else:
            assert plan.blocked[0] == "NoTraffic"
    assert (await desk.one_pass(KEY)).steps == ()


def _state(admin: int) -> ServerState:
    states = {FORCED_MAINT: ServerState.MAINT, FORCED_DRAIN: ServerState.DRAIN}
    return states.get(admin, ServerState.READY)
