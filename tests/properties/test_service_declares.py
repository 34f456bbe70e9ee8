"""Whatever HAProxy shows and whoever restarts, a service makes one record and keeps it."""

from hypothesis import given
from hypothesis import strategies as st

from crds.balancer import ServerState, TrafficSplitSpec
from crds.meta import Key
from reconcilers.contract import Declare, TransientError
from reconcilers.servers import FORCED_DRAIN, FORCED_MAINT
from reconcilers.service.reconciler import ServiceReconciler
from tests.builders_haproxy import NAME, Desk, a_backend, a_service
from tests.fakes.haproxy import FakeHaproxy

KEY, SPLIT = Key("Service", NAME), Key("TrafficSplit", NAME)
FOUND = st.tuples(
    st.sampled_from([0, 50, 100]), st.sampled_from([0, FORCED_MAINT, FORCED_DRAIN]), st.booleans()
)
NODES = st.lists(st.tuples(FOUND, FOUND), min_size=1, max_size=2)
INITIALS = st.sampled_from([None, "blue", "green"])


def show(haproxy: FakeHaproxy, nodes: list[tuple[tuple[int, int, bool], ...]]) -> None:
    for node, servers in zip(haproxy.nodes, nodes, strict=False):
        for configured, (weight, admin, is_alive) in zip(node.backends[0].servers, servers, strict=True):
            configured.is_alive = is_alive
            node.change("api_backend", configured.name, weight=weight, admin=admin)
        node.check()


def live_of(desk: Desk) -> list[str]:
    spec = desk.state.objects[SPLIT].spec
    assert isinstance(spec, TrafficSplitSpec)
    return [
        each.server for each in (spec.blue, spec.green) if each.state is ServerState.READY and each.weight
    ]


@given(first=NODES, later=NODES, color=INITIALS, other=INITIALS, is_away=st.booleans())
async def test_a_record_is_made_once_with_one_live_colour_and_nothing_seen_later_changes_it(
    first: list[tuple[tuple[int, int, bool], ...]],
    later: list[tuple[tuple[int, int, bool], ...]],
    color: str | None,
    other: str | None,
    *,
    is_away: bool,
) -> None:
    haproxy = FakeHaproxy(a_backend(), nodes=len(first))
    show(haproxy, first)
    desk = Desk({"Service": ServiceReconciler(haproxy)})
    desk.put(a_service(initial={"color": color, "version": "1.0.0"} if color else None))
    await desk.one_pass(KEY)
    if SPLIT not in desk.state.objects:
        return
    live, before = live_of(desk), desk.state.objects[SPLIT].spec
    assert len(live) == 1
    carriers = {name for node in haproxy.nodes for name in node.carriers("api_backend")}
    assert carriers <= set(live), "somebody else had traffic"

    show(haproxy, later)
    haproxy.nodes[0].refuses = TransientError("gone") if is_away else None
    desk.put(a_service(initial={"color": other, "version": "2.0.0"} if other else None))
    plan = await desk.one_pass(KEY)
    assert desk.state.objects[SPLIT].spec == before
    containers = [write for write in plan.writes if isinstance(write, Declare) and write.key != SPLIT]
    assert all(write.annotations["psa.platform/version"] for write in containers)
    assert (await desk.one_pass(KEY)).writes == ()
