"""Scenarios 1 to 28: what the figures of a release lead to, and how it goes back."""

from datetime import timedelta

import pytest

from crds.release import Phase, Trigger
from crds.service import Color
from reconcilers.contract import TransientError
from tests.simulation.stage import GATEWAY, NEW, OLD, Stage, a_stage

pytestmark = [pytest.mark.looptime(end=10**9, noop_cycles=0), pytest.mark.timeout(120)]
COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)
AWAY = TransientError("connection refused")


def silence(stage: Stage, *, away: bool) -> None:
    """Let no HAProxy answer the daemon; users are served all the same."""
    for node in stage.haproxy.nodes:
        node.refuses = AWAY if away else None


@COLORS
async def test_a_broken_limit_goes_back_and_the_reason_has_its_figures(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.version(NEW, error_rate=0.1)
        await stage.begin()
        assert await stage.ended() == (Phase.ROLLED_BACK, "ErrorRate")
        assert stage.share() == (100, 0)
        message = stage.attempt.message
        for figure in (
            "psa-api-gateway: ",
            " % of ",
            "requests failed, limit 1 %",
            "evidence 10^",
            "stable 0 %",
        ):
            assert figure in message
        assert stage.attempt.trigger is Trigger.RULE
        assert "ErrorRate" in stage.reasons(warnings=True)
        stage.no_user_is_lost()


@COLORS
@pytest.mark.parametrize("seconds", [5.0, 120.0], ids=["short", "longer-than-the-watch"])
async def test_where_haproxy_does_not_answer_nothing_is_decided_and_it_goes_on_later(
    live: Color, seconds: float
) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watchMax="10m")
        await stage.phase(Phase.WATCH)
        await stage.after(10)
        before = stage.memo.entries["psa-api-gateway"]
        silence(stage, away=True)
        await stage.after(seconds)
        assert stage.attempt.phase is Phase.WATCH
        assert stage.attempt.hold is None
        blind = stage.memo.entries["psa-api-gateway"]
        assert blind.watched_s <= before.watched_s + 2
        silence(stage, away=False)
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.memo.entries["psa-api-gateway"].failing.total.requests >= 10 * seconds


@COLORS
async def test_errors_that_came_while_haproxy_did_not_answer_count_when_it_does(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watchMax="10m")
        await stage.phase(Phase.WATCH)
        silence(stage, away=True)
        stage.version(NEW, error_rate=0.3)
        await stage.after(20)
        stage.version(NEW)
        silence(stage, away=False)
        assert await stage.ended() == (Phase.ROLLED_BACK, "ErrorRate")


@COLORS
async def test_each_value_is_shown_with_its_verdict(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin()
        await stage.phase(Phase.WATCH)
        await stage.after(10)
        shown = stage.memo.shown["psa-api-gateway"]
        assert shown.requests > 50
        assert (shown.errors, shown.stable_errors, shown.asked, shown.observed) == (0, 0, 50, 50)
        assert shown.stable_requests > 50
        assert shown.needed > shown.evidence
        assert "limit 1 %" in shown.says


@COLORS
async def test_without_requests_nothing_is_promoted_and_nothing_is_called_broken(live: Color) -> None:
    async with a_stage(live, rate=0) as stage:
        await stage.begin(holdForEvidence="2m")
        await stage.hold("NotEnoughTraffic")
        assert stage.attempt.phase is Phase.WATCH
        assert stage.attempt.first_bad_at is None
        assert "44 more good requests are needed" in stage.says
        stage.users.rate = 20
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_missing_evidence_that_nobody_looks_at_ends_in_a_rollback(live: Color) -> None:
    async with a_stage(live, rate=0) as stage:
        await stage.begin(holdForEvidence="2m")
        assert await stage.ended() == (Phase.ROLLED_BACK, "NotEnoughTraffic")
        assert stage.attempt.trigger is Trigger.DEADLINE
        assert "nobody ended the hold" in stage.attempt.message


@COLORS
async def test_what_was_stopped_before_its_first_value_is_no_success(live: Color) -> None:
    async with a_stage(live, rate=0) as stage:
        await stage.begin()
        await stage.phase(Phase.WATCH)
        assert (await stage.ask("abort")).accepted
        assert await stage.ended() == (Phase.ROLLED_BACK, "RollbackRequested")


@COLORS
async def test_no_errors_on_either_side_are_good(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin()
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.users.failed.total() == 0
        stage.no_user_is_lost()


@COLORS
async def test_errors_are_found_although_stable_has_none_at_all(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.version(NEW, error_rate=0.05)
        await stage.begin(watch="3m")
        assert await stage.ended() == (Phase.ROLLED_BACK, "ErrorRate")
        assert stage.users.failed[OLD] == 0


@COLORS
async def test_a_tail_that_grew_is_found_by_its_exceedances_although_the_median_is_the_same(
    live: Color,
) -> None:
    async with a_stage(live, rate=40) as stage:
        stage.world.has_log = True
        stage.version(OLD, slow=0.01)
        stage.version(NEW, slow=0.25)
        await stage.begin(watch="2m", responseTime={"p95": "200ms"})
        assert await stage.ended() == (Phase.ROLLED_BACK, "ResponseTime")
        assert "took longer than 200 ms" in stage.attempt.message
        assert stage.users.failed.total() == 0


@COLORS
async def test_response_times_within_their_limit_are_good(live: Color) -> None:
    async with a_stage(live, rate=40) as stage:
        stage.world.has_log = True
        stage.version(NEW, slow=0.01)
        await stage.begin(watch="2m", responseTime={"p95": "200ms"})
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_without_a_log_a_limit_of_the_response_time_holds_and_says_so(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(responseTime={"p95": "200ms"}, holdForEvidence="2m")
        await stage.hold("NoResponseTimes")
        assert await stage.ended() == (Phase.ROLLED_BACK, "NoResponseTimes")


@COLORS
@pytest.mark.parametrize("after_s", [0.0, 15.0], ids=["at-the-split", "later"])
async def test_a_blip_that_heals_is_shown_and_rolls_nothing_back(live: Color, after_s: float) -> None:
    async with a_stage(live) as stage:
        await stage.begin()
        await stage.phase(Phase.SPLIT)
        await stage.after(after_s)
        await stage.until(lambda: stage.users.served[NEW] > 0)
        stage.version(NEW, error_rate=0.2)
        await stage.until(lambda: stage.users.failed[NEW] > 0)
        stage.version(NEW)
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.memo.entries["psa-api-gateway"].failing.total.errors == stage.users.failed[NEW]


@COLORS
async def test_with_the_method_off_errors_alone_roll_nothing_back(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.version(NEW, error_rate=0.2)
        await stage.begin(errorRate={"limit": "1%", "method": "off", "minRequests": 50})
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_the_plain_threshold_tolerates_its_limit_and_not_more(live: Color) -> None:
    async with a_stage(live, rate=200) as stage:
        stage.version(NEW, error_rate=0.15)
        rule = {"limit": "10%", "method": "threshold", "minRequests": 200}
        await stage.begin(errorRate=rule)
        assert await stage.ended() == (Phase.ROLLED_BACK, "ErrorRate")
        assert stage.memo.entries["psa-api-gateway"].failing.total.requests >= 200
    async with a_stage(live, rate=200) as stage:
        stage.version(NEW, error_rate=0.05)
        await stage.begin(errorRate={"limit": "10%", "method": "threshold", "minRequests": 200})
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_what_is_bad_on_both_sides_holds_pages_and_moves_no_traffic(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="5m")
        await stage.phase(Phase.WATCH)
        await stage.after(90)
        stage.version(OLD, error_rate=0.2)
        stage.version(NEW, error_rate=0.2)
        await stage.hold("CommonCause")
        assert stage.share() == (50, 50)
        assert stage.reasons(warnings=True) == ["CommonCause"]
        await stage.after(60)
        assert stage.share() == (50, 50)
        assert stage.reasons(warnings=True) == ["CommonCause"], "it pages once, not each second"


@COLORS
async def test_a_common_cause_that_ends_on_both_sides_lets_the_release_go_on(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="4m", errorRate={"limit": "2%", "minRequests": 50})
        await stage.phase(Phase.WATCH)
        await stage.after(90)
        stage.version(OLD, error_rate=0.1)
        stage.version(NEW, error_rate=0.1)
        await stage.hold("CommonCause")
        stage.version(OLD)
        stage.version(NEW)
        await stage.until(lambda: stage.attempt.hold is None)
        assert stage.attempt.phase is Phase.WATCH
        assert "HoldEnded" in stage.reasons()


@COLORS
async def test_a_common_cause_that_stays_the_candidates_alone_goes_back(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="10m")
        await stage.phase(Phase.WATCH)
        await stage.after(90)
        stage.version(OLD, error_rate=0.2)
        stage.version(NEW, error_rate=0.2)
        await stage.hold("CommonCause")
        stage.version(OLD)
        assert await stage.ended() == (Phase.ROLLED_BACK, "ErrorRate")


@COLORS
async def test_a_common_cause_that_nobody_looks_at_ends_in_a_rollback(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="10m", holdFor="2m")
        await stage.phase(Phase.WATCH)
        await stage.after(90)
        stage.version(OLD, error_rate=0.2)
        stage.version(NEW, error_rate=0.2)
        await stage.hold("CommonCause")
        assert await stage.ended() == (Phase.ROLLED_BACK, "CommonCause")
        assert stage.attempt.trigger is Trigger.DEADLINE


@COLORS
async def test_a_candidate_that_uses_up_what_both_share_goes_back(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.version(NEW, error_rate=0.3, spoils=0.3)
        await stage.begin()
        assert await stage.ended() == (Phase.ROLLED_BACK, "ErrorRate")
        assert "after a step of this release" in stage.attempt.message
        assert stage.share() == (100, 0)


@COLORS
async def test_a_candidate_that_hangs_is_found_long_before_haproxy_gives_up(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="5m")
        await stage.phase(Phase.WATCH)
        await stage.after(20)
        stage.version(NEW, hangs=True)
        assert await stage.ended(within=timedelta(seconds=12)) in {
            (Phase.ROLLED_BACK, "Hanging"),
            (Phase.ROLLED_BACK, "CandidateDown"),
        }
        assert stage.users.failed.total() == 0, "nobody was given up yet"
        assert stage.share() == (100, 0)


@COLORS
async def test_failures_that_haproxy_hides_keep_a_version_from_being_promoted(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.version(NEW, refuses=True)
        await stage.begin(holdFor="2m", holdForEvidence="2m")
        assert (await stage.ended())[0] is Phase.ROLLED_BACK
        assert Phase.PROMOTE not in stage.phases
        assert stage.users.failed.total() == 0, "users saw nothing"
        stage.no_user_is_lost()


@COLORS
@pytest.mark.parametrize("after_s", [1.0, 60.0, 660.0])
async def test_a_fault_after_the_promotion_goes_back_to_the_old_version_that_still_runs(
    live: Color, after_s: float
) -> None:
    async with a_stage(live) as stage:
        await stage.begin(soak="24h")
        await stage.phase(Phase.PROMOTE)
        await stage.after(after_s)
        stage.version(NEW, error_rate=0.3)
        await stage.phase(Phase.ROLLED_BACK, within=timedelta(seconds=60))
        assert stage.attempt.reason == "ErrorRate"
        assert "the old stable is healthy" in stage.attempt.message
        assert stage.share() == (100, 0)
        stage.no_user_is_lost()


@COLORS
async def test_a_breach_while_somebody_is_waited_for_goes_back(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(promotion="manual")
        await stage.hold("AwaitingPromotion")
        stage.version(NEW, error_rate=0.3)
        assert await stage.ended(within=timedelta(minutes=1)) == (Phase.ROLLED_BACK, "ErrorRate")


@COLORS
async def test_a_rollback_while_the_candidate_is_being_made_leaves_stable_alone(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin()
        await stage.phase(Phase.DEPLOY_CANDIDATE)
        assert (await stage.ask("rollback")).accepted
        assert await stage.ended() == (Phase.FAILED, "Aborted")
        await stage.after(120)
        assert stage.share() == (100, 0)
        assert stage.users.served[NEW] == 0
        assert stage.state.objects[GATEWAY].is_ready()
        assert {key.kind for key, found in stage.state.objects.items() if not found.is_ready()} <= {"Release"}


@COLORS
async def test_traffic_that_stops_in_the_watch_promotes_nothing(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="60s")
        await stage.phase(Phase.WATCH)
        await stage.until(lambda: stage.memo.shown["psa-api-gateway"].requests > 20)
        stage.users.rate = 0
        await stage.hold("NotEnoughTraffic")
        assert stage.attempt.phase is Phase.WATCH
        assert stage.share() == (50, 50)


@COLORS
async def test_the_first_second_after_the_split_has_no_requests_and_means_nothing(live: Color) -> None:
    async with a_stage(live, rate=0) as stage:
        await stage.begin()
        await stage.phase(Phase.WATCH)
        await stage.after(3)
        entry = stage.memo.entries["psa-api-gateway"]
        assert entry.failing.total.requests == 0
        assert entry.failing.alarm is None
        assert stage.attempt.hold is None


@COLORS
async def test_a_candidate_that_is_ill_goes_back(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="5m")
        await stage.phase(Phase.WATCH)
        await stage.after(15)
        stage.version(NEW, is_ill=True)
        assert await stage.ended(within=timedelta(seconds=10)) == (Phase.ROLLED_BACK, "CandidateDown")
        stage.no_user_is_lost()


@COLORS
async def test_a_candidate_whose_container_stops_goes_back(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="5m")
        await stage.phase(Phase.WATCH)
        await stage.after(15)
        stage.switch_off(live.other)
        assert await stage.ended(within=timedelta(seconds=15)) == (Phase.ROLLED_BACK, "CandidateDown")
        stage.no_user_is_lost()


@COLORS
async def test_errors_that_go_on_at_stable_clear_the_version_of_the_blame(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.version(NEW, error_rate=0.3)
        await stage.begin()
        await stage.phase(Phase.ROLLED_BACK)
        stage.version(OLD, error_rate=0.3)
        await stage.until(lambda: stage.attempt.reason == "CommonCauseSuspected", timedelta(seconds=120))
        assert stage.status.quarantine == ()
        assert "stable fails as well since the rollback" in stage.attempt.message
