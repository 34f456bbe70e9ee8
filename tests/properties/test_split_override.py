"""Whatever a person overrides, for however long, and wherever it crashes: what is in force comes about."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from crds.balancer import Override, ServerState, TrafficSplitSpec
from crds.meta import Key
from metrics.traffic import TrafficMetrics
from reconcilers.split.reconciler import SplitReconciler
from tests.builders import START
from tests.builders_haproxy import NAME, Desk, a_service
from tests.properties.test_split_converges import SPLITS, WORLDS, Found, a_split_of, a_world, is_as_asked

KEY = Key("TrafficSplit", NAME)
UNTIL = START + timedelta(seconds=60)
WEIGHTS = st.sampled_from([0, 1, 50, 100, 256])
OVERRIDES = st.builds(
    Override,
    blue=WEIGHTS,
    green=WEIGHTS,
    until=st.just(UNTIL),
    reason=st.just("a look"),
    actor=st.just("uid 1000"),
).filter(lambda override: override.blue + override.green > 0)
MOMENTS = st.lists(st.tuples(st.sampled_from([0, 59, 60, 61]), st.integers(0, 4)), max_size=4).map(sorted)


@given(found=WORLDS, pair=SPLITS, override=OVERRIDES, moments=MOMENTS, is_over=st.booleans())
async def test_before_and_after_its_end_any_crash_ends_in_what_is_in_force_and_cuts_nobody_off(
    found: list[tuple[Found, Found]],
    pair: tuple[tuple[int, ServerState], tuple[int, ServerState]],
    override: Override,
    moments: list[tuple[int, int]],
    *,
    is_over: bool,
) -> None:
    haproxy = a_world(found, checks_at_each_look=True)
    desk = Desk({})
    metrics = TrafficMetrics(CollectorRegistry())
    desk.reconcilers = {"TrafficSplit": SplitReconciler(haproxy, metrics, lambda: desk.now, lambda: 0.0)}
    owner = desk.put(a_service())
    split = a_split_of(pair)
    asked = split.spec.model_copy(update={"override": override})
    desk.put(replace(split, spec=asked, owner=owner.key))
    for second, crash in moments:
        desk.now = START + timedelta(seconds=second)
        await desk.one_pass(KEY, crash_after=crash)
    assert haproxy.blackouts == []

    desk.now = UNTIL if is_over else max(desk.now, START)
    for node in haproxy.nodes:
        for server in node.backends[0].servers:
            server.is_alive = True
        node.check()
    await desk.until_quiet(KEY)
    record = desk.state.objects[KEY].spec
    assert isinstance(record, TrafficSplitSpec)
    assert is_as_asked(haproxy, record.in_force(desk.now))
    assert (record.override is None) is (desk.now >= UNTIL)
    assert record.model_copy(update={"override": override}) == asked
    assert haproxy.blackouts == []
    plan = await desk.one_pass(KEY)
    assert (plan.steps, plan.writes) == ((), ())
