"""Whatever is seen of a release, and whatever is asked: one legal move a pass, and never nobody to serve."""

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crds.balancer import Override, TrafficSplitSpec
from crds.evidence import Alarm, Cause, Detector, Evidence, Tally
from crds.freeze import Freeze
from crds.release import HoldExit, Phase, ReleaseStatus
from crds.service import Color, share_of
from reconcilers.contract import Amend, Answer, Intent, Note, OutcomeKind, StepClass
from reconcilers.hook_runs import HookResult, HookState
from reconcilers.release.phases import ENDED, MOVES, PROMOTED
from tests.builders import START
from tests.builders_release import (
    GATEWAY,
    ILL,
    MARK,
    NEW,
    OLD,
    SILENT,
    WELL,
    Scene,
    a_hold,
    a_request,
    a_slot,
    a_split,
    attempt_of,
    counted,
)

RUNNING = [phase for phase in Phase if phase not in ENDED]
VERBS = ["promote", "pause", "resume", "abort", "rollback", "retry", "explode"]
HOLDS = [
    "Paused",
    "CommonCause",
    "NotEnoughTraffic",
    "AwaitingPromotion",
    "RollbackStuck",
    "HookFailed",
    "Overdue",
]
HOOKS = {"checks": ["unit"], "smoke": ["smoke"], "verify": ["functional"]}
RUNS = [
    "psa-suite.1.20261124115900.precheck.unit.1",
    f"psa-suite.1.20261124115900.smoke.smoke.{GATEWAY}.1",
    f"psa-suite.1.20261124115900.verify.functional.{GATEWAY}.1",
]
PROBES = st.sampled_from([WELL, ILL, SILENT])
SECONDS = st.sampled_from([0, 1, 5, 100, 4000, 100_000])


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    """Return what some ticks may have left behind."""
    cause = draw(st.sampled_from([None, *Cause]))
    alarm = None if cause is None else Alarm(since=START, onset_at=START, cause=cause, undecided_s=20.0)
    errors = draw(st.sampled_from([0, 1, 50]))
    total = Tally(requests=1000, errors=errors, stable_requests=1000, stable_errors=errors)
    return Evidence(
        began_at=START - timedelta(seconds=60),
        ticked_at=START - timedelta(seconds=1),
        is_read_back=True,
        watched_s=float(draw(SECONDS)),
        failing=Detector(total=total, recent=total, alarm=alarm, bad_ticks=9, onset_at=START),
        hang_s=draw(st.sampled_from([0.0, 5.0])),
        down_s=draw(st.sampled_from([0.0, 5.0])),
        stable_up=draw(st.sampled_from([None, True, False])),
        stable_probe=draw(st.sampled_from([None, True, False])),
    )


@st.composite
def members(draw: st.DrawFn, live: Color | None) -> dict[str, Any]:
    """Return one service in any state."""
    candidate = live.other if live is not None else Color.BLUE
    given: dict[str, Any] = {}
    if draw(st.booleans()):
        percent = draw(st.sampled_from([0, 50, 100]))
        until = START + timedelta(minutes=draw(st.sampled_from([-5, 5])))
        override = Override(blue=50, green=50, until=until, reason="a look", actor="bert")
        ready, held = draw(st.booleans()), draw(st.booleans())
        given["split"] = a_split(0, candidate, percent, ready=ready, override=override if held else None)
    if draw(st.booleans()):
        given["split"] = None
    if draw(st.booleans()):
        given["counted"] = draw(st.sampled_from([None, counted(), counted(sessions={candidate.other: 4})]))
    if draw(st.booleans()):
        given["probes"] = {color: draw(PROBES) for color in draw(st.sets(st.sampled_from(list(Color))))}
    if draw(st.booleans()):
        mark = draw(st.sampled_from([None, MARK]))
        made = a_slot(0, candidate, NEW, mark=mark, ready=draw(st.booleans()), state="stopped")
        given["containers"] = {candidate: made, candidate.other: a_slot(0, candidate.other, OLD)}
    return given


@st.composite
def releases(draw: st.DrawFn) -> dict[str, Any]:
    """Return what was asked of the release, and what holds or has lost it."""
    verbs = draw(st.lists(st.sampled_from(VERBS), max_size=3))
    asked = tuple(a_request(verb, number=number) for number, verb in enumerate(verbs, start=1))
    holds = st.sampled_from([None, ("Suspended", "left alone"), ("DependencyNotReady", "waits")])
    gone = st.sampled_from([None, START])
    return {"requests": asked, "held": draw(holds), "orphaned_since": draw(gone)}


@st.composite
def looks(draw: st.DrawFn) -> dict[str, Any]:
    """Return what is seen beside the services."""
    states = draw(st.lists(st.sampled_from([None, *HookState]), min_size=3, max_size=3))
    runs = [(run, state) for run, state in zip(RUNS, states, strict=True) if state is not None]
    freeze = Freeze(until=START + timedelta(hours=1), reason="week-end", actor="anna")
    seen: dict[str, Any] = {
        "hooks": {run: HookResult("unit", state, state.value) for run, state in runs},
        "unseen_hooks": draw(st.sampled_from([None, "the records cannot be read"])),
        "intents": tuple(_intent(number, run) for number, run in enumerate(RUNS) if draw(st.booleans())),
        "freeze": draw(st.sampled_from([None, freeze])),
        "process": draw(st.sampled_from(["this run", "another run"])),
    }
    return seen | ({"preflight": None} if draw(st.booleans()) else {})


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    live = draw(st.sampled_from([Color.BLUE, Color.GREEN, None]))
    hold = None
    if draw(st.booleans()):
        after = timedelta(minutes=draw(st.sampled_from([-1, 5])))
        hold = a_hold(draw(st.sampled_from(HOLDS)), then=draw(st.sampled_from(list(HoldExit))), for_=after)
    known = {"entries": {GATEWAY: draw(evidences())}, "rates": {GATEWAY: 20.0}}
    return Scene(
        draw(st.sampled_from(RUNNING)),
        live,
        spec=HOOKS if draw(st.booleans()) else {},
        attempt={"hold": hold, "entered_at": START - timedelta(seconds=draw(SECONDS))},
        memo=known if draw(st.booleans()) else {},
        release=draw(releases()) if draw(st.booleans()) else {},
        members={0: draw(members(live))},
        seen=draw(looks()) if draw(st.booleans()) else {},
        version=draw(st.sampled_from([NEW, OLD, "1.2.0"])),
    )


def _intent(number: int, run: str) -> Intent:
    key, deadline = Scene().resource().key, timedelta(seconds=10)
    return Intent(number, key, 1, "StartHook", f"hook {run}", "run it", START, deadline, OutcomeKind.RUNNING)


@settings(max_examples=400)
@given(scene=scenes())
def test_one_legal_move_a_pass_and_always_somebody_to_serve(scene: Scene) -> None:
    plan = scene.plan()
    before = scene.resource().status
    assert isinstance(before, ReleaseStatus)
    assert before.attempt is not None
    assert plan == scene.plan(), "the same look gives the same plan"
    if plan.status is None:
        assert plan.steps == ()
        assert all(isinstance(write, Answer | Note) for write in plan.writes)
        return
    attempt = attempt_of(plan)
    assert attempt.phase is before.attempt.phase or attempt.phase in MOVES[before.attempt.phase].values()
    assert attempt.members == before.attempt.members, "roles are fixed"
    for write in plan.writes:
        if isinstance(write, Amend) and isinstance(write.spec, TrafficSplitSpec):
            assert sum(share_of(write.spec, color).part for color in Color) > 0
    assert all(step.step_class is not StepClass.EXCLUSIVE for step in plan.steps)
    assert (plan.recheck_after is not None) or attempt.phase in ENDED
    assert attempt.phase in ENDED or plan.waiting
    answered = [write.request for write in plan.writes if isinstance(write, Answer)]
    assert answered == sorted(set(answered))


@settings(max_examples=200)
@given(scene=scenes())
def test_without_a_way_back_nothing_is_rolled_back_after_the_promotion(scene: Scene) -> None:
    if scene.live is not None or scene.phase not in PROMOTED:
        return
    plan = scene.plan()
    assert plan.status is None or attempt_of(plan).phase is not Phase.ROLLING_BACK
