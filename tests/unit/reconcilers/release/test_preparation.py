"""From the checks to the smoke tests: hooks in every outcome, candidates in the place of what was there."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crds.container import ContainerSpec, ContainerStatus
from crds.release import Check, HoldExit, Phase, ReleaseMemo, Trigger
from crds.service import LIVE, VERSION, Color, container_key
from reconcilers.contract import Amend, Close, Intent, OutcomeKind, Plan, StepClass
from reconcilers.hook_runs import HookResult, HookRun, HookState
from reconcilers.release.model import ReleaseAction, StartHook
from reconcilers.release.preparation import run_id
from reconcilers.transports.hook_command import is_run_id
from tests.builders import START
from tests.builders_release import (
    CRM,
    GATEWAY,
    ILL,
    MARK,
    NEW,
    OLD,
    PROCESS,
    SILENT,
    WELL,
    Scene,
    a_slot,
    a_split,
    attempt_of,
    counted,
    memo_of,
    notes,
)

COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)
UNIT = "psa-suite.1.20261124115900.precheck.unit.1"
SMOKE = f"psa-suite.1.20261124115900.smoke.smoke.{GATEWAY}.1"
VERIFY = f"psa-suite.1.20261124115900.verify.functional.{GATEWAY}.1"
HOOKS: Mapping[str, object] = {"checks": ["unit"], "smoke": ["smoke"], "verify": ["functional"]}
MEASURED = {"rates": {GATEWAY: 20.0}}
RUN_OF = {Phase.PRE_CHECK: UNIT, Phase.SMOKE: SMOKE, Phase.VERIFY: VERIFY}
HOOKED = pytest.mark.parametrize("phase", list(RUN_OF), ids=lambda phase: phase.value)
BAD = pytest.mark.parametrize("state", [HookState.FAILED, HookState.TIMED_OUT, HookState.STOPPED])


def a_run(state: HookState, hook: str = "unit", says: str = "exit status 1", **fields: Any) -> HookResult:
    return HookResult(hook, state, says, seconds=2.0, **fields)


def an_intent(run: str, state: OutcomeKind = OutcomeKind.RUNNING) -> Intent:
    key = Scene().resource().key
    deadline = timedelta(seconds=10)
    return Intent(5, key, 1, "StartHook", f"hook {run}", "run it", START, deadline, state)


def hooked(phase: Phase, live: Color | None = Color.BLUE, **fields: Any) -> Scene:
    return Scene(phase, live, **{"spec": HOOKS, "memo": MEASURED, **fields})


def seen(run: str, result: HookResult | None, *, intent: bool = True, **others: Any) -> dict[str, Any]:
    return {
        "hooks": {} if result is None else {run: result},
        "intents": (an_intent(run),) if intent else (),
        **others,
    }


def started(plan: Plan[ReleaseAction]) -> list[HookRun]:
    return [step.action.run for step in plan.steps if isinstance(step.action, StartHook)]


def closed(plan: Plan[ReleaseAction]) -> list[OutcomeKind]:
    return [write.outcome.kind for write in plan.writes if isinstance(write, Close)]


def amended(plan: Plan[ReleaseAction]) -> dict[str, Amend]:
    return {str(write.key): write for write in plan.writes if isinstance(write, Amend)}


@HOOKED
def test_a_hook_that_was_never_begun_is_begun_once_and_guarded_as_such(phase: Phase) -> None:
    plan = hooked(phase).plan()
    (step,) = plan.steps
    assert [run.run_id for run in started(plan)] == [RUN_OF[phase]]
    assert step.step_class is StepClass.ONCE
    assert attempt_of(plan).phase is phase
    assert all(step.errand for step in plan.steps)


@COLORS
def test_a_hook_is_told_which_candidate_it_is_about(live: Color) -> None:
    (run,) = started(hooked(Phase.SMOKE, live).plan())
    address = "10.0.20.110" if live is Color.BLUE else "10.0.20.10"
    assert (run.version, run.service, run.color, run.address) == (NEW, GATEWAY, live.other.value, address)


def test_smoke_tests_run_against_each_candidate_one_after_the_other() -> None:
    first = Check(name=f"Smoke: smoke {GATEWAY}", passed=True, message="passed")
    (run,) = started(hooked(Phase.SMOKE, services=2, attempt={"checks": (first,)}).plan())
    assert run.service == CRM


@HOOKED
@pytest.mark.parametrize("state", [OutcomeKind.UNKNOWN, OutcomeKind.RUNNING])
def test_a_hook_that_was_intended_and_never_begun_is_begun(phase: Phase, state: OutcomeKind) -> None:
    run = RUN_OF[phase]
    plan = hooked(phase, seen={"intents": (an_intent(run, state),)}).plan()
    assert [each.run_id for each in started(plan)] == [run]
    assert closed(plan) == [OutcomeKind.FAILED]


@HOOKED
def test_while_a_hook_runs_nothing_else_happens(phase: Phase) -> None:
    plan = hooked(phase, seen=seen(RUN_OF[phase], a_run(HookState.RUNNING))).plan()
    assert (plan.steps, closed(plan)) == ((), [])
    assert attempt_of(plan).phase is phase
    assert plan.waiting is not None
    assert "runs for 2 s" in plan.waiting


@HOOKED
def test_a_hook_that_passed_is_evidence_and_the_release_goes_on(phase: Phase) -> None:
    plan = hooked(phase, seen=seen(RUN_OF[phase], a_run(HookState.PASSED, says="exit status 0"))).plan()
    assert closed(plan) == [OutcomeKind.DONE]
    check = attempt_of(plan).checks[-1]
    assert (check.passed, check.message, check.seconds) == (True, "exit status 0", 2.0)
    again = hooked(phase, attempt={"checks": attempt_of(plan).checks}).plan()
    assert attempt_of(again).phase is not phase
    assert started(again) == []


@BAD
@pytest.mark.parametrize("phase", [Phase.PRE_CHECK, Phase.SMOKE], ids=lambda phase: phase.value)
def test_a_hook_that_fails_ends_the_attempt_with_its_last_words(phase: Phase, state: HookState) -> None:
    result = a_run(state, tail="AssertionError: 3 != 4")
    plan = hooked(phase, seen=seen(RUN_OF[phase], result)).plan()
    attempt = attempt_of(plan)
    assert (attempt.phase, attempt.reason, attempt.trigger) == (Phase.FAILED, "HookFailed", Trigger.CHECK)
    assert "AssertionError: 3 != 4" in attempt.checks[-1].message
    assert closed(plan) == [OutcomeKind.FAILED]


@BAD
@COLORS
def test_a_hook_that_fails_after_the_promotion_rolls_back(live: Color, state: HookState) -> None:
    attempt = attempt_of(hooked(Phase.VERIFY, live, seen=seen(VERIFY, a_run(state))).plan())
    assert (attempt.phase, attempt.reason) == (Phase.ROLLING_BACK, "HookFailed")


@BAD
def test_a_hook_that_fails_at_a_first_release_calls_somebody_and_can_be_run_again(state: HookState) -> None:
    plan = hooked(Phase.VERIFY, None, seen=seen(VERIFY, a_run(state))).plan()
    attempt = attempt_of(plan)
    assert attempt.phase is Phase.VERIFY
    assert attempt.hold is not None
    assert (attempt.hold.reason, attempt.hold.exit) == ("HookFailed", HoldExit.STAY)
    scene = hooked(
        Phase.VERIFY, None, attempt={"hold": attempt.hold}, memo=MEASURED | {"tries": memo_of(plan).tries}
    )
    assert started(scene.plan()) == []
    assert [run.run_id for run in started(scene.asked("resume"))] == [VERIFY[:-1] + "2"]


@HOOKED
def test_a_lost_hook_is_run_again_if_that_is_harmless(phase: Phase) -> None:
    run = RUN_OF[phase]
    hook = run.split(".")[3]
    plan = hooked(phase, seen=seen(run, a_run(HookState.LOST, hook))).plan()
    assert attempt_of(plan).phase is phase
    assert "HookRepeated" in notes(plan)
    again = hooked(phase, memo=MEASURED | {"tries": memo_of(plan).tries}).plan()
    assert [each.run_id for each in started(again)] == [run[:-1] + "2"]


@HOOKED
@COLORS
def test_a_lost_hook_that_may_not_be_repeated_counts_as_failed(phase: Phase, live: Color) -> None:
    run = RUN_OF[phase]
    known = {"unit": False, "smoke": False, "functional": False}
    attempt = attempt_of(hooked(phase, live, seen=seen(run, a_run(HookState.LOST), known_hooks=known)).plan())
    ends = Phase.ROLLING_BACK if phase is Phase.VERIFY else Phase.FAILED
    assert (attempt.phase, attempt.reason) == (ends, "HookLost")


@HOOKED
def test_while_it_is_not_known_whether_a_hook_was_begun_none_is(phase: Phase) -> None:
    plan = hooked(phase, seen={"unseen_hooks": "the records cannot be read: I/O error"}).plan()
    assert started(plan) == []
    assert attempt_of(plan).phase is phase
    assert plan.waiting is not None
    assert "the records cannot be read" in plan.waiting


def deployed(live: Color | None = Color.BLUE, services: int = 1, **fields: Any) -> Scene:
    return Scene(Phase.DEPLOY_CANDIDATE, live, services, **fields)


@COLORS
def test_the_candidates_containers_are_asked_for_in_one_step(live: Color) -> None:
    plan = deployed(live, 2).plan()
    writes = amended(plan)
    assert set(writes) == {f"Container/{name}-{live.other.value}" for name in (GATEWAY, CRM)}
    for write in writes.values():
        assert isinstance(write.spec, ContainerSpec)
        assert write.spec.incarnation == MARK
        assert f"_{NEW}_" in write.spec.template
        assert write.annotations[VERSION] == NEW
        assert LIVE not in write.annotations
    assert attempt_of(plan).phase is Phase.DEPLOY_CANDIDATE


def with_slot(live: Color, slot: Any, **fields: Any) -> Mapping[int, Mapping[str, Any]]:
    return {0: {"containers": {live: a_slot(0, live), live.other: slot}, **fields}}


@COLORS
def test_only_what_was_seen_in_the_idle_slot_is_replaced(live: Color) -> None:
    old = a_slot(0, live.other, "0.9.0", mark="psa-suite.0000.9", live=False)
    (write,) = amended(deployed(live, members=with_slot(live, old)).plan()).values()
    assert isinstance(write.spec, ContainerSpec)
    assert write.spec.replace == "psa-r-0123456789ab"
    assert write.annotations[LIVE] == "false"


@COLORS
@pytest.mark.parametrize("allowed", [False, True])
def test_what_was_adopted_in_the_slot_goes_only_where_the_file_says_so(live: Color, *, allowed: bool) -> None:
    stalled = a_slot(0, live.other, NEW, mark=MARK, ready=False, stalled="NotAllowed", message="recreate")
    status = ContainerStatus(state="running", recipe="psa-r-adopted", adopted=True)
    members = with_slot(live, replace(stalled, status=status))
    plan = deployed(live, members=members, spec={"replaceAdopted": allowed}).plan()
    if allowed:
        (write,) = amended(plan).values()
        assert isinstance(write.spec, ContainerSpec)
        assert write.spec.replace == "psa-r-adopted"
        assert attempt_of(plan).phase is Phase.DEPLOY_CANDIDATE
    else:
        assert attempt_of(plan).phase is Phase.FAILED


@COLORS
def test_what_was_asked_for_is_not_asked_for_again(live: Color) -> None:
    ours = a_slot(0, live.other, NEW, mark=MARK, ready=False, message="create CT 1100")
    plan = deployed(live, members=with_slot(live, ours)).plan()
    assert amended(plan) == {}
    assert plan.waiting is not None
    assert "create CT 1100" in plan.waiting


@COLORS
def test_a_slot_with_requests_is_left_alone_until_they_have_ended(live: Color) -> None:
    busy = with_slot(live, a_slot(0, live.other, "0.9.0"), counted=counted(sessions={live.other: 3}))
    plan = deployed(live, members=busy).plan()
    assert amended(plan) == {}
    assert plan.waiting is not None
    assert "still has 3 requests" in plan.waiting


@COLORS
@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"counted": None}, "it is not known whether"),
        ({"split": "fifty"}, "slot has traffic"),
    ],
)
def test_a_slot_that_may_have_traffic_is_left_alone(live: Color, fields: dict[str, Any], why: str) -> None:
    if "split" in fields:
        fields = {"split": a_split(0, live.other, 50)}
    plan = deployed(live, members=with_slot(live, a_slot(0, live.other, "0.9.0"), **fields)).plan()
    assert amended(plan) == {}
    assert plan.waiting is not None
    assert why in plan.waiting


@COLORS
def test_a_candidate_that_will_never_be_there_fails_the_attempt_at_once(live: Color) -> None:
    stuck = a_slot(0, live.other, NEW, mark=MARK, ready=False, stalled="IdTaken", message="CT 1100 is a VM")
    attempt = attempt_of(deployed(live, members=with_slot(live, stuck)).plan())
    assert (attempt.phase, attempt.reason) == (Phase.FAILED, "DeployFailed")
    assert "CT 1100 is a VM" in attempt.message


@COLORS
def test_a_ready_container_of_another_version_or_attempt_does_not_count(live: Color) -> None:
    other = a_slot(0, live.other, NEW, mark="psa-suite.0123.0")
    assert attempt_of(deployed(live, members=with_slot(live, other)).plan()).phase is Phase.DEPLOY_CANDIDATE
    older = a_slot(0, live.other, OLD, mark=MARK)
    assert attempt_of(deployed(live, members=with_slot(live, older)).plan()).phase is Phase.DEPLOY_CANDIDATE


@COLORS
def test_the_release_goes_on_once_all_candidates_are_there(live: Color) -> None:
    there = {
        number: {
            "containers": {
                live: a_slot(number, live),
                live.other: a_slot(number, live.other, NEW, mark=MARK, ready=number == 0),
            }
        }
        for number in range(2)
    }
    assert attempt_of(deployed(live, 2, members=there).plan()).phase is Phase.DEPLOY_CANDIDATE
    both = {
        number: {"containers": {live.other: a_slot(number, live.other, NEW, mark=MARK)}} for number in (0, 1)
    }
    ready = deployed(live, 2, members=both)
    changed = [write for write in ready.plan().writes if isinstance(write, Amend)]
    assert [write.key for write in changed] in ([], [container_key(GATEWAY, live.other)])


def healthy(live: Color = Color.BLUE, **fields: Any) -> Scene:
    return Scene(Phase.HEALTH_CHECK, live, **{"spec": {"minHealthy": "10s"}, **fields})


@COLORS
def test_health_must_last_before_it_counts(live: Color) -> None:
    plan = healthy(live).plan()
    assert memo_of(plan).healthy_since == START
    almost = {"healthy_since": START - timedelta(seconds=9)}
    assert attempt_of(healthy(live, memo=almost).plan()).phase is Phase.HEALTH_CHECK
    long_enough = {"healthy_since": START - timedelta(seconds=10)}
    assert attempt_of(healthy(live, memo=long_enough).plan()).phase is Phase.SMOKE


@COLORS
@pytest.mark.parametrize("probe", [ILL, SILENT])
def test_one_bad_answer_begins_the_time_anew(live: Color, probe: Any) -> None:
    members = {0: {"probes": {live.other: probe}}}
    plan = healthy(live, memo={"healthy_since": START - timedelta(seconds=9)}, members=members).plan()
    assert memo_of(plan).healthy_since is None
    assert plan.waiting is not None
    assert probe.says in plan.waiting


@COLORS
def test_one_candidate_that_is_ill_holds_all_of_them(live: Color) -> None:
    members = {1: {"probes": {live.other: ILL}}}
    plan = healthy(
        live, services=2, memo={"healthy_since": START - timedelta(hours=1)}, members=members
    ).plan()
    assert attempt_of(plan).phase is Phase.HEALTH_CHECK
    assert plan.waiting is not None
    assert CRM in plan.waiting


def test_what_was_not_asked_is_not_well() -> None:
    assert memo_of(healthy(members={0: {"probes": {}}}).plan()).healthy_since is None


def test_a_time_that_nobody_watched_is_no_time_of_health() -> None:
    away = {"healthy_since": START - timedelta(hours=1), "process": "another run"}
    assert attempt_of(healthy(memo=away).plan()).phase is Phase.HEALTH_CHECK


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1)], ids=["forward", "back"])
def test_a_clock_that_jumps_makes_nobody_healthy(jump: timedelta) -> None:
    since = START - timedelta(seconds=9) - jump
    memo = {"healthy_since": since, "ticked_at": START - timedelta(seconds=1) - jump, "process": PROCESS}
    plan = healthy(memo=memo, attempt={"entered_at": START - timedelta(seconds=9) - jump}).plan()
    assert attempt_of(plan).phase is Phase.HEALTH_CHECK
    assert memo_of(plan).healthy_since == START - timedelta(seconds=9)


def test_a_first_release_goes_from_the_smoke_tests_to_the_promotion() -> None:
    assert attempt_of(Scene(Phase.SMOKE, live=None).plan()).phase is Phase.PROMOTE
    assert attempt_of(Scene(Phase.SMOKE).plan()).phase is Phase.SPLIT


def test_the_promoted_version_is_looked_at_before_it_is_tested() -> None:
    ill = hooked(Phase.VERIFY, members={0: {"probes": {Color.GREEN: ILL}}}).plan()
    assert started(ill) == []
    well = hooked(Phase.VERIFY, members={0: {"probes": {Color.GREEN: WELL}}}).plan()
    assert len(started(well)) == 1


def test_a_state_that_was_put_back_takes_no_earlier_attempts_hook_for_its_own() -> None:
    attempt = attempt_of(hooked(Phase.SMOKE).plan())
    memo, later = ReleaseMemo(attempt=1), attempt.model_copy(update={"began_at": START + timedelta(days=3)})
    names = {run_id("psa-suite", each, memo, "smoke", GATEWAY) for each in (attempt, later)}
    assert names == {SMOKE, SMOKE.replace("20261124115900", "20261127120000")}


def test_the_longest_name_of_a_run_is_one() -> None:
    attempt = attempt_of(hooked(Phase.PRE_CHECK).plan()).model_copy(update={"number": 9999})
    name = run_id("r" * 63, attempt, ReleaseMemo(attempt=9999), "h" * 32, "s" * 63)
    assert is_run_id(name)
