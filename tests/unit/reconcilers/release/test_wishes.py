"""What people and alerts ask of a running attempt, in every phase, once and again."""

from datetime import timedelta
from itertools import product

import pytest

from crds.balancer import Override
from crds.evidence import Detector, Evidence, Tally
from crds.freeze import Freeze
from crds.meta import ConditionType, Truth
from crds.release import HoldExit, Phase, Trigger
from crds.service import Color
from reconcilers.contract import Answer, Note, Plan
from reconcilers.release.model import ReleaseAction
from reconcilers.release.phases import ENDED, PROMOTED
from tests.builders import START
from tests.builders_release import (
    GATEWAY,
    ILL,
    NEW,
    OLD,
    WELL,
    Scene,
    a_hold,
    a_request,
    a_split,
    attempt_of,
    notes,
)

RUNNING = tuple(phase for phase in Phase if phase not in ENDED)
VERBS = ("promote", "pause", "resume", "abort", "rollback", "retry")
TRAFFIC = (Phase.SPLIT, Phase.WATCH, Phase.PROMOTE, Phase.VERIFY, Phase.SOAK)
EARLY = tuple(phase for phase in RUNNING if phase not in (*TRAFFIC, Phase.ROLLING_BACK))
COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)


def said(value: object) -> str:
    return str(getattr(value, "name", value))


def answer_of(plan: Plan[ReleaseAction], request: int = 1) -> Answer:
    (found,) = (write for write in plan.writes if isinstance(write, Answer) and write.request == request)
    return found


def in_phases(*phases: Phase) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("phase", phases, ids=said)


@pytest.mark.parametrize(("phase", "verb"), list(product(RUNNING, VERBS)), ids=said)
def test_every_request_is_answered_in_every_phase(phase: Phase, verb: str) -> None:
    answer = answer_of(Scene(phase).asked(verb))
    assert answer.message
    assert "unknown" not in answer.message


@pytest.mark.parametrize(("phase", "verb"), list(product(RUNNING, VERBS)), ids=said)
def test_the_same_twice_is_answered_twice_and_happens_once(phase: Phase, verb: str) -> None:
    once = attempt_of(Scene(phase).asked(verb))
    scene = Scene(phase, release={"requests": (a_request(verb), a_request(verb, number=2))})
    plan = scene.plan()
    twice = attempt_of(plan)
    assert twice.phase is once.phase
    assert (twice.hold and twice.hold.reason) == (once.hold and once.hold.reason)
    answered = {write.request for write in plan.writes if isinstance(write, Answer)}
    if answered == {1, 2} or once.phase in ENDED:
        return
    # What moved the attempt leaves the second one to the next pass, which is in another phase by then.
    again = Scene(once.phase, release={"requests": (a_request(verb, number=2),)}).plan()
    assert answer_of(again, 2).message
    assert attempt_of(again).phase in {once.phase, Phase.ROLLED_BACK, Phase.VERIFY}


@pytest.mark.parametrize("verb", VERBS)
@in_phases(Phase.WATCH, Phase.DEPLOY_CANDIDATE)
def test_what_was_meant_for_another_attempt_changes_nothing(phase: Phase, verb: str) -> None:
    scene = Scene(phase, attempt={"number": 7}, memo={"attempt": 7})
    before = attempt_of(scene.plan())
    scene = Scene(phase, attempt={"number": 7}, memo={"attempt": 7})
    plan = scene.asked(verb, attempt="6")
    assert not answer_of(plan).accepted
    assert "attempt 7 runs by now" in answer_of(plan).message
    assert Note("RequestRefused", answer_of(plan).message, warning=True) in plan.writes
    assert attempt_of(plan) == before


def test_a_request_that_nobody_knows_is_refused_with_what_there_is() -> None:
    answer = answer_of(Scene(Phase.WATCH).asked("explode"))
    assert not answer.accepted
    assert "promote, pause, resume" in answer.message


def test_requests_are_answered_in_their_order_up_to_the_one_that_moves() -> None:
    requests = (a_request("pause"), a_request("rollback", number=2), a_request("resume", number=3))
    plan = Scene(Phase.WATCH, release={"requests": requests}).plan()
    assert [write.request for write in plan.writes if isinstance(write, Answer)] == [1, 2]
    assert attempt_of(plan).phase is Phase.ROLLING_BACK


@COLORS
@in_phases(*TRAFFIC)
def test_a_rollback_goes_back_to_stable_wherever_the_candidate_has_traffic(phase: Phase, live: Color) -> None:
    plan = Scene(phase, live).asked("rollback")
    attempt = attempt_of(plan)
    assert answer_of(plan).accepted
    assert (attempt.phase, attempt.reason) == (Phase.ROLLING_BACK, "RollbackRequested")
    assert attempt.trigger is Trigger.PERSON
    assert "anna: because" in attempt.message


@in_phases(*EARLY)
def test_a_rollback_without_traffic_ends_the_attempt(phase: Phase) -> None:
    attempt = attempt_of(Scene(phase).asked("rollback"))
    assert (attempt.phase, attempt.reason) == (Phase.FAILED, "Aborted")


@in_phases(*EARLY)
def test_an_alert_is_about_traffic_and_ends_no_attempt_that_has_none(phase: Phase) -> None:
    plan = Scene(phase).asked("rollback", only="traffic")
    assert not answer_of(plan).accepted
    assert attempt_of(plan).phase not in {Phase.FAILED, Phase.ROLLING_BACK}


@in_phases(*TRAFFIC)
def test_an_alert_rolls_back_and_is_named_as_what_did_it(phase: Phase) -> None:
    request = a_request("rollback", actor="alertmanager", only="traffic")
    plan = Scene(phase, release={"requests": (request,)}).plan()
    assert attempt_of(plan).trigger is Trigger.ALERT


@in_phases(*TRAFFIC)
@pytest.mark.parametrize("reason", ["CommonCause", "Paused", "AwaitingPromotion"])
def test_no_hold_keeps_a_rollback_back(phase: Phase, reason: str) -> None:
    plan = Scene(phase, attempt={"hold": a_hold(reason)}).asked("rollback")
    assert attempt_of(plan).phase is Phase.ROLLING_BACK


def test_a_freeze_keeps_no_rollback_back() -> None:
    freeze = Freeze(until=START + timedelta(hours=1), reason="week-end", actor="anna")
    plan = Scene(Phase.WATCH, seen={"freeze": freeze}).asked("rollback")
    assert attempt_of(plan).phase is Phase.ROLLING_BACK


@in_phases(*sorted(PROMOTED, key=lambda phase: phase.value))
def test_a_first_release_has_nothing_to_go_back_to(phase: Phase) -> None:
    plan = Scene(phase, live=None).asked("rollback")
    assert not answer_of(plan).accepted
    assert attempt_of(plan).phase is not Phase.ROLLING_BACK


@in_phases(*sorted(PROMOTED, key=lambda phase: phase.value))
def test_what_is_promoted_cannot_be_aborted_and_the_answer_says_what_can_be_done(phase: Phase) -> None:
    answer = answer_of(Scene(phase).asked("abort"))
    assert not answer.accepted
    assert "psactl release rollback psa-suite" in answer.message


@in_phases(Phase.SPLIT, Phase.WATCH)
def test_an_abort_of_a_candidate_with_traffic_is_a_rollback(phase: Phase) -> None:
    assert attempt_of(Scene(phase).asked("abort")).phase is Phase.ROLLING_BACK


@COLORS
def test_a_healthy_candidate_is_promoted_before_its_time_and_it_is_told_by_whom(live: Color) -> None:
    plan = Scene(Phase.WATCH, live).asked("promote")
    assert answer_of(plan).accepted
    assert attempt_of(plan).phase is Phase.PROMOTE
    assert "Promoted" in notes(plan)


@in_phases(*[phase for phase in RUNNING if phase not in PROMOTED | {Phase.WATCH}])
def test_nothing_is_promoted_before_the_watch(phase: Phase) -> None:
    answer = answer_of(Scene(phase).asked("promote"))
    assert not answer.accepted
    assert phase.value in answer.message


ILLNESS = {
    "its health check fails": {"members": {0: {"probes": {Color.GREEN: ILL, Color.BLUE: WELL}}}},
    "the rule holds it": {"attempt": {"hold": a_hold("LimitExceeded")}},
    "it is over the limit": {
        "memo": {"entries": {GATEWAY: Evidence(failing=Detector(total=Tally(requests=2000, errors=60)))}}
    },
}


@pytest.mark.parametrize("illness", list(ILLNESS))
def test_an_unhealthy_candidate_is_promoted_only_by_force(illness: str) -> None:
    scene = Scene(Phase.WATCH, **ILLNESS[illness])  # type: ignore[arg-type]
    plan = scene.asked("promote")
    assert attempt_of(plan).phase is Phase.WATCH
    assert not answer_of(plan).accepted
    assert "--force" in answer_of(plan).message
    forced = scene.asked("promote", force="true")
    assert answer_of(forced).accepted
    assert attempt_of(forced).phase is Phase.PROMOTE


def test_nobody_promotes_while_all_releases_are_frozen_not_even_by_force() -> None:
    freeze = Freeze(until=START + timedelta(hours=1), reason="week-end", actor="anna")
    plan = Scene(Phase.WATCH, seen={"freeze": freeze}).asked("promote", force="true")
    assert "Frozen until" in answer_of(plan).message
    assert attempt_of(plan).phase is Phase.WATCH


def test_nobody_promotes_while_somebody_has_taken_the_traffic_over() -> None:
    until = START + timedelta(minutes=30)
    override = Override(blue=100, green=0, until=until, reason="a look", actor="bert")
    scene = Scene(Phase.WATCH, members={0: {"split": a_split(0, Color.GREEN, 50, override=override)}})
    plan = scene.asked("promote", force="true")
    assert "bert" in answer_of(plan).message
    assert attempt_of(plan).phase is Phase.WATCH


@in_phases(*[phase for phase in RUNNING if phase is not Phase.ROLLING_BACK])
def test_a_pause_holds_until_its_own_end_and_then_goes_on(phase: Phase) -> None:
    until = START + timedelta(hours=2)
    plan = Scene(phase).asked("pause", until=until.isoformat())
    hold = attempt_of(plan).hold
    assert attempt_of(plan).phase is phase
    assert hold is not None
    assert (hold.reason, hold.until, hold.exit, hold.by) == ("Paused", until, HoldExit.RESUME, "anna")
    later = Scene(phase, attempt={"hold": hold.model_copy(update={"until": START})}).plan()
    assert attempt_of(later).hold is None


@pytest.mark.parametrize("until", ["yesterday", "2026-11-24T11:00:00+00:00", "2027-01-01T00:00:00"])
def test_a_pause_ends_at_an_instant_to_come(until: str) -> None:
    plan = Scene(Phase.WATCH).asked("pause", until=until)
    assert not answer_of(plan).accepted
    assert attempt_of(plan).hold is None


def test_a_pause_without_an_end_has_one_all_the_same() -> None:
    hold = attempt_of(Scene(Phase.WATCH).asked("pause")).hold
    assert hold is not None
    assert hold.until == START + timedelta(hours=4)


def test_a_rollback_is_not_paused() -> None:
    assert not answer_of(Scene(Phase.ROLLING_BACK).asked("pause")).accepted


@pytest.mark.parametrize("reason", ["Paused", "NotEnoughTraffic", "HookFailed", "HookLost"])
def test_a_person_ends_a_hold_that_he_may_know_better_about(reason: str) -> None:
    plan = Scene(Phase.WATCH, attempt={"hold": a_hold(reason, by="bert")}).asked("resume")
    assert answer_of(plan).accepted
    assert "HoldEnded" in notes(plan)


@pytest.mark.parametrize("reason", ["AwaitingPromotion", "Hanging"])
def test_other_holds_are_ended_by_a_decision(reason: str) -> None:
    scene = Scene(Phase.WATCH, attempt={"hold": a_hold(reason, by="somebody")})
    answer = answer_of(scene.asked("resume"))
    assert not answer.accepted
    assert "promote it, or roll it back" in answer.message


def test_a_retry_of_what_runs_is_refused() -> None:
    assert "abort it first" in answer_of(Scene(Phase.WATCH).asked("retry")).message


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("reason", ["ObserveMode", "Suspended"])
def test_while_nothing_may_be_changed_every_request_is_refused_and_told_why(reason: str, verb: str) -> None:
    plan = Scene(Phase.WATCH, release={"held": (reason, "nothing is changed")}).asked(verb)
    assert not answer_of(plan).accepted
    assert "nothing is changed" in answer_of(plan).message
    assert plan.status is None
    assert plan.writes == (answer_of(plan), Note("RequestRefused", answer_of(plan).message, warning=True))


@in_phases(*[phase for phase in RUNNING if phase not in PROMOTED | {Phase.ROLLING_BACK}])
def test_another_version_in_the_file_ends_what_is_not_promoted(phase: Phase) -> None:
    attempt = attempt_of(Scene(phase, version="1.2.0").plan())
    ends = Phase.ROLLING_BACK if phase in TRAFFIC else Phase.FAILED
    assert (attempt.phase, attempt.reason, attempt.trigger) == (ends, "Superseded", Trigger.SPEC)


@in_phases(Phase.PROMOTE, Phase.VERIFY)
def test_another_version_waits_for_a_promotion_to_be_whole(phase: Phase) -> None:
    attempt = attempt_of(Scene(phase, version="1.2.0").plan())
    assert attempt.phase not in {Phase.ROLLING_BACK, Phase.COMPLETED}


def test_another_version_waits_for_the_soak_and_is_told_until_when() -> None:
    plan = Scene(Phase.SOAK, version="1.2.0").plan()
    assert attempt_of(plan).phase is Phase.SOAK
    assert plan.waiting is not None
    assert "SoakRunning: the file asks for 1.2.0" in plan.waiting
    assert f"{NEW} soaks until" in plan.waiting


@pytest.mark.parametrize(("version", "truth"), [(NEW, Truth.TRUE), ("1.2.0", Truth.FALSE)])
def test_a_soak_is_ready_only_for_the_version_that_the_file_asks_for(version: str, truth: Truth) -> None:
    plan = Scene(Phase.SOAK, version=version).plan()
    (ready,) = (each for each in plan.verdicts if each.type is ConditionType.READY)
    assert ready.status is truth


def test_another_version_ends_a_soak_that_may_be_ended() -> None:
    plan = Scene(Phase.SOAK, version="1.2.0", spec={"supersedeSoak": True}).plan()
    assert (attempt_of(plan).phase, attempt_of(plan).reason) == (Phase.COMPLETED, None)


@in_phases(*sorted(PROMOTED, key=lambda phase: phase.value))
def test_the_old_version_in_the_file_goes_back_to_it_while_it_is_warm(phase: Phase) -> None:
    attempt = attempt_of(Scene(phase, version=OLD).plan())
    assert (attempt.phase, attempt.reason) == (Phase.ROLLING_BACK, "Superseded")


def test_another_version_follows_a_first_release_at_once_since_no_old_one_is_kept() -> None:
    assert attempt_of(Scene(Phase.SOAK, live=None, version="1.2.0").plan()).phase is Phase.COMPLETED


@in_phases(*sorted(PROMOTED, key=lambda phase: phase.value))
def test_the_fix_of_a_broken_first_release_is_not_kept_waiting(phase: Phase) -> None:
    scene = Scene(phase, live=None, version="1.2.0", attempt={"hold": a_hold("HookFailed", by="the check")})
    attempt = attempt_of(scene.plan())
    assert (attempt.phase, attempt.reason) == (Phase.COMPLETED, "Superseded")
    assert "HookFailed it is" in attempt.message
