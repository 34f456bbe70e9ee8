"""Scenarios 61 to 65: requests that are open, cookies, and nobody lost."""

from datetime import timedelta

import pytest

from crds.balancer import ServerState
from crds.release import Phase
from crds.service import Color
from tests.simulation.stage import NEW, NEWER, OLD, a_stage

pytestmark = [pytest.mark.looptime(end=10**9, noop_cycles=0), pytest.mark.timeout(120)]
COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)


@COLORS
async def test_open_requests_that_end_in_time_are_waited_for_and_none_is_cut(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(drain="30s")
        stage.users.clinging[OLD] = 5
        await stage.phase(Phase.PROMOTE)
        await stage.after(10)
        assert stage.attempt.phase is Phase.PROMOTE
        assert "still answers 5 requests" in stage.says
        assert stage.server(live).state is ServerState.DRAIN
        stage.users.clinging.clear()
        await stage.phase(Phase.SOAK, within=timedelta(seconds=5))
        assert "DrainCut" not in stage.reasons()
        assert not stage.attempt.is_closed


@COLORS
async def test_open_requests_that_do_not_end_are_cut_and_counted(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(drain="10s")
        stage.users.clinging[OLD] = 5
        await stage.phase(Phase.PROMOTE)
        await stage.phase(Phase.SOAK, within=timedelta(seconds=20))
        (cut,) = (each for each in stage.events if each.reason == "DrainCut")
        assert cut.message == "after 10 s the old version still held 5 requests: closed"
        assert stage.server(live).state is ServerState.MAINT
        stage.no_user_is_lost()


@COLORS
async def test_where_nothing_is_open_the_promotion_takes_no_time(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(drain="5m")
        promoted = (await stage.phase(Phase.PROMOTE)).promoted_at
        verified = (await stage.phase(Phase.VERIFY, Phase.SOAK)).entered_at
        assert promoted is not None
        assert verified - promoted < timedelta(seconds=3)


@COLORS
async def test_after_a_cut_a_rollback_still_has_its_way_back(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.users.clinging[OLD] = 5
        await stage.begin(drain="5s", soak="10m")
        await stage.phase(Phase.SOAK)
        stage.users.clinging.clear()
        await stage.after(5)
        stage.version(NEW, error_rate=0.3)
        assert await stage.ended(within=timedelta(minutes=1)) == (Phase.ROLLED_BACK, "ErrorRate")
        assert stage.share() == (100, 0)
        assert stage.haproxy.blackouts == []


@COLORS
async def test_a_slot_is_replaced_only_when_nothing_is_open_in_it(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(NEW)
        await stage.ended()
        stage.users.clinging[OLD] = 2
        await stage.begin(NEWER)
        await stage.phase(Phase.DEPLOY_CANDIDATE)
        await stage.after(120)
        assert stage.attempt.phase is Phase.DEPLOY_CANDIDATE
        assert "still has 2 requests" in stage.says
        assert not [each for each in stage.world.world.proxmox.writes if each.startswith("DELETE")]
        stage.users.clinging.clear()
        assert await stage.ended() == (Phase.COMPLETED, None)


@pytest.mark.slow
@COLORS
async def test_a_slot_in_which_requests_stay_open_for_ever_fails_the_attempt_and_is_left_alone(
    live: Color,
) -> None:
    async with a_stage(live) as stage:
        await stage.begin(NEW)
        await stage.ended()
        stage.users.clinging[OLD] = 2
        await stage.begin(NEWER)
        assert await stage.ended() == (Phase.FAILED, "DeployCandidateOverdue")
        assert "still has 2 requests" in stage.attempt.message
        assert not [each for each in stage.world.world.proxmox.writes if each.startswith("DELETE")]


@COLORS
async def test_after_a_rollback_no_request_reaches_the_candidate_cookies_or_not(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="5m")
        await stage.phase(Phase.WATCH)
        stage.users.bound[live.other.value] = 6
        await stage.after(20)
        stage.version(NEW, error_rate=0.3)
        assert await stage.ended() == (Phase.ROLLED_BACK, "ErrorRate")
        served = stage.users.served[NEW]
        await stage.after(60)
        assert stage.users.served[NEW] == served
        stage.no_user_is_lost()


@COLORS
async def test_users_of_the_old_version_that_a_cookie_binds_come_over_by_the_end_of_the_drain(
    live: Color,
) -> None:
    async with a_stage(live) as stage:
        await stage.begin(drain="10s")
        await stage.phase(Phase.WATCH)
        stage.users.bound[live.value] = 4
        stage.users.clinging[OLD] = 1
        await stage.phase(Phase.SOAK)
        await stage.after(2)
        assert stage.users.bound == {live.other.value: 4}
        stage.no_user_is_lost()


@COLORS
async def test_a_hundred_thousand_requests_through_split_promotion_and_rollback_lose_none(
    live: Color,
) -> None:
    async with a_stage(live, rate=1000) as stage:
        await stage.begin(NEW)
        assert await stage.ended() == (Phase.COMPLETED, None)
        stage.version(NEWER, error_rate=0.5)
        await stage.begin(NEWER)
        assert await stage.ended() == (Phase.ROLLED_BACK, "ErrorRate")
        await stage.until(lambda: stage.users.served.total() >= 100_000)
        stage.no_user_is_lost()
        assert stage.users.failed[OLD] == stage.users.failed[NEW] == 0
