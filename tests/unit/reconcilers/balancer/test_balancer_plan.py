"""What a load balancer's spec sets, what it verifies, and when its server-state file is written."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from crds.balancer import LoadBalancerStatus
from crds.meta import ConditionType, Key, Truth
from reconcilers.balancer.model import lasting
from reconcilers.balancer.reconciler import BalancerReconciler
from reconcilers.contract import Note, NotSentError, TransientError
from tests.builders_haproxy import Desk, a_backend, a_balancer, said, verdict
from tests.fakes.haproxy import FakeBackend, FakeHaproxy, FakeServer

KEY = Key("LoadBalancer", "edge")
SOCKET = "unix:///run/edge-1.sock"
FILE = Path("/var/lib/haproxy/state")
BACKENDS: Mapping[str, object] = {"api_backend": {"servers": {"blue": {}, "green": {}}}}


def a_desk(haproxy: FakeHaproxy, **spec: object) -> Desk:
    desk = Desk({"LoadBalancer": BalancerReconciler(haproxy)})
    desk.put(a_balancer(**spec))
    return desk


async def test_a_pair_that_is_as_asked_needs_nothing() -> None:
    desk = a_desk(FakeHaproxy(a_backend(), nodes=2), minimumVersion="2.6", backends=BACKENDS)
    plan = await desk.one_pass(KEY)
    assert (plan.steps, plan.blocked, plan.recheck_after) == ((), None, None)
    assert verdict(plan, ConditionType.READY) is None
    assert await desk.one_pass(KEY) == plan


@pytest.mark.parametrize("floor", ["2.6.13", "2.7", "2.10", "3.0", "10.0"])
async def test_a_version_below_the_floor_names_both(floor: str) -> None:
    desk = a_desk(FakeHaproxy(a_backend()), minimumVersion=floor)
    plan = await desk.one_pass(KEY)
    ready, degraded = verdict(plan, ConditionType.READY), verdict(plan, ConditionType.DEGRADED)
    assert ready is not None
    assert degraded is not None
    assert (ready.status, ready.reason, degraded.status) == (Truth.FALSE, "VersionTooLow", Truth.TRUE)
    assert ready.message == f"edge runs HAProxy 2.6.12-1+deb12u4, at least {floor} is asked"


@pytest.mark.parametrize("floor", ["2.6", "2.6.12", "2.5.99", "1.9"])
async def test_a_version_at_or_above_the_floor_is_fine(floor: str) -> None:
    desk = a_desk(FakeHaproxy(a_backend()), minimumVersion=floor)
    assert verdict(await desk.one_pass(KEY), ConditionType.READY) is None


async def test_another_algorithm_is_reported_and_not_changed() -> None:
    asked = {"api_backend": {"algorithm": "leastconn"}}
    desk = a_desk(FakeHaproxy(a_backend()), backends=asked)
    plan = await desk.one_pass(KEY)
    ready = verdict(plan, ConditionType.READY)
    assert ready is not None
    assert ready.message == "api_backend on edge balances by roundrobin, leastconn is asked"
    assert plan.steps == ()


async def test_a_backend_that_is_not_configured_blocks() -> None:
    desk = a_desk(FakeHaproxy(a_backend()), backends={"web": {}})
    assert (await desk.one_pass(KEY)).blocked == ("UnknownBackend", "edge has no backend web")


async def test_all_that_is_missing_is_named_at_once() -> None:
    asked: Mapping[str, object] = {"api_backend": {"servers": {"red": {}}}, "web": {}}
    plan = await a_desk(FakeHaproxy(a_backend()), backends=asked).one_pass(KEY)
    assert plan.blocked == (
        "UnknownServer",
        "edge has no server api_backend/red; edge has no backend web",
    )


async def test_weights_and_states_of_other_servers_are_set_and_what_is_left_out_is_left_alone() -> None:
    web = FakeBackend("web", [FakeServer("one"), FakeServer("two"), FakeServer("three")])
    haproxy = FakeHaproxy(web)
    haproxy.nodes[0].change("web", "three", weight=7)
    asked = {"web": {"servers": {"one": {"weight": 10}, "two": {"state": "drain"}, "three": {}}}}
    desk = a_desk(haproxy, backends=asked)
    plan = await desk.one_pass(KEY)
    assert said(plan) == ["web/one weight 100 → 10 on edge", "web/two state ready → drain on edge"]
    assert (await desk.one_pass(KEY)).steps == ()
    assert haproxy.nodes[0].state["web", "three"].weight == 7


async def test_the_last_server_of_a_backend_is_not_closed() -> None:
    haproxy = FakeHaproxy(FakeBackend("web", [FakeServer("one")]))
    asked = {"web": {"servers": {"one": {"state": "maint"}}}}
    plan = await a_desk(haproxy, backends=asked).one_pass(KEY)
    assert plan.blocked == ("NoTraffic", "nobody would be left on edge beside web/one")


async def test_a_server_that_is_down_degrades_and_a_backend_without_any_is_not_ready() -> None:
    haproxy = FakeHaproxy(a_backend(blue={"is_alive": False}))
    desk = a_desk(haproxy, backends=BACKENDS)
    plan = await desk.one_pass(KEY)
    degraded = verdict(plan, ConditionType.DEGRADED)
    assert degraded is not None
    assert (degraded.reason, degraded.message) == ("ServerDown", "api_backend/blue is DOWN on edge")
    assert verdict(plan, ConditionType.READY) is None
    haproxy.nodes[0].backends[0].servers[1].is_alive = False
    ready = verdict(await desk.one_pass(KEY), ConditionType.READY)
    assert ready is not None
    assert ready.message == "api_backend has no server that is UP on edge"


async def test_one_of_two_nodes_away_degrades_and_the_status_says_so() -> None:
    haproxy = FakeHaproxy(a_backend(), nodes=2)
    haproxy.nodes[1].refuses = TransientError("nobody listens there")
    plan = await a_desk(haproxy, backends=BACKENDS).one_pass(KEY)
    degraded = verdict(plan, ConditionType.DEGRADED)
    assert degraded is not None
    assert degraded.message == "node 2 is away: nobody listens there"
    pid = haproxy.nodes[0].pid
    status = plan.status
    assert isinstance(status, LoadBalancerStatus)
    assert status.nodes == (
        f"node 1 at unix:///run/edge-1.sock: HAProxy 2.6.12-1+deb12u4, pid {pid}",
        "node 2 at unix:///run/edge-2.sock: away",
    )


async def test_a_new_process_is_noted_once() -> None:
    haproxy = FakeHaproxy(a_backend())
    desk = a_desk(haproxy)
    await desk.one_pass(KEY)
    old = haproxy.nodes[0].pid
    haproxy.reload()
    text = f"HAProxy on edge was reloaded or restarted: pid {old} → {haproxy.nodes[0].pid}"
    assert (await desk.one_pass(KEY)).writes == (Note("BalancerReloaded", text),)
    assert (await desk.one_pass(KEY)).writes == ()


async def test_the_state_file_is_written_once_and_then_only_when_something_lasting_changes() -> None:
    haproxy = FakeHaproxy(a_backend(), state_files={SOCKET: FILE})
    desk = a_desk(haproxy)
    plan = await desk.one_pass(KEY)
    assert said(plan) == [f"write the server-state file {FILE}, so that a reload keeps weights and states"]
    plan = await desk.one_pass(KEY)
    assert plan.steps == ()
    assert plan.recheck_after is not None
    assert plan.recheck_after.total_seconds() == 1.0
    haproxy.nodes[0].uptime_s += 100
    assert (await desk.one_pass(KEY)).steps == ()
    haproxy.nodes[0].change("api_backend", "green", weight=0)
    assert len((await desk.one_pass(KEY)).steps) == 1
    assert "api_backend green 0 0" in haproxy.files[FILE]


async def test_the_state_file_waits_for_the_commands_of_the_same_pass() -> None:
    haproxy = FakeHaproxy(a_backend(), state_files={SOCKET: FILE})
    desk = a_desk(haproxy, backends={"api_backend": {"servers": {"green": {"weight": 1}}}})
    assert said(await desk.one_pass(KEY)) == ["api_backend/green weight 100 → 1 on edge"]
    await desk.one_pass(KEY)
    assert "api_backend green 0 1" in haproxy.files[FILE]


async def test_a_state_file_that_cannot_be_written_is_a_failed_step() -> None:
    haproxy = FakeHaproxy(a_backend(), state_files={SOCKET: Path("/nowhere/state")})
    with pytest.raises(NotSentError):
        await a_desk(haproxy).one_pass(KEY)


def test_columns_that_move_by_themselves_do_not_count_and_up_or_down_does() -> None:
    header = "# be_id be_name srv_op_state srv_uweight srv_time_since_last_change srv_check_health"
    before = f"1\n{header}\n2 api_backend 2 100 17 4\n\n"
    assert lasting(before) == lasting(f"1\n{header}\n2 api_backend 2 100 18 3\n\n")
    assert lasting(before) != lasting(f"1\n{header}\n2 api_backend 0 100 17 4\n\n")
    assert lasting(before) != lasting(f"1\n{header}\n2 api_backend 2 99 17 4\n\n")


@pytest.mark.parametrize("text", ["", "#", "# be_id\n\n1 2 3", "\x00garbage\n"])
def test_any_text_in_the_file_is_just_another_content(text: str) -> None:
    assert isinstance(lasting(text), str)
