"""Scenarios 51 to 60: restarts, absence, clocks, hands on HAProxy, and two versions at once."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from crds.balancer import ServerState
from crds.release import Phase
from crds.service import Color
from reconcilers.contract import TransientError
from tests.simulation.release_world import release_spec, service_spec
from tests.simulation.stage import NEW, NEWER, Stage, a_stage

pytestmark = [pytest.mark.looptime(end=10**9, noop_cycles=0), pytest.mark.timeout(120)]
COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)
GATEWAY = "psa-api-gateway"
HOUR_S = 3600
#: Phases in which another version is followed at once, and those in which it waits.
AT_ONCE = [Phase.PRE_CHECK, Phase.DEPLOY_CANDIDATE, Phase.HEALTH_CHECK, Phase.SMOKE, Phase.SPLIT, Phase.WATCH]
SLOW: dict[str, Any] = {
    "checks": ["unit"],
    "smoke": ["smoke"],
    "minHealthy": "5s",
    "split": [10, 50],
    "watch": "60s",
}


def make_slow(stage: Stage) -> None:
    """Let phases last long enough to be met."""
    stage.world.hooks.seconds = {"unit": 3.0, "smoke": 3.0}


@COLORS
@pytest.mark.parametrize("phase", AT_ONCE, ids=lambda phase: phase.value)
async def test_another_version_in_the_file_replaces_an_attempt_before_its_promotion(
    live: Color, phase: Phase
) -> None:
    async with a_stage(live) as stage:
        make_slow(stage)
        await stage.begin(NEW, **SLOW)
        await stage.phase(phase)
        await stage.begin(NEWER)
        (before,) = stage.status.history
        ends = Phase.ROLLED_BACK if phase in {Phase.SPLIT, Phase.WATCH} else Phase.FAILED
        assert (before.phase, before.reason) == (ends, "Superseded")
        assert stage.attempt.members[GATEWAY].stable is live
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.share() == (0, 100)
        assert set(stage.world.hooks.begun.values()) <= {1}
        stage.no_user_is_lost()


@COLORS
async def test_another_version_waits_for_the_soak_of_the_last_one(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(NEW, soak="10m")
        await stage.phase(Phase.SOAK)
        await stage.declare(release_spec(NEWER, soak="10m"))
        await stage.after(30)
        assert stage.attempt.version == NEW
        assert "SoakRunning: the file asks for 1.2.0" in stage.says
        await stage.until(lambda: stage.attempt.version == NEWER)
        (before,) = stage.status.history
        assert (before.phase, before.reason) == (Phase.COMPLETED, None)


@COLORS
async def test_another_version_ends_a_soak_that_the_file_lets_end(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(NEW, soak="24h")
        await stage.phase(Phase.SOAK)
        await stage.begin(NEWER, supersedeSoak=True)
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.share() == (100, 0), "back in the first colour"


@COLORS
@pytest.mark.parametrize("ends", ["stop", "kill"])
async def test_a_restart_in_the_watch_goes_on_at_the_same_step_with_the_same_evidence(
    live: Color, ends: str
) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="60s")
        await stage.phase(Phase.WATCH)
        await stage.after(20)
        before, attempt = stage.memo.entries[GATEWAY], stage.attempt
        commands = len(stage.haproxy.commands)
        await (stage.stop() if ends == "stop" else stage.kill())
        await stage.start()
        await stage.after(2)
        after = stage.memo.entries[GATEWAY]
        assert stage.attempt == attempt
        assert before.watched_s <= after.watched_s <= before.watched_s + 3
        assert before.failing.total.requests <= after.failing.total.requests
        assert len(stage.haproxy.commands) == commands
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.memo.entries[GATEWAY].watched_s >= 60


@COLORS
async def test_many_restarts_count_no_second_twice(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="40s")
        await stage.phase(Phase.WATCH)
        for _ in range(10):
            await stage.kill()
            await stage.start()
            await stage.after(3)
        watched_s = stage.memo.entries[GATEWAY].watched_s
        assert watched_s <= 32
        served = stage.users.served[NEW]
        assert stage.memo.entries[GATEWAY].failing.total.requests <= served
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_an_hour_without_the_daemon_promotes_nothing_and_then_it_goes_on(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="60s")
        await stage.phase(Phase.WATCH)
        await stage.after(10)
        before = stage.memo.entries[GATEWAY].watched_s
        await stage.stop()
        await stage.after(HOUR_S)
        assert stage.share() == (50, 50)
        await stage.start()
        await stage.after(3)
        assert stage.attempt.phase is Phase.WATCH
        assert stage.memo.entries[GATEWAY].watched_s <= before + 4
        assert stage.attempt.hold is None
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_errors_of_an_hour_without_the_daemon_count_and_act(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="60s")
        await stage.phase(Phase.WATCH)
        await stage.after(10)
        await stage.stop()
        stage.version(NEW, error_rate=0.1)
        await stage.after(HOUR_S)
        stage.version(NEW)
        await stage.start()
        phase, reason = await stage.ended()
        assert phase is Phase.ROLLED_BACK
        assert reason in {"ErrorRate", "LimitExceeded"}
        assert Phase.PROMOTE not in stage.phases


@COLORS
@pytest.mark.parametrize("phase", [Phase.DEPLOY_CANDIDATE, Phase.HEALTH_CHECK, Phase.SMOKE, Phase.SPLIT])
async def test_an_hour_without_the_daemon_ends_no_phase_by_its_deadline(live: Color, phase: Phase) -> None:
    async with a_stage(live) as stage:
        make_slow(stage)
        await stage.begin(**SLOW)
        await stage.phase(phase)
        await stage.kill()
        await stage.after(HOUR_S)
        await stage.start()
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_a_rollback_that_was_decided_is_made_by_the_next_process(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="5m")
        await stage.phase(Phase.WATCH)
        stage.haproxy.nodes[0].refuses = TransientError("connection refused")
        assert (await stage.ask("rollback")).accepted
        await stage.kill()
        await stage.after(60)
        stage.haproxy.nodes[0].refuses = None
        await stage.start()
        assert await stage.ended(within=timedelta(seconds=20)) == (Phase.ROLLED_BACK, "RollbackRequested")
        assert stage.share() == (100, 0)


@COLORS
@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S], ids=["forward", "back"])
@pytest.mark.parametrize("phase", [Phase.HEALTH_CHECK, Phase.SPLIT, Phase.WATCH, Phase.PROMOTE, Phase.SOAK])
async def test_a_clock_that_jumps_by_an_hour_neither_hurries_a_release_nor_ends_it(
    live: Color, phase: Phase, jump_s: float
) -> None:
    async with a_stage(live) as stage:
        make_slow(stage)
        stage.users.clinging["1.0.0"] = 1
        await stage.begin(**SLOW, drain="5s", soak="2m")
        await stage.phase(phase)
        stage.world.world.clock.jumped_s += jump_s
        before = stage.memo.entries.get(GATEWAY)
        await stage.after(2)
        after = stage.memo.entries.get(GATEWAY)
        if before is not None and after is not None and phase is Phase.WATCH:
            assert after.watched_s <= before.watched_s + 3
        stage.users.clinging.clear()
        await stage.phase(Phase.SOAK, Phase.COMPLETED, within=timedelta(minutes=10))
        if jump_s < 0 and phase in {Phase.PROMOTE, Phase.SOAK}:
            await stage.after(180)
            assert stage.attempt.phase is Phase.SOAK, "the old version stays by both clocks"
            stage.world.world.clock.jumped_s = 0
        assert await stage.ended(within=timedelta(minutes=10)) == (Phase.COMPLETED, None)
        assert stage.memo.soaked_s >= 120
        stage.no_user_is_lost()


@COLORS
async def test_a_weight_set_by_hand_is_put_right_within_a_second_and_told(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="2m")
        await stage.phase(Phase.WATCH)
        await stage.after(5)
        stage.haproxy.nodes[0].change("api_backend", live.value, weight=0)
        await stage.until(lambda: stage.share() == (50, 50), timedelta(seconds=1.5))
        assert await stage.ended() == (Phase.COMPLETED, None)
        told = [each.message for each in stage.events if each.key.kind == "TrafficSplit"]
        assert any(f"api_backend/{live.value} weight 0 → 50" in each for each in told)


@COLORS
async def test_a_server_closed_by_hand_is_opened_again(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="2m")
        await stage.phase(Phase.WATCH)
        await stage.haproxy.set_state(
            "edge", stage.haproxy.nodes[0].socket, "api_backend", live.other.value, ServerState.MAINT
        )
        await stage.until(lambda: stage.share() == (50, 50), timedelta(seconds=3))
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
async def test_a_reload_in_the_watch_restores_the_split_and_counts_go_on(live: Color, *, bad: bool) -> None:
    async with a_stage(live) as stage:
        await stage.begin(watch="60s")
        await stage.phase(Phase.WATCH)
        await stage.after(20)
        before = stage.memo.entries[GATEWAY].failing.total.requests
        stage.haproxy.reload()
        await stage.until(lambda: stage.share() == (50, 50), timedelta(seconds=2.5))
        stage.version(NEW, error_rate=0.3 if bad else 0.0)
        if bad:
            assert await stage.ended() == (Phase.ROLLED_BACK, "ErrorRate")
        else:
            assert await stage.ended() == (Phase.COMPLETED, None)
            assert stage.memo.entries[GATEWAY].failing.total.requests > before + 100
        assert any(each.reason == "BalancerReloaded" for each in stage.events)
        stage.no_user_is_lost()


@COLORS
async def test_a_reload_after_the_promotion_gives_the_old_version_no_way_in(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(soak="5m")
        await stage.phase(Phase.SOAK)
        await stage.after(5)
        stage.haproxy.reload()
        await stage.until(lambda: stage.share() == (0, 100), timedelta(seconds=2.5))
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_of_two_balancers_one_may_be_away_in_the_watch(live: Color) -> None:
    async with a_stage(live, nodes=2) as stage:
        await stage.begin(watch="60s")
        await stage.phase(Phase.WATCH)
        await stage.after(10)
        stage.haproxy.nodes[1].refuses = TransientError("connection refused")
        stage.version(NEW, error_rate=0.3)
        assert await stage.ended() == (Phase.ROLLED_BACK, "ErrorRate")
        assert stage.share(0) == (100, 0)
        assert stage.share(1) == (50, 50), "it cannot be reached"
        stage.haproxy.nodes[1].refuses = None
        await stage.until(lambda: stage.share(1) == (100, 0), timedelta(seconds=3))
        stage.no_user_is_lost()


@COLORS
async def test_both_balancers_have_the_same_split_and_both_are_counted(live: Color) -> None:
    async with a_stage(live, nodes=2) as stage:
        await stage.begin(watch="60s")
        await stage.phase(Phase.WATCH)
        await stage.after(10)
        assert stage.share(0) == stage.share(1) == (50, 50)
        assert stage.memo.entries[GATEWAY].failing.total.requests >= 180
        assert await stage.ended() == (Phase.COMPLETED, None)
        assert stage.share(0) == stage.share(1) == (0, 100)


@COLORS
async def test_with_one_balancer_away_no_release_begins_to_change_anything(live: Color) -> None:
    async with a_stage(live, nodes=2) as stage:
        stage.haproxy.nodes[1].refuses = TransientError("connection refused")
        await stage.begin()
        await stage.phase(Phase.PRE_CHECK)
        await stage.after(60)
        assert stage.attempt.phase is Phase.PRE_CHECK
        assert "node 2 is away" in stage.says
        stage.haproxy.nodes[1].refuses = None
        assert await stage.ended() == (Phase.COMPLETED, None)


@COLORS
async def test_what_happened_is_told_once_whatever_restarts(live: Color) -> None:
    async with a_stage(live) as stage:
        stage.version(NEW, error_rate=0.05)
        await stage.begin(watch="3m")
        while stage.attempt.phase not in {Phase.ROLLED_BACK, Phase.COMPLETED}:
            await stage.after(4)
            await stage.kill()
            await stage.start()
        assert stage.end == (Phase.ROLLED_BACK, "ErrorRate")
        counted = Counter(each for each in stage.reasons() if each not in {"Skipped", "WriteReport"})
        assert {reason: count for reason, count in counted.items() if count > 1} == {}
        assert counted["AttemptBegan"] == 1
        assert len(stage.world.reports) == 1


@COLORS
async def test_with_an_empty_store_no_release_is_begun_again_and_somebody_is_asked(live: Color) -> None:
    async with a_stage(live) as stage:
        await stage.begin(NEW)
        assert await stage.ended() == (Phase.COMPLETED, None)
        await stage.stop()
        stage.forget()
        writes = len(stage.world.world.proxmox.writes)
        await stage.start()
        initial = {"color": live.value, "version": "1.0.0"}
        await stage.declare(service_spec(initial=initial), release_spec(NEW))
        await stage.after(120)
        assert stage.status.attempt is None
        assert f"it is not known which version {live.other.value} runs" in stage.says
        assert stage.share() == (0, 100), "who had the traffic has it"
        assert len(stage.world.world.proxmox.writes) == writes
        stage.no_user_is_lost()


@COLORS
async def test_an_older_store_begins_nothing_in_a_slot_that_it_does_not_know(live: Color) -> None:
    async with a_stage(live) as stage:
        before = stage.database.copy()
        await stage.begin(NEW)
        assert await stage.ended() == (Phase.COMPLETED, None)
        await stage.stop()
        stage.database = before
        writes = len(stage.world.world.proxmox.writes)
        await stage.start()
        await stage.declare(release_spec(NEW))
        await stage.phase(Phase.FAILED)
        assert "which is not ours" in stage.attempt.message
        assert len(stage.world.world.proxmox.writes) == writes
        stage.no_user_is_lost()
