"""What people do while a release runs: pauses, freezes, traffic by hand, files that vanish."""

from datetime import timedelta

import pytest

from crds.balancer import Override
from crds.freeze import Freeze
from crds.meta import Key, Mode
from crds.release import Phase
from crds.service import Color
from daemon.store.operations import Assign, Suspend
from tests.simulation.release_world import declared, release_spec, service_spec
from tests.simulation.stage import GATEWAY, NEW, NEWER, OLD, Stage, a_stage

pytestmark = [pytest.mark.looptime(end=10**9, noop_cycles=0), pytest.mark.timeout(120)]
COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)
NAME = "psa-api-gateway"


async def freeze(stage: Stage, minutes: float) -> None:
    until = stage.world.world.clock.now() + timedelta(minutes=minutes)
    await stage.wishes.freeze(Freeze(until=until, reason="week-end", actor="anna"))


async def override(stage: Stage, *, stable: int, candidate: int, minutes: float = 30) -> None:
    weights = {stage.live.value: stable, stage.live.other.value: candidate}
    until = stage.world.world.clock.now() + timedelta(minutes=minutes)
    await stage.wishes.override(NAME, Override(**weights, until=until, reason="a look", actor="bert"))


@COLORS
async def test_a_pause_holds_the_watch_and_the_rule_still_acts(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="30s")
        await stage.phase(Phase.WATCH)
        assert (await stage.ask("pause")).accepted
        await stage.after(120)
        assert stage.attempt.phase is Phase.WATCH
        assert "paused by anna: because" in stage.says
        assert stage.reasons(warnings=True) == ["Paused"]
        stage.version(NEW, error_rate=0.3)
        assert await stage.ended(within=timedelta(minutes=1)) == (Phase.ROLLED_BACK, "ErrorRate")


@COLORS
async def test_a_resumed_release_goes_on_where_it_was(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin()
        await stage.phase(Phase.WATCH)
        assert (await stage.ask("pause")).accepted
        assert (await stage.ask("pause")).accepted
        await stage.after(300)
        assert (await stage.ask("resume")).accepted
        assert not (await stage.ask("resume")).accepted
        assert await stage.ended(within=timedelta(minutes=5)) == (Phase.COMPLETED, None)


@COLORS
async def test_a_pause_outlasts_what_the_rule_would_hold_for(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="3m", errorRate={"limit": "2%", "minRequests": 50})
        await stage.phase(Phase.WATCH)
        await stage.after(90)
        assert (await stage.ask("pause")).accepted
        stage.version(OLD, error_rate=0.2)
        stage.version(NEW, error_rate=0.2)
        await stage.until(lambda: "CommonCause" in stage.reasons())
        assert stage.attempt.hold is not None
        assert stage.attempt.hold.reason == "Paused"
        assert "meanwhile CommonCause" in stage.says
        await stage.after(120)
        assert stage.reasons().count("CommonCause") == 1
        assert stage.attempt.hold.reason == "Paused"


@COLORS
async def test_a_freeze_stops_what_runs_and_lets_nothing_begin_and_ends_by_itself(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin()
        await stage.phase(Phase.WATCH)
        await freeze(stage, minutes=4)
        await stage.after(120)
        assert stage.attempt.phase is Phase.WATCH
        assert "Frozen until" in stage.says
        assert not (await stage.ask("promote")).accepted
        assert await stage.ended() == (Phase.COMPLETED, None)
        await freeze(stage, minutes=4)
        await stage.declare(release_spec(NEWER))
        await stage.after(60)
        assert stage.attempt.version == NEW
        assert "Frozen" in stage.says
        await stage.until(lambda: stage.attempt.version == NEWER)


@COLORS
async def test_a_freeze_holds_no_rollback_and_outlasts_an_error(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="5m")
        await stage.phase(Phase.WATCH)
        await freeze(stage, minutes=60)
        stage.version(NEW, error_rate=0.3)
        assert await stage.ended(within=timedelta(minutes=1)) == (Phase.ROLLED_BACK, "ErrorRate")
        await stage.declare(release_spec(NEWER))
        await stage.after(60)
        assert stage.attempt.version == NEW


@COLORS
async def test_traffic_set_by_hand_stays_as_set_and_the_release_waits(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="60s")
        await stage.phase(Phase.WATCH)
        await stage.after(5)
        await override(stage, stable=90, candidate=10, minutes=5)
        await stage.until(lambda: stage.share() == (90, 10), timedelta(seconds=3))
        watched_s = stage.memo.entries[NAME].watched_s
        await stage.after(120)
        assert stage.share() == (90, 10)
        assert "traffic is set by bert" in stage.says
        assert stage.memo.entries[NAME].watched_s <= watched_s + 2
        assert await stage.ended() == (Phase.COMPLETED, None)
        stage.no_user_is_lost()


@COLORS
@pytest.mark.parametrize("candidate", [100, 0], ids=["to-the-candidate", "to-stable"])
async def test_a_rollback_is_one_for_users_whatever_was_set_by_hand(live: Color, candidate: int) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="5m")
        await stage.phase(Phase.WATCH)
        await stage.after(5)
        await override(stage, stable=100 - candidate, candidate=candidate)
        await stage.until(lambda: stage.share()[1] == candidate)
        assert (await stage.ask("rollback")).accepted
        assert await stage.ended(within=timedelta(seconds=20)) == (Phase.ROLLED_BACK, "RollbackRequested")
        assert stage.share() == (100, 0)
        split = stage.state.objects[Key("TrafficSplit", NAME)].spec
        assert (split.override is None) == (candidate > 0)  # type: ignore[attr-defined]
        stage.no_user_is_lost()


@COLORS
@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
async def test_a_release_whose_file_vanishes_runs_to_its_end(live: Color, *, bad: bool) -> None:
    async with a_stage(live) as stage:
        await stage.begin(smoke=["smoke"], watch="60s")
        await stage.phase(Phase.WATCH)
        await stage.lose_file()
        stage.version(NEW, error_rate=0.3 if bad else 0.0)
        if bad:
            assert await stage.ended() == (Phase.ROLLED_BACK, "ErrorRate")
            await stage.until(lambda: len(stage.world.reports) == 1, timedelta(seconds=5))
        else:
            assert await stage.ended() == (Phase.COMPLETED, None)
            assert stage.share() == (0, 100)


@COLORS
async def test_hooks_run_although_the_file_is_gone(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.world.hooks.seconds["unit"] = 3
        await stage.begin(checks=["unit"], smoke=["smoke"])
        await stage.phase(Phase.PRE_CHECK)
        await stage.lose_file()
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert len(stage.world.hooks.begun) == 2


@COLORS
async def test_nothing_begins_without_a_file(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(NEW)
        await stage.ended()
        await stage.lose_file()
        await stage.lose_file(GATEWAY)
        commits = stage.store.commits
        await stage.after(300)
        assert stage.attempt.number == 1
        assert stage.store.commits - commits <= 3


@COLORS
async def test_while_nothing_may_be_changed_a_release_stands_still_and_goes_on_later(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="60s")
        await stage.phase(Phase.WATCH)
        await stage.after(5)
        await stage.commit(Assign("mode", Mode.OBSERVE.value))
        await stage.after(600)
        assert stage.attempt.phase is Phase.WATCH
        assert "mode Observe" in stage.says
        refused = await stage.ask("rollback")
        assert not refused.accepted
        await stage.commit(Assign("mode", Mode.ENFORCE.value))
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_a_suspended_release_begins_nothing(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.commit(declared(Key("Release", "psa-suite"), release_spec(NEW)))
        await stage.commit(Suspend(Key("Release", "psa-suite"), "a look", "anna"))
        await stage.after(120)
        assert stage.status.attempt is None or stage.attempt.phase in {Phase.PENDING, Phase.PRE_CHECK}
        assert "suspended" in stage.says


@COLORS
async def test_an_edit_that_changes_no_version_changes_the_running_attempt_only_in_what_it_says(
    live: Color,
) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="1h")
        await stage.phase(Phase.WATCH)
        await stage.declare(release_spec(NEW, watch="40s"))
        await stage.declare(service_spec(initial={"color": live.value, "version": OLD}))
        assert await stage.ended(within=timedelta(minutes=10)) == (Phase.COMPLETED, None)
        assert stage.attempt.number == 1


@COLORS
async def test_a_quarantined_version_is_left_alone_until_somebody_says_otherwise(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.version(NEW, error_rate=0.3)
        await stage.begin(NEW)
        assert await stage.ended() == (Phase.ROLLED_BACK, "ErrorRate")
        await stage.declare(release_spec(NEW, watch="40s"))
        await stage.after(600)
        assert stage.attempt.number == 1
        assert "psactl release retry psa-suite" in stage.says
        stage.version(NEW)
        assert (await stage.ask("retry")).accepted
        await stage.until(lambda: stage.attempt.number == 2)
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.status.quarantine == ()
