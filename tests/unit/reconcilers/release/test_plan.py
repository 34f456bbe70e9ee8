"""What a release's plan does in every phase: one move a pass, deadlines, holds, freezes, clocks that jump."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from crds.balancer import Override, ServerState
from crds.evidence import Evidence
from crds.freeze import Freeze
from crds.meta import ConditionType, Truth
from crds.release import HoldExit, Phase, Trigger
from crds.service import LIVE, Color, share_of
from reconcilers.contract import Amend, Close, Intent, OutcomeKind, Plan, Urgency
from reconcilers.hook_runs import HookResult, HookState
from reconcilers.release.model import ReleaseAction, StopHook
from reconcilers.release.phases import DEADLINES, ENDED, MOVES, PROMOTED, Happening
from tests.builders import START
from tests.builders_release import (
    GATEWAY,
    ILL,
    NEW,
    OLD,
    Scene,
    a_hold,
    a_slot,
    a_split,
    attempt_of,
    memo_of,
    notes,
)

RUNNING = tuple(phase for phase in Phase if phase not in ENDED)
FORWARD = tuple(phase for phase in RUNNING if phase is not Phase.ROLLING_BACK)
COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)
HOUR = timedelta(hours=1)
#: What keeps each phase's work from being done.
STUCK: Mapping[Phase, Mapping[str, Any]] = {
    Phase.PRE_CHECK: {"seen": {"preflight": None}},
    Phase.DEPLOY_CANDIDATE: {},
    Phase.HEALTH_CHECK: {"members": {0: {"probes": {Color.BLUE: ILL, Color.GREEN: ILL}}}},
    Phase.SMOKE: {"spec": {"smoke": ["smoke"]}, "seen": {"unseen_hooks": "the records cannot be read"}},
    Phase.SPLIT: {"members": {0: {"split": a_split(0, Color.GREEN, 0, ready=False)}}},
    Phase.PROMOTE: {"members": {0: {"split": a_split(0, Color.GREEN, 50, ready=False)}}},
    Phase.VERIFY: {"members": {0: {"probes": {Color.GREEN: ILL}}}},
    Phase.ROLLING_BACK: {"members": {0: {"split": a_split(0, Color.GREEN, 50, ready=False)}}},
}


def said(value: object) -> str:
    return str(getattr(value, "name", value))


def in_phases(*phases: Phase) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("phase", phases, ids=said)


def a_stuck(phase: Phase, in_phase: timedelta, **fields: Any) -> Scene:
    """Return a scene in which nothing goes on for so long, all of it seen."""
    attempt = {"entered_at": START - in_phase, "step_at": START - in_phase}
    return Scene(phase, attempt=attempt, **{**STUCK[phase], **fields})


def amended(plan: Plan[ReleaseAction]) -> list[str]:
    return [str(write.key) for write in plan.writes if isinstance(write, Amend)]


@in_phases(*RUNNING)
@COLORS
def test_a_pass_makes_one_move_of_the_table_at_most(phase: Phase, live: Color) -> None:
    after = attempt_of(Scene(phase, live).plan()).phase
    assert after is phase or after in MOVES[phase].values()


@in_phases(*DEADLINES)
def test_a_phase_that_lasts_too_long_ends_as_the_table_says(phase: Phase) -> None:
    late = DEADLINES[phase] + timedelta(minutes=1)
    plan = a_stuck(phase, late).plan()
    attempt = attempt_of(plan)
    assert attempt.phase is MOVES[phase][Happening.OVERDUE]
    assert attempt.reason == f"{phase.value}Overdue"
    assert attempt.trigger is Trigger.DEADLINE
    assert "took longer than" in attempt.message
    assert attempt.reason in notes(plan)


@in_phases(*DEADLINES)
def test_up_to_its_deadline_a_phase_goes_on(phase: Phase) -> None:
    plan = a_stuck(phase, DEADLINES[phase] - timedelta(seconds=5)).plan()
    assert attempt_of(plan).phase is phase
    assert plan.waiting is not None
    assert plan.recheck_after is not None


@in_phases(*sorted(PROMOTED & set(DEADLINES), key=said))
def test_a_first_release_that_lasts_too_long_calls_somebody_and_is_tried_further(phase: Phase) -> None:
    stuck: Mapping[Phase, Mapping[str, Any]] = {
        Phase.PROMOTE: {"split": a_split(0, Color.BLUE, 50, ready=False)},
        Phase.VERIFY: {"probes": {Color.BLUE: ILL}},
    }
    entered = {"entered_at": START - HOUR}
    plan = Scene(phase, live=None, attempt=entered, members={0: stuck[phase]}).plan()
    hold = attempt_of(plan).hold
    assert hold is not None
    assert (hold.reason, hold.exit) == ("Overdue", HoldExit.STAY)
    well = Scene(phase, live=None, attempt={**entered, "hold": hold}).plan()
    assert attempt_of(well).phase is not phase
    assert attempt_of(well).hold is None


@in_phases(*DEADLINES)
def test_the_time_in_which_the_daemon_was_away_does_not_count(phase: Phase) -> None:
    long_ago = {"process": "another run", "ticked_at": START - HOUR}
    plan = a_stuck(phase, HOUR + timedelta(seconds=5), memo=long_ago).plan()
    assert attempt_of(plan).phase is phase


@in_phases(*DEADLINES)
@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_clock_that_jumps_neither_ends_a_phase_nor_prolongs_it(phase: Phase, jump: timedelta) -> None:
    before = {"ticked_at": START - timedelta(seconds=1) - jump}
    fresh = a_stuck(phase, timedelta(seconds=5) + jump, memo=before).plan()
    assert attempt_of(fresh).phase is phase
    late = DEADLINES[phase] + timedelta(minutes=1)
    assert attempt_of(a_stuck(phase, late + jump, memo=before).plan()).phase is not phase


@in_phases(*FORWARD)
@COLORS
def test_a_freeze_lets_nothing_move_forward(phase: Phase, live: Color) -> None:
    freeze = Freeze(until=START + HOUR, reason="week-end", actor="anna")
    scene = Scene(phase, live, seen={"freeze": freeze})
    plan = scene.plan()
    assert attempt_of(plan).phase is phase
    assert plan.waiting is not None
    assert "anna: week-end" in plan.waiting


@in_phases(*FORWARD)
def test_a_hold_lets_nothing_move_forward_and_its_time_does_not_count(phase: Phase) -> None:
    hold = a_hold("Paused", by="anna", then=HoldExit.RESUME)
    plan = Scene(phase, attempt={"hold": hold}).plan()
    assert attempt_of(plan).phase is phase
    assert attempt_of(plan).hold == hold
    assert memo_of(plan).held_s == pytest.approx(1.0)


@in_phases(Phase.SPLIT, Phase.WATCH, Phase.PROMOTE, Phase.SOAK)
def test_traffic_that_a_person_has_set_lets_nothing_move_forward(phase: Phase) -> None:
    until = START + timedelta(minutes=30)
    override = Override(blue=50, green=50, until=until, reason="a look at both", actor="bert")
    percent, loser = (100, "drain") if phase in PROMOTED else (50, "maint")
    split = a_split(0, Color.GREEN, percent, loser=loser, override=override)
    plan = Scene(phase, members={0: {"split": split}}).plan()
    assert attempt_of(plan).phase is phase
    assert plan.waiting is not None
    assert "bert" in plan.waiting
    assert f"TrafficSplit/{GATEWAY}" not in amended(plan)


@COLORS
@pytest.mark.parametrize("part", [0, 50])
def test_a_rollback_ends_an_override_only_if_it_gives_the_candidate_traffic(live: Color, part: int) -> None:
    weights = {live.value: 100, live.other.value: part}
    override = Override(**weights, until=START + HOUR, reason="a look", actor="bert")
    split = a_split(0, live.other, 0, override=override)
    plan = Scene(Phase.ROLLING_BACK, live, members={0: {"split": split}}).plan()
    if part == 0:
        assert attempt_of(plan).phase is Phase.ROLLED_BACK
        assert "TrafficSplit/psa-api-gateway" not in amended(plan)
        assert "OverrideEnded" not in notes(plan)
    else:
        assert attempt_of(plan).phase is Phase.ROLLING_BACK
        assert "OverrideEnded" in notes(plan)
        (write,) = (
            each for each in plan.writes if isinstance(each, Amend) and each.key.kind == "TrafficSplit"
        )
        assert write.spec == split.spec.model_copy(update={"override": None})


@in_phases(*FORWARD)
def test_a_pause_that_is_over_ends_by_itself(phase: Phase) -> None:
    hold = a_hold("Paused", by="anna", then=HoldExit.RESUME, for_=timedelta(seconds=-1))
    plan = Scene(phase, attempt={"hold": hold}).plan()
    assert attempt_of(plan).hold is None
    assert "HoldEnded" in notes(plan)


@in_phases(Phase.SPLIT, Phase.WATCH)
def test_a_hold_that_nobody_looks_at_ends_in_a_rollback_before_the_promotion(phase: Phase) -> None:
    hold = a_hold("AwaitingPromotion", for_=timedelta(seconds=-1))
    attempt = attempt_of(Scene(phase, attempt={"hold": hold}).plan())
    assert (attempt.phase, attempt.reason) == (Phase.ROLLING_BACK, "AwaitingPromotion")
    assert "nobody ended the hold" in attempt.message


def test_another_reason_to_hold_gives_nobody_more_time() -> None:
    hold = a_hold("AwaitingPromotion", for_=timedelta(minutes=5))
    late = {"entered_at": START - HOUR, "hold": hold}
    plan = Scene(Phase.WATCH, attempt=late).plan()
    other = attempt_of(plan).hold
    assert other is not None
    assert (other.reason, other.since, other.until) == ("NotEnoughTraffic", hold.since, hold.until)


@in_phases(*sorted(PROMOTED, key=said))
def test_a_hold_after_the_promotion_stays_and_pages_again(phase: Phase) -> None:
    hold = a_hold("RollbackStuck", by="somebody", then=HoldExit.STAY, for_=timedelta(seconds=-1))
    plan = Scene(phase, attempt={"hold": hold}).plan()
    kept = attempt_of(plan).hold
    assert attempt_of(plan).phase is phase
    assert kept is not None
    assert kept.until == START + timedelta(minutes=30)
    assert notes(plan) == ["RollbackStuck"]
    quiet = Scene(phase, attempt={"hold": kept}).plan()
    assert notes(quiet) == []


@COLORS
def test_a_rollback_that_cannot_be_made_pages_and_goes_on_trying(live: Color) -> None:
    split = a_split(0, live.other, 0, ready=False, message="stable is DOWN")
    late = {"entered_at": START - timedelta(seconds=20)}
    scene = Scene(Phase.ROLLING_BACK, live, attempt=late, members={0: {"split": split}})
    plan = scene.plan()
    hold = attempt_of(plan).hold
    assert hold is not None
    assert (hold.reason, hold.exit) == ("RollbackStuck", HoldExit.STAY)
    assert "stable is DOWN" in hold.message
    assert plan.urgency is Urgency.ROLLBACK
    assert plan.recheck_after is not None
    assert plan.recheck_after <= timedelta(seconds=1)
    mended = Scene(Phase.ROLLING_BACK, live, attempt={**late, "hold": hold}).plan()
    assert attempt_of(mended).phase is Phase.ROLLED_BACK


@pytest.mark.parametrize("reason", ["ObserveMode", "Suspended"])
@in_phases(*RUNNING)
def test_while_nothing_may_be_changed_the_attempt_stands_still(phase: Phase, reason: str) -> None:
    plan = Scene(phase, release={"held": (reason, "nothing is changed")}).plan()
    assert (plan.status, plan.memo, plan.writes, plan.steps) == (None, None, (), ())
    assert plan.waiting is not None
    assert phase.value in plan.waiting


@in_phases(*RUNNING)
def test_an_attempt_outlives_its_file(phase: Phase) -> None:
    there, gone = Scene(phase).plan(), Scene(phase, release={"orphaned_since": START}).plan()
    assert gone == there
    assert gone.outlives_file


@pytest.mark.parametrize(
    ("reason", "is_kept"), [("ErrorRate", True), ("Superseded", False), ("Aborted", False)]
)
@COLORS
def test_what_broke_is_not_tried_again_by_itself(live: Color, reason: str, *, is_kept: bool) -> None:
    plan = Scene(Phase.ROLLING_BACK, live, attempt={"reason": reason, "message": "5 % of 200"}).plan()
    assert attempt_of(plan).phase is Phase.ROLLED_BACK
    kept = [(each.version, each.reason) for each in plan.status.quarantine]  # type: ignore[union-attr]
    assert kept == ([(NEW, "5 % of 200")] if is_kept else [])


@COLORS
def test_a_rollback_closes_the_candidate_and_marks_stable_as_live(live: Color) -> None:
    plan = Scene(Phase.WATCH, live).asked("rollback")
    writes = {str(write.key): write for write in plan.writes if isinstance(write, Amend)}
    split = writes["TrafficSplit/psa-api-gateway"].spec
    stable, candidate = share_of(split, live), share_of(split, live.other)  # type: ignore[arg-type]
    assert (stable.weight, stable.state) == (100, ServerState.READY)
    assert (candidate.weight, candidate.state) == (0, ServerState.MAINT)
    assert writes[f"Container/{GATEWAY}-{live.value}"].annotations[LIVE] == "true"


@COLORS
def test_a_promotion_drains_stable_and_marks_the_candidate_as_live(live: Color) -> None:
    plan = Scene(Phase.WATCH, live).asked("promote")
    writes = {str(write.key): write for write in plan.writes if isinstance(write, Amend)}
    split = writes["TrafficSplit/psa-api-gateway"].spec
    stable, candidate = share_of(split, live), share_of(split, live.other)  # type: ignore[arg-type]
    assert (candidate.weight, candidate.state) == (100, ServerState.READY)
    assert (stable.weight, stable.state) == (0, ServerState.DRAIN)
    assert writes[f"Container/{GATEWAY}-{live.other.value}"].annotations[LIVE] == "true"


def test_nothing_is_written_again_that_is_as_it_shall_be() -> None:
    marked = {
        Color.BLUE: a_slot(0, Color.BLUE, OLD),
        Color.GREEN: a_slot(0, Color.GREEN, NEW, live=True),
    }
    assert amended(Scene(Phase.SOAK, members={0: {"containers": marked}}).plan()) == []


def an_intent(number: int, run: str) -> Intent:
    return Intent(
        id=number,
        key=Scene().resource().key,
        generation=1,
        action="StartHook",
        target=f"hook {run}",
        summary="run it",
        begun_at=START,
        deadline=timedelta(seconds=10),
        state=OutcomeKind.RUNNING,
    )


@in_phases(Phase.PRE_CHECK, Phase.SMOKE)
def test_a_hook_that_nobody_waits_for_any_more_is_ended(phase: Phase) -> None:
    run = "psa-suite.1.20261124115900.precheck.unit.1"
    plan = Scene(
        phase,
        spec={"checks": ["unit"], "smoke": ["smoke"]},
        seen={
            "hooks": {run: HookResult("unit", HookState.RUNNING, "it runs")},
            "intents": (an_intent(1, run),),
        },
    ).asked("abort")
    assert [step.action for step in plan.steps] == [StopHook(run)]
    assert [write.intent for write in plan.writes if isinstance(write, Close)] == [1]
    assert attempt_of(plan).phase is Phase.FAILED


def test_a_hook_that_takes_longer_than_its_phase_may_does_not_end_it() -> None:
    run = "psa-suite.1.20261124115900.precheck.unit.1"
    late = {"entered_at": START - HOUR}
    running = {run: HookResult("unit", HookState.RUNNING, "it runs", seconds=3500)}
    scene = Scene(Phase.PRE_CHECK, attempt=late, spec={"checks": ["unit"]}, seen={"hooks": running})
    plan = scene.plan()
    assert attempt_of(plan).phase is Phase.PRE_CHECK
    assert memo_of(plan).held_s == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("phase", "ready"), [(Phase.SPLIT, Truth.FALSE), (Phase.WATCH, Truth.FALSE), (Phase.SOAK, Truth.TRUE)]
)
def test_it_is_ready_once_it_is_promoted_and_verified(phase: Phase, ready: Truth) -> None:
    plan = Scene(phase).plan()
    (found,) = (each for each in plan.verdicts if each.type is ConditionType.READY)
    assert found.status is ready
    assert found.message.startswith(f"{NEW}: ")


def test_a_hold_is_degraded_with_its_reason() -> None:
    plan = Scene(Phase.WATCH, attempt={"hold": a_hold("AwaitingPromotion")}).plan()
    (found,) = (each for each in plan.verdicts if each.type is ConditionType.DEGRADED)
    assert (found.status, found.reason) == (Truth.TRUE, "AwaitingPromotion")


@in_phases(Phase.BACKUP, Phase.MIGRATE)
def test_what_this_version_cannot_do_is_passed_through_and_never_called_done(phase: Phase) -> None:
    plan = Scene(phase).plan()
    assert notes(plan)[0] == "Skipped"
    assert attempt_of(plan).checks == ()


def test_in_the_soak_it_looks_each_second_and_after_ten_minutes_each_ten() -> None:
    early = Scene(Phase.SOAK, spec={"soak": "24h"}).plan()
    late = {"promoted_at": START - timedelta(minutes=11)}
    assert early.recheck_after == timedelta(seconds=1)
    assert Scene(Phase.SOAK, spec={"soak": "24h"}, attempt=late).plan().recheck_after == timedelta(seconds=10)


@pytest.mark.parametrize("seen_s", [10.0, 7200.0])
def test_the_soak_ends_by_the_wall_clock_and_by_what_was_seen(seen_s: float) -> None:
    long_ago = {"promoted_at": START - HOUR, "is_closed": True}
    plan = Scene(Phase.SOAK, spec={"soak": "30m"}, attempt=long_ago, memo={"soaked_s": seen_s}).plan()
    assert attempt_of(plan).phase is (Phase.COMPLETED if seen_s > 1800 else Phase.SOAK)
    early = Scene(Phase.SOAK, spec={"soak": "30m"}, memo={"soaked_s": seen_s}).plan()
    assert attempt_of(early).phase is Phase.SOAK


@COLORS
def test_the_memory_of_another_attempt_counts_for_nothing(live: Color) -> None:
    memo = {"attempt": 7, "entries": {GATEWAY: Evidence(watched_s=9999)}, "held_s": -9999.0}
    plan = Scene(Phase.WATCH, live, memo=memo).plan()
    assert attempt_of(plan).phase is Phase.WATCH
    assert memo_of(plan).attempt == 1
    assert memo_of(plan).entries[GATEWAY].watched_s == 0
