"""Scenarios 29 to 50: phases in their order, promotion, blue-green and what people ask for."""

from datetime import timedelta
from itertools import pairwise

import pytest

from crds.container import ContainerSpec
from crds.meta import Key
from crds.release import Phase, Trigger
from crds.service import Color
from reconcilers.hook_runs import HookState
from tests.simulation.release_world import release_spec
from tests.simulation.stage import GATEWAY, NEW, NEWER, OLD, Stage, a_stage
from tests.simulation.world import USER

pytestmark = [pytest.mark.looptime(end=10**9, noop_cycles=0), pytest.mark.timeout(120)]
COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)
BEFORE_TRAFFIC = [
    Phase.PENDING,
    Phase.PRE_CHECK,
    Phase.BACKUP,
    Phase.MIGRATE,
    Phase.DEPLOY_CANDIDATE,
    Phase.HEALTH_CHECK,
    Phase.SMOKE,
]
ALLOWED = ["replace-broken-stable"]


def running(stage: Stage) -> dict[int, str]:
    """Return the versions of the containers that run, by id."""
    return {
        each.vmid: each.ostemplate.rpartition("_amd64")[0].rpartition("_")[2]
        for each in stage.world.cluster.running()
    }


def version_in(stage: Stage, color: Color) -> str | None:
    spec = stage.state.objects[GATEWAY].spec
    return running(stage).get(spec.colors[color].ctid)  # type: ignore[attr-defined]  # it is a ServiceSpec


@COLORS
async def test_a_good_release_goes_through_its_phases_in_their_order(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(checks=["unit", "audit"], smoke=["smoke"])
        assert await stage.ended() == (Phase.COMPLETED, None)
        promoted = [Phase.PROMOTE, Phase.VERIFY, Phase.SOAK, Phase.COMPLETED]
        assert stage.phases == [*BEFORE_TRAFFIC, Phase.SPLIT, Phase.WATCH, *promoted]
        assert stage.reasons(warnings=True) == []
        assert stage.share() == (0, 100)
        stage.no_user_is_lost()


@COLORS
async def test_a_first_release_has_no_split_and_nobody_is_compared_with(live: Color) -> None:
    async with a_stage(live, first=True) as stage:
        await stage.begin(OLD)
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.phases == [*BEFORE_TRAFFIC, Phase.PROMOTE, Phase.VERIFY, Phase.SOAK, Phase.COMPLETED]
        assert running(stage) == {100: OLD}
        await stage.begin(NEW)
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert running(stage) == {100: OLD, 1100: NEW}


@COLORS
async def test_a_first_release_that_breaks_holds_pages_and_can_be_followed_by_its_fix(live: Color) -> None:
    async with a_stage(live, first=True) as stage:
        await stage.begin(OLD, soak="24h")
        await stage.phase(Phase.SOAK)
        stage.version(OLD, error_rate=0.4)
        await stage.until(lambda: stage.attempt.hold is not None)
        assert stage.attempt.phase is Phase.SOAK
        assert len(stage.reasons(warnings=True)) == 1
        await stage.after(120)
        assert stage.attempt.phase is Phase.SOAK
        assert len(stage.reasons(warnings=True)) == 1, "it pages once, and not each second"
        refused = await stage.ask("rollback")
        assert not refused.accepted
        await stage.begin(NEW, allow=ALLOWED)
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.server(Color.GREEN).share == 100
        assert version_in(stage, Color.GREEN) == NEW


@COLORS
async def test_a_first_release_that_fails_its_tests_can_be_followed_by_its_fix(live: Color) -> None:
    async with a_stage(live, first=True) as stage:
        stage.world.hooks.outcomes["smoke"] = HookState.FAILED
        await stage.begin(OLD, smoke=["smoke"])
        assert await stage.ended() == (Phase.FAILED, "HookFailed")
        stage.world.hooks.outcomes.clear()
        await stage.begin(NEW, smoke=["smoke"])
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert running(stage) == {100: NEW}


@COLORS
async def test_a_candidate_that_breaks_during_the_promotion_goes_back_to_what_is_well(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.users.clinging[OLD] = 3
        await stage.begin(drain="30s")
        await stage.phase(Phase.PROMOTE)
        stage.version(NEW, is_ill=True)
        assert await stage.ended(within=timedelta(seconds=20)) == (Phase.ROLLED_BACK, "CandidateDown")
        assert stage.share() == (100, 0)
        assert version_in(stage, live) == OLD, "the healthy side is never destroyed"
        assert stage.haproxy.blackouts == []
        assert stage.users.lost <= 5 * stage.users.rate, "until it counts as broken"


@COLORS
async def test_a_release_in_a_hurry_is_promoted_by_a_person_who_is_named(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="1h")
        await stage.phase(Phase.WATCH)
        await stage.after(3)
        assert (await stage.ask("promote")).accepted
        await stage.phase(Phase.SOAK, within=timedelta(seconds=30))
        (told,) = (each for each in stage.events if each.reason == "Promoted")
        assert told.message == "by anna: because"
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_a_hurry_does_not_make_an_ill_candidate_well(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="1h")
        await stage.phase(Phase.WATCH)
        await stage.after(10)
        stage.version(NEW, is_ill=True)
        await stage.after(1.5)
        refused = await stage.ask("promote")
        assert not refused.accepted
        assert await stage.ended() == (Phase.ROLLED_BACK, "CandidateDown")


@COLORS
async def test_users_that_a_cookie_binds_stay_in_the_split_and_are_moved_by_a_rollback(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="10m")
        await stage.phase(Phase.WATCH)
        stage.users.bound[live.other.value] = 4
        await stage.after(20)
        assert stage.users.bound == {live.other.value: 4}
        assert (await stage.ask("rollback")).accepted
        assert await stage.ended() == (Phase.ROLLED_BACK, "RollbackRequested")
        await stage.after(2)
        assert stage.users.bound == {live.value: 4}
        stage.no_user_is_lost()


@COLORS
async def test_split_steps_rise_one_by_one_and_their_sum_is_always_whole(live: Color) -> None:
    async with a_stage(live, rate=200) as stage:
        await stage.begin(split=[1, 2, 10, 80], errorRate={"limit": "0.5%", "minRequests": 50})
        assert await stage.ended() == (Phase.COMPLETED, None)
        candidate = [each[live is Color.BLUE] for each in stage.shares]
        assert [part for part in candidate if part] == [1, 2, 10, 80, 100]
        assert {sum(each) for each in stage.shares} == {100}
        stage.no_user_is_lost()


@COLORS
async def test_a_step_waits_for_its_evidence_and_a_fault_in_it_goes_back(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(split=[5, 50])
        await stage.phase(Phase.SPLIT)
        await stage.after(5)
        assert stage.share() == (95, 5)
        stage.version(NEW, error_rate=0.8)
        assert await stage.ended() == (Phase.ROLLED_BACK, "ErrorRate")
        assert 50 not in {each[0] for each in stage.shares}
        stage.no_user_is_lost()


@COLORS
async def test_smoke_tests_that_fail_leave_stable_untouched(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.world.hooks.outcomes["smoke"] = HookState.FAILED
        await stage.begin(smoke=["smoke"])
        commands = len(stage.haproxy.commands)
        assert await stage.ended() == (Phase.FAILED, "HookFailed")
        await stage.after(60)
        assert len(stage.haproxy.commands) == commands
        assert stage.users.served[NEW] == 0
        assert stage.share() == (100, 0)


@COLORS
async def test_tests_that_fail_after_the_promotion_go_back_and_keep_the_candidate_to_look_at(
    live: Color,
) -> None:
    async with a_stage(live) as stage:
        stage.world.hooks.known = {**stage.world.hooks.known, "functional": True}
        stage.world.hooks.outcomes["functional"] = HookState.FAILED
        await stage.begin(verify=["functional"])
        assert await stage.ended() == (Phase.ROLLED_BACK, "HookFailed")
        assert stage.share() == (100, 0)
        assert version_in(stage, live.other) == NEW
        stage.no_user_is_lost()


@COLORS
async def test_after_an_abort_another_version_starts_cleanly_from_stable(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(NEW)
        await stage.phase(Phase.WATCH)
        assert (await stage.ask("abort")).accepted
        assert await stage.ended() == (Phase.ROLLED_BACK, "RollbackRequested")
        await stage.begin(NEWER)
        assert stage.attempt.members["psa-api-gateway"].stable is live
        assert stage.attempt.members["psa-api-gateway"].stable_version == OLD
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert version_in(stage, live.other) == NEWER


@COLORS
async def test_the_old_version_stays_until_the_soak_ends_and_not_longer_in_the_way(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(soak="12m")
        promoted = (await stage.phase(Phase.SOAK)).promoted_at
        await stage.ended()
        assert promoted is not None
        assert stage.attempt.ended_at is not None
        soaked = stage.attempt.ended_at - promoted
        assert timedelta(minutes=12) <= soaked <= timedelta(minutes=12, seconds=30)
        assert version_in(stage, live) == OLD


@COLORS
async def test_a_pause_is_no_failure_however_long_it_is_and_its_time_does_not_count(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.world.hooks.seconds["unit"] = 3
        await stage.begin(checks=["unit"])
        await stage.phase(Phase.PRE_CHECK)
        assert (await stage.ask("pause")).accepted
        await stage.after(700)
        assert stage.attempt.phase is Phase.PRE_CHECK
        assert (await stage.ask("resume")).accepted
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_within_the_soak_the_way_back_needs_no_new_release_and_after_it_one(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(NEW, soak="10m")
        await stage.phase(Phase.SOAK)
        await stage.declare(release_spec(OLD))
        assert await stage.ended(within=timedelta(seconds=15)) == (Phase.ROLLED_BACK, "Superseded")
        assert stage.attempt.number == 1
        await stage.after(10)
        assert stage.attempt.number == 1, "the file asks for what is live"
    async with a_stage(live) as stage:
        await stage.begin(NEW)
        await stage.ended()
        await stage.begin(OLD)
        assert stage.attempt.number == 2
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.phases.count(Phase.WATCH) == 2


@COLORS
async def test_the_candidate_has_its_whole_size_before_it_has_traffic(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin()
        await stage.phase(Phase.SMOKE, Phase.SPLIT)
        names = [f"psa-api-gateway-{color.value}" for color in (live, live.other)]
        stable, candidate = (stage.state.objects[Key("Container", name)].spec for name in names)
        assert isinstance(stable, ContainerSpec)
        assert isinstance(candidate, ContainerSpec)
        for size in ("cores", "memory", "swap", "disk"):
            assert getattr(stable, size) == getattr(candidate, size)


@COLORS
async def test_from_a_broken_stable_a_release_is_refused_unless_it_is_allowed(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.version(OLD, is_ill=True)
        await stage.begin(NEW)
        assert await stage.ended() == (Phase.FAILED, "PreCheckOverdue")
        assert "allow: [replace-broken-stable] releases all the same" in stage.attempt.message
        assert stage.users.served[NEW] == 0


@COLORS
async def test_the_fix_of_a_broken_stable_can_be_released(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.version(OLD, error_rate=0.5)
        await stage.begin(NEW, allow=ALLOWED)
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.share() == (0, 100)


@COLORS
async def test_a_fix_that_is_none_does_not_replace_a_broken_stable(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.version(OLD, error_rate=0.4)
        stage.version(NEW, error_rate=0.4)
        await stage.begin(NEW, holdFor="5m", allow=ALLOWED)
        phase, _ = await stage.ended()
        assert phase is Phase.ROLLED_BACK
        assert Phase.PROMOTE not in stage.phases


@COLORS
async def test_each_end_has_its_own_name(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(NEW)
        await stage.phase(Phase.WATCH)
        await stage.begin(NEWER)
        (superseded,) = stage.status.history
        assert (superseded.phase, superseded.reason) == (Phase.ROLLED_BACK, "Superseded")
        assert superseded.trigger is Trigger.SPEC
        assert stage.status.quarantine == ()
        await stage.phase(Phase.PRE_CHECK, Phase.DEPLOY_CANDIDATE)
        await stage.ask("abort")
        assert stage.end == (Phase.FAILED, "Aborted")
        assert stage.attempt.trigger is Trigger.PERSON


@COLORS
async def test_what_can_never_come_to_be_fails_at_once_and_not_at_its_deadline(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(NEW)
        await stage.ended()
        stage.users.clinging[OLD] = 1
        await stage.begin(NEWER)
        await stage.phase(Phase.DEPLOY_CANDIDATE)
        stage.world.cluster.disallow(USER, "/")
        stage.users.clinging.clear()
        assert await stage.ended(within=timedelta(minutes=1)) == (Phase.FAILED, "DeployFailed")
        assert stage.share() == (0, 100)


@COLORS
async def test_each_phase_has_its_own_time(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.users.clinging[OLD] = 1
        await stage.begin(watch="4m", drain="20s")
        attempt = await stage.phase(Phase.PROMOTE, within=timedelta(hours=1))
        await stage.after(10)
        assert stage.attempt.phase is Phase.PROMOTE
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert attempt.reason is None


@COLORS
async def test_a_rollback_to_a_stable_that_is_down_pages_waits_and_makes_no_loop(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="10m")
        await stage.phase(Phase.WATCH)
        await stage.after(20)
        stage.version(OLD, is_ill=True)
        await stage.after(3)
        assert (await stage.ask("rollback")).accepted
        await stage.hold("RollbackStuck")
        assert stage.attempt.phase is Phase.ROLLING_BACK
        assert stage.share()[1] > 0, "who still answers keeps its traffic"
        assert stage.haproxy.blackouts == []
        commands = len(stage.haproxy.commands)
        await stage.after(60)
        assert len(stage.haproxy.commands) == commands
        stage.version(OLD)
        assert await stage.ended(within=timedelta(seconds=10)) == (Phase.ROLLED_BACK, "RollbackRequested")
        assert stage.share() == (100, 0)


@COLORS
async def test_phases_follow_the_table_whatever_comes(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.version(NEW, error_rate=0.2)
        await stage.begin(NEW)
        await stage.ended()
        await stage.begin(NEWER)
        await stage.ended()
        pairs = set(pairwise(stage.phases))
        assert (Phase.ROLLED_BACK, Phase.PENDING) in pairs
        assert (Phase.WATCH, Phase.PROMOTE) in pairs
        assert (Phase.ROLLING_BACK, Phase.PROMOTE) not in pairs
