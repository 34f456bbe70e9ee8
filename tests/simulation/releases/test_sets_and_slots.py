"""Services in lockstep, slots that somebody else filled, and releases one after the other."""

from datetime import timedelta
from typing import Any

import pytest

from crds.balancer import ServerState
from crds.meta import ConditionType, Key
from crds.release import Phase
from crds.service import Color
from tests.simulation.release_world import release_spec, service_name, service_spec
from tests.simulation.stage import NEW, NEWER, OLD, Stage, a_stage

pytestmark = [pytest.mark.looptime(end=10**9, noop_cycles=0), pytest.mark.timeout(120)]
COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)
GATEWAY, CRM, TICKETS = (service_name(number) for number in range(3))


def live_colors(stage: Stage) -> set[str | None]:
    """Return the live colours of all services."""
    return {stage.state.objects[Key("Service", name)].status.live for name in (GATEWAY, CRM, TICKETS)}  # type: ignore[union-attr]


@COLORS
async def test_a_bad_service_behind_a_good_gateway_takes_the_whole_set_back(live: Color) -> None:
    async with a_stage(live, services=3) as stage:
        await stage.begin(NEW, 3, watch="5m")
        await stage.phase(Phase.WATCH)
        await stage.after(15)
        stage.world.ill_hosts.add(f"{CRM}-{live.other.value}")
        assert await stage.ended(within=timedelta(seconds=15)) == (Phase.ROLLED_BACK, "CandidateDown")
        assert CRM in stage.attempt.message
        await stage.after(2)
        assert live_colors(stage) == {live.value}
        assert stage.users.failed.total() == 0


@COLORS
async def test_a_bad_service_behind_a_good_gateway_is_found_in_the_soak_too(live: Color) -> None:
    async with a_stage(live, services=2) as stage:
        await stage.begin(NEW, 2, soak="24h")
        await stage.phase(Phase.SOAK)
        await stage.after(15)
        stage.world.ill_hosts.add(f"{CRM}-{live.other.value}")
        assert await stage.ended(within=timedelta(seconds=15)) == (Phase.ROLLED_BACK, "CandidateDown")


@COLORS
async def test_where_both_colours_behind_the_gateway_are_ill_it_holds(live: Color) -> None:
    async with a_stage(live, services=2) as stage:
        await stage.begin(NEW, 2, watch="10m")
        await stage.phase(Phase.WATCH)
        await stage.after(15)
        stage.world.ill_hosts |= {f"{CRM}-{color.value}" for color in Color}
        await stage.hold("CandidateDown")
        assert stage.share() == (50, 50)
        stage.world.ill_hosts.clear()
        await stage.until(lambda: stage.attempt.hold is None, timedelta(seconds=10))
        assert stage.attempt.phase is Phase.WATCH


@COLORS
async def test_all_services_of_a_set_switch_in_one_commit(live: Color) -> None:
    async with a_stage(live, services=3) as stage:
        await stage.begin(NEW, 3)
        assert await stage.ended() == (Phase.COMPLETED, None)
        await stage.after(2)
        assert live_colors(stage) == {live.other.value}
        stage.no_user_is_lost()


@COLORS
async def test_one_candidate_that_never_gets_well_keeps_all_of_them_from_users(live: Color) -> None:
    async with a_stage(live, services=2) as stage:
        stage.world.ill_hosts.add(f"{CRM}-{live.other.value}")
        await stage.begin(NEW, 2)
        assert await stage.ended() == (Phase.FAILED, "HealthCheckOverdue")
        assert CRM in stage.attempt.message
        assert stage.users.served[NEW] == 0


@COLORS
async def test_a_set_that_no_backend_stands_before_is_watched_by_its_health_alone(live: Color) -> None:
    async with a_stage(live, backend=None) as stage:
        await stage.begin(NEW)
        assert await stage.ended() == (Phase.COMPLETED, None)
        stage.world.ill_hosts.add(f"{GATEWAY}-{live.value}")
        await stage.begin(NEWER)
        assert (await stage.ended())[0] is Phase.FAILED


@COLORS
async def test_a_service_that_joins_the_set_takes_part_from_the_next_attempt_on(live: Color) -> None:
    async with a_stage(live, services=2) as stage:
        await stage.begin(NEW, 1)
        assert await stage.ended() == (Phase.COMPLETED, None)
        await stage.declare(release_spec(NEW, 2))
        await stage.until(lambda: stage.attempt.number == 2)
        assert set(stage.attempt.members) == {GATEWAY, CRM}
        assert await stage.ended() == (Phase.COMPLETED, None)


def is_ready(stage: Stage) -> bool:
    return stage.state.objects[Key("Service", GATEWAY)].is_ready()


async def by_hand(stage: Stage, color: Color, version: str) -> None:
    """Make a colour's container as somebody would have before the daemon came."""
    slot = service_spec().colors[color]
    options = {
        "vmid": str(slot.ctid),
        "ostemplate": f"local:vztmpl/{GATEWAY}_{version}_amd64.tar.zst",
        "hostname": f"{GATEWAY}-{color.value}",
        "cores": "2",
        "memory": "4096",
        "rootfs": "local:10",
        "unprivileged": "1",
        "net0": f"name=eth0,bridge=vmbr1,tag=20,gw=10.0.20.1,ip={slot.address}",
        "start": "1",
    }
    await stage.world.world.proxmox.write("POST", ("nodes", slot.node, "lxc"), options)
    await stage.until(lambda: stage.world.version_at(slot.address.partition("/")[0]) == version)


@COLORS
@pytest.mark.parametrize("allowed", [False, True], ids=["refused", "allowed"])
async def test_four_releases_in_a_row_on_containers_that_somebody_else_made(
    live: Color, *, allowed: bool
) -> None:
    async with a_stage(live, first=True) as stage:
        socket = stage.haproxy.nodes[0].socket
        await stage.haproxy.set_state("edge", socket, "api_backend", live.other.value, ServerState.MAINT)
        for color in Color:
            await by_hand(stage, color, OLD)
        await stage.declare(service_spec(initial={"color": live.value, "version": OLD}, adopt=True))
        await stage.until(lambda: is_ready(stage))
        stage.users.lost = 0
        fields: dict[str, Any] = {"replaceAdopted": allowed}
        await stage.begin(NEW, **fields)
        if not allowed:
            assert await stage.ended() == (Phase.FAILED, "PreCheckOverdue")
            assert "replaceAdopted: true" in stage.attempt.message
            assert not [each for each in stage.world.world.proxmox.writes if each.startswith("DELETE")]
            return
        assert await stage.ended() == (Phase.COMPLETED, None)
        for number, version in enumerate((NEWER, "1.3.0", NEW), start=2):
            await stage.begin(version, **fields)
            assert stage.attempt.number == number
            assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.server(live).share == 100, "an even number of releases"
        assert len([each for each in stage.world.world.proxmox.writes if each.startswith("DELETE")]) == 4
        stage.no_user_is_lost()


@COLORS
async def test_somebody_elses_container_in_the_slot_is_not_touched(live: Color) -> None:
    async with a_stage(live) as stage:
        slot = service_spec().colors[live.other]
        options = {"vmid": str(slot.ctid), "hostname": "theirs", "rootfs": "local:10"}
        template = {"ostemplate": f"local:vztmpl/{GATEWAY}_{OLD}_amd64.tar.zst"}
        await stage.world.world.proxmox.write("POST", ("nodes", slot.node, "lxc"), options | template)
        await stage.after(2)
        await stage.begin(NEW)
        assert await stage.ended() == (Phase.FAILED, "PreCheckOverdue")
        assert "theirs, which is not ours" in stage.attempt.message
        assert not [each for each in stage.world.world.proxmox.writes if each.startswith("DELETE")]
        assert stage.share() == (100, 0)


@COLORS
async def test_what_is_missing_is_told_before_anything_is_changed_and_waited_for(live: Color) -> None:
    async with a_stage(live) as stage:
        volume = f"local:vztmpl/{GATEWAY}_{NEW}_amd64.tar.zst"
        stage.world.cluster.remove_template(volume)
        await stage.begin(NEW)
        await stage.after(30)
        assert stage.attempt.phase is Phase.PRE_CHECK
        assert f"not there: {volume}" in stage.says
        stage.world.cluster.add_template("local", f"{GATEWAY}_{NEW}_amd64.tar.zst")
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_a_release_of_a_service_that_does_not_exist_waits_for_it(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.declare(release_spec(NEW, 2))
        await stage.after(30)
        assert stage.status.attempt is None
        assert f"there is no Service {CRM}" in stage.says
        initial = {"color": live.value, "version": OLD}
        await stage.declare(service_spec(initial=initial), service_spec(1, initial=initial))
        await stage.until(lambda: stage.status.attempt is not None)
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.release.condition(ConditionType.READY) is not None


@COLORS
async def test_a_cluster_that_does_not_answer_holds_the_checks_for_their_own_time_only(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.world.world.proxmox.slowness_s = 20.0
        await stage.begin(NEW)
        assert await stage.ended(within=timedelta(minutes=15)) == (Phase.FAILED, "PreCheckOverdue")
        assert "no answer within 8 s" in stage.attempt.message
        assert stage.share() == (100, 0)
