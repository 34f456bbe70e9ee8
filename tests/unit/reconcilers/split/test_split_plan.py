"""What a traffic split does to one HAProxy: every order is one that keeps somebody in service."""

import pytest
from prometheus_client import CollectorRegistry

from crds.balancer import TrafficSplitStatus
from crds.meta import ConditionType, Truth
from metrics.traffic import TrafficMetrics
from reconcilers.contract import Note, PermanentError, TransientError
from reconcilers.servers import (
    FORCED_DRAIN,
    FORCED_MAINT,
    INHERITED_DRAIN,
    INHERITED_MAINT,
    RESOLUTION_MAINT,
    Health,
)
from reconcilers.split.reconciler import SplitReconciler
from tests.builders import START
from tests.builders_haproxy import IDLE, LIVE, Desk, a_backend, a_split, a_split_to, said, verdict
from tests.fakes.haproxy import FakeHaproxy

COLORS = pytest.mark.parametrize(("live", "idle"), [("blue", "green"), ("green", "blue")])


def a_desk(haproxy: FakeHaproxy) -> Desk:
    metrics = TrafficMetrics(CollectorRegistry())
    return Desk({"TrafficSplit": SplitReconciler(haproxy, metrics, lambda: START, lambda: 0.0)})


@COLORS
async def test_after_a_reload_the_idle_colour_is_silenced_and_closed(live: str, idle: str) -> None:
    desk = a_desk(FakeHaproxy(a_backend()))
    split = desk.put(a_split_to(live))
    plan = await desk.one_pass(split.key)
    assert said(plan) == [
        f"api_backend/{idle} weight 100 → 0 on edge",
        f"api_backend/{idle} state ready → maint on edge",
    ]
    assert (await desk.one_pass(split.key)).steps == ()


@pytest.mark.parametrize("live", ["blue", "green"])
async def test_in_steady_state_nothing_is_done_and_the_status_stays_the_same(live: str) -> None:
    haproxy = FakeHaproxy(a_backend())
    desk = a_desk(haproxy)
    split = desk.put(a_split_to(live))
    await desk.until_quiet(split.key)
    commands, first = list(haproxy.commands), await desk.one_pass(split.key)
    second = await desk.one_pass(split.key)
    assert haproxy.commands == commands
    assert first == second
    assert first.writes == ()


@COLORS
async def test_what_gains_is_raised_before_what_loses_is_lowered(live: str, idle: str) -> None:
    haproxy = FakeHaproxy(a_backend())
    haproxy.nodes[0].change("api_backend", idle, weight=0)
    desk = a_desk(haproxy)
    split = desk.put(a_split(**{live: {**IDLE, "state": "ready"}, idle: LIVE}))
    assert said(await desk.one_pass(split.key)) == [
        f"api_backend/{idle} weight 0 → 100 on edge",
        f"api_backend/{live} weight 100 → 0 on edge",
    ]
    assert haproxy.blackouts == []


@COLORS
async def test_a_server_that_leaves_maintenance_must_be_seen_up_before_the_other_is_lowered(
    live: str, idle: str
) -> None:
    haproxy = FakeHaproxy(a_backend(), checks_at_each_look=False)
    haproxy.nodes[0].change("api_backend", idle, weight=0, admin=FORCED_MAINT, health=Health.DOWN)
    desk = a_desk(haproxy)
    split = desk.put(a_split_to(idle))
    plan = await desk.one_pass(split.key)
    assert said(plan) == [
        f"api_backend/{idle} weight 0 → 100 on edge",
        f"api_backend/{idle} state maint → ready on edge",
    ]
    assert plan.waiting == f"api_backend/{live} keeps its traffic on edge: {idle} is just being opened"
    plan = await desk.one_pass(split.key)
    assert plan.steps == ()
    expected = f"api_backend/{live} keeps its traffic on edge: {idle} has not passed a check yet"
    assert plan.waiting == expected
    assert plan.recheck_after is not None
    assert plan.recheck_after.total_seconds() == 0.2
    haproxy.nodes[0].check()
    assert said(await desk.one_pass(split.key)) == [
        f"api_backend/{live} weight 100 → 0 on edge",
        f"api_backend/{live} state ready → maint on edge",
    ]
    assert haproxy.blackouts == []


@COLORS
async def test_the_live_colour_keeps_its_traffic_while_the_wanted_one_is_down(live: str, idle: str) -> None:
    haproxy = FakeHaproxy(a_backend(**{idle: {"is_alive": False}}))
    desk = a_desk(haproxy)
    split = desk.put(a_split_to(idle))
    for _ in range(5):
        await desk.one_pass(split.key)
    plan = await desk.one_pass(split.key)
    assert plan.waiting == f"api_backend/{live} keeps its traffic on edge: {idle} is DOWN"
    assert haproxy.nodes[0].carriers("api_backend") == {live}


async def test_after_a_reload_a_server_that_was_well_before_need_not_be_checked_first() -> None:
    # With platform.md's checks every 10 s the wrong colour would have traffic for seconds.
    haproxy = FakeHaproxy(a_backend(), checks_at_each_look=False)
    desk = a_desk(haproxy)
    split = desk.put(a_split_to("blue"))
    await desk.until_quiet(split.key)
    haproxy.reload()
    plan = await desk.one_pass(split.key)
    assert plan.waiting is None
    assert len(plan.steps) == 2


async def test_after_a_reload_a_server_that_was_not_well_before_must_pass_a_check_first() -> None:
    haproxy = FakeHaproxy(a_backend())
    desk = a_desk(haproxy)
    split = desk.put(a_split_to("blue"))
    await desk.until_quiet(split.key)
    haproxy.nodes[0].backends[0].servers[0].is_alive = False
    await desk.one_pass(split.key)
    haproxy.checks_at_each_look = False
    haproxy.reload()
    plan = await desk.one_pass(split.key)
    assert plan.steps == ()
    assert plan.waiting == "api_backend/green keeps its traffic on edge: blue has not passed a check yet"
    assert haproxy.nodes[0].carriers("api_backend") == {"green"}


async def test_a_hand_edited_weight_is_put_back() -> None:
    haproxy = FakeHaproxy(a_backend())
    desk = a_desk(haproxy)
    split = desk.put(a_split_to("blue"))
    await desk.until_quiet(split.key)
    haproxy.nodes[0].change("api_backend", "blue", weight=50)
    assert said(await desk.one_pass(split.key)) == ["api_backend/blue weight 50 → 100 on edge"]


async def test_a_server_that_opens_has_its_weight_before_and_one_that_closes_is_not_raised_before() -> None:
    haproxy = FakeHaproxy(a_backend())
    haproxy.nodes[0].change("api_backend", "green", admin=FORCED_MAINT, health=Health.DOWN)
    desk = a_desk(haproxy)
    opened = desk.put(a_split(LIVE, {"weight": 0, "state": "ready"}))
    assert said(await desk.one_pass(opened.key)) == [
        "api_backend/green weight 100 → 0 on edge",
        "api_backend/green state maint → ready on edge",
    ]
    closed = desk.put(a_split(LIVE, {"weight": 50, "state": "maint"}))
    assert said(await desk.one_pass(closed.key)) == [
        "api_backend/green state ready → maint on edge",
        "api_backend/green weight 0 → 50 on edge",
    ]


async def test_a_split_that_leaves_nobody_is_refused() -> None:
    haproxy = FakeHaproxy(a_backend())
    desk = a_desk(haproxy)
    split = desk.put(a_split(IDLE, IDLE))
    plan = await desk.one_pass(split.key)
    assert plan.steps == ()
    assert plan.blocked == (
        "NoTraffic",
        "nobody would be left on edge beside api_backend/blue and api_backend/green",
    )


@pytest.mark.parametrize(
    ("admin", "why"),
    [
        (INHERITED_MAINT, "the server that it tracks is in maintenance"),
        (INHERITED_DRAIN, "the server that it tracks is in drain"),
        (RESOLUTION_MAINT, "its name does not resolve"),
    ],
    ids=["tracked-maint", "tracked-drain", "unresolved"],
)
async def test_maintenance_that_no_command_ends_is_explained(admin: int, why: str) -> None:
    haproxy = FakeHaproxy(a_backend(blue={"inherited": admin}))
    desk = a_desk(haproxy)
    plan = await desk.one_pass(desk.put(a_split_to("blue")).key)
    assert plan.blocked == ("MaintenanceInherited", f"api_backend/blue on edge cannot be ready: {why}")
    assert plan.steps == ()


async def test_a_server_that_is_disabled_in_the_configuration_is_opened_and_stays_marked() -> None:
    haproxy = FakeHaproxy(a_backend(blue={"is_disabled": True}))
    desk = a_desk(haproxy)
    split = desk.put(a_split_to("blue"))
    await desk.until_quiet(split.key)
    assert haproxy.nodes[0].carriers("api_backend") == {"blue"}


async def test_a_drained_server_is_made_ready_again() -> None:
    haproxy = FakeHaproxy(a_backend())
    haproxy.nodes[0].change("api_backend", "blue", admin=FORCED_DRAIN)
    desk = a_desk(haproxy)
    plan = await desk.one_pass(desk.put(a_split_to("blue")).key)
    assert said(plan)[0] == "api_backend/blue state drain → ready on edge"


async def test_the_changed_host_name_bit_is_no_maintenance() -> None:
    haproxy = FakeHaproxy(a_backend())
    haproxy.nodes[0].change("api_backend", "blue", admin=0x40)
    desk = a_desk(haproxy)
    plan = await desk.one_pass(desk.put(a_split(LIVE, LIVE)).key)
    assert plan.steps == ()


async def test_a_backend_or_a_server_that_is_not_configured_blocks_and_names_it() -> None:
    desk = a_desk(FakeHaproxy(a_backend()))
    renamed = a_split(LIVE, {**IDLE, "server": "grn"})
    plan = await desk.one_pass(desk.put(renamed).key)
    assert plan.blocked == ("UnknownServer", "edge has no server api_backend/grn")
    assert plan.steps == ()
    elsewhere = a_desk(FakeHaproxy())
    plan = await elsewhere.one_pass(elsewhere.put(a_split()).key)
    assert plan.blocked == ("UnknownBackend", "edge has no backend api_backend")


async def test_a_static_algorithm_blocks_what_it_cannot_do_before_anything_is_sent() -> None:
    haproxy = FakeHaproxy(a_backend(algorithm="static-rr"))
    desk = a_desk(haproxy)
    half = {"weight": 50, "state": "ready"}
    plan = await desk.one_pass(desk.put(a_split(half, half)).key)
    assert plan.blocked is not None
    assert plan.blocked[0] == "StaticAlgorithm"
    assert "takes only 0 and the configured weight 100, not 50; use roundrobin" in plan.blocked[1]
    await desk.until_quiet(desk.put(a_split_to("blue")).key)
    assert haproxy.nodes[0].carriers("api_backend") == {"blue"}


async def test_a_hashing_algorithm_answers_for_itself() -> None:
    haproxy = FakeHaproxy(a_backend(algorithm="source"))
    desk = a_desk(haproxy)
    half = {"weight": 50, "state": "ready"}
    with pytest.raises(PermanentError) as raised:
        await desk.one_pass(desk.put(a_split(half, half)).key)
    assert raised.value.reason == "StaticAlgorithm"


async def test_a_reload_makes_the_same_command_another_step() -> None:
    # The engine does not repeat what was refused for good; the next process may have another algorithm.
    haproxy = FakeHaproxy(a_backend(algorithm="source"))
    desk = a_desk(haproxy)
    split = desk.put(a_split(LIVE, {"weight": 50, "state": "ready"}))
    before = await desk.look(split.key)
    haproxy.reload()
    after = await desk.look(split.key)
    assert said(before) == said(after)
    assert before.steps != after.steps


async def test_an_operator_level_socket_blocks_and_says_how_to_mend_it() -> None:
    haproxy = FakeHaproxy(a_backend())
    haproxy.nodes[0].level = "operator"
    desk = a_desk(haproxy)
    split = desk.put(a_split_to("blue"))
    plan = await desk.one_pass(split.key)
    assert plan.blocked is not None
    assert plan.blocked[0] == "SocketNotAdmin"
    assert "`level admin`" in plan.blocked[1]
    haproxy.nodes[0].level = "admin"
    assert (await desk.one_pass(split.key)).blocked is None


@COLORS
async def test_one_of_two_nodes_away_leaves_the_other_right_and_the_object_degraded(
    live: str, idle: str
) -> None:
    haproxy = FakeHaproxy(a_backend(), nodes=2)
    haproxy.nodes[0].refuses = TransientError("no answer within 0.5 s")
    desk = a_desk(haproxy)
    split = desk.put(a_split_to(live))
    plan = await desk.one_pass(split.key)
    assert said(plan)[0] == f"api_backend/{idle} weight 100 → 0 on node 2"
    plan = await desk.one_pass(split.key)
    degraded = verdict(plan, ConditionType.DEGRADED)
    assert degraded is not None
    assert (degraded.status, degraded.reason) == (Truth.TRUE, "NodeDown")
    assert degraded.message == "node 1 is away: no answer within 0.5 s"
    assert plan.blocked is None
    assert verdict(plan, ConditionType.READY) is None
    haproxy.nodes[0].refuses = None
    assert said(await desk.one_pass(split.key))[0] == f"api_backend/{idle} weight 100 → 0 on node 1"


async def test_one_node_that_must_be_mended_does_not_keep_the_other_from_being_set() -> None:
    haproxy = FakeHaproxy(a_backend(), nodes=2)
    haproxy.nodes[0].level = "operator"
    desk = a_desk(haproxy)
    plan = await desk.one_pass(desk.put(a_split_to("blue")).key)
    assert [summary.rpartition(" on ")[2] for summary in said(plan)] == ["node 2", "node 2"]
    assert plan.blocked is not None


async def test_all_nodes_away_is_a_failed_look() -> None:
    haproxy = FakeHaproxy(a_backend(), nodes=2)
    for node in haproxy.nodes:
        node.refuses = TransientError("gone")
    desk = a_desk(haproxy)
    with pytest.raises(TransientError):
        await desk.one_pass(desk.put(a_split()).key)


async def test_a_new_process_is_noted_once() -> None:
    haproxy = FakeHaproxy(a_backend(), nodes=2)
    desk = a_desk(haproxy)
    split = desk.put(a_split_to("blue"))
    await desk.until_quiet(split.key)
    old = haproxy.nodes[1].pid
    haproxy.reload(1)
    plan = await desk.one_pass(split.key)
    text = f"HAProxy on node 2 was reloaded or restarted: pid {old} → {haproxy.nodes[1].pid}"
    assert plan.writes == (Note("BalancerReloaded", text),)
    assert (await desk.one_pass(split.key)).writes == ()


async def test_a_node_that_comes_back_as_another_process_is_noted() -> None:
    haproxy = FakeHaproxy(a_backend(), nodes=2)
    desk = a_desk(haproxy)
    split = desk.put(a_split_to("blue"))
    await desk.until_quiet(split.key)
    haproxy.nodes[0].refuses = TransientError("gone")
    await desk.until_quiet(split.key)
    haproxy.reload(0)
    haproxy.nodes[0].refuses = None
    assert [type(write) for write in (await desk.one_pass(split.key)).writes] == [Note]


async def test_a_live_server_that_is_down_is_not_ready_and_nobody_is_moved() -> None:
    haproxy = FakeHaproxy(a_backend())
    desk = a_desk(haproxy)
    split = desk.put(a_split_to("blue"))
    await desk.until_quiet(split.key)
    haproxy.nodes[0].backends[0].servers[0].is_alive = False
    plan = await desk.one_pass(split.key)
    assert plan.steps == ()
    ready, degraded = verdict(plan, ConditionType.READY), verdict(plan, ConditionType.DEGRADED)
    assert ready is not None
    assert ready.reason == "NoServerUp"
    assert degraded is not None
    assert degraded.message == "api_backend/blue is DOWN on edge"


async def test_the_status_says_what_each_node_has() -> None:
    haproxy = FakeHaproxy(a_backend(), nodes=2)
    desk = a_desk(haproxy)
    split = desk.put(a_split_to("blue"))
    await desk.until_quiet(split.key)
    haproxy.nodes[1].refuses = TransientError("gone")
    plan = await desk.one_pass(split.key)
    assert isinstance(plan.status, TrafficSplitStatus)
    assert plan.status.observed == ("node 1: blue 100 ready, green 0 maint", "node 2: away")


async def test_a_step_carries_who_asked_for_it_and_what_it_changes() -> None:
    desk = a_desk(FakeHaproxy(a_backend()))
    step = (await desk.one_pass(desk.put(a_split_to("blue")).key)).steps[0]
    assert step.target == "server api_backend/green on edge"
    assert str(step.origin) == "psa-api-gateway.yaml:1"
    assert [(change.path, change.old, change.new) for change in step.changes] == [
        ("green.weight", "100", "0")
    ]
