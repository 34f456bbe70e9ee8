"""What is left to do when an attempt has ended: the report, whose fault it was, and silence."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crds.container import ContainerSpec
from crds.evidence import Evidence
from crds.release import Phase, ReleaseStatus
from crds.service import Color
from reconcilers.contract import Amend, Plan
from reconcilers.release.model import ReleaseAction, WriteReport
from tests.builders import START
from tests.builders_release import (
    GATEWAY,
    ILL,
    NEW,
    WELL,
    Scene,
    attempt_of,
    counted,
    memo_of,
    notes,
)

COLORS = pytest.mark.parametrize("live", list(Color), ids=lambda color: color.value)
LONG_AGO = timedelta(hours=1)


def ended(
    phase: Phase = Phase.ROLLED_BACK,
    live: Color = Color.BLUE,
    ago: timedelta = LONG_AGO,
    **fields: Any,
) -> Scene:
    attempt = {
        "ended_at": START - ago,
        "decided_at": START - ago - timedelta(seconds=0.4),
        "step_at": START - ago - timedelta(seconds=30),
        "reason": "ErrorRate",
        "message": "5 % of 200 requests failed",
        **fields.pop("attempt", {}),
    }
    return Scene(phase, live, attempt=attempt, **fields)


def reports(plan: Plan[ReleaseAction]) -> list[WriteReport]:
    return [step.action for step in plan.steps if isinstance(step.action, WriteReport)]


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.FAILED])
@COLORS
def test_what_broke_is_reported_once(live: Color, phase: Phase) -> None:
    (written,) = reports(ended(phase, live, seen={"has_report": False}).plan())
    assert written.name == "psa-suite-1.md"
    assert f"attempt 1, {NEW}: {phase.value}" in written.text
    assert "ErrorRate: 5 % of 200 requests failed" in written.text
    assert reports(ended(phase, live).plan()) == []


def test_a_report_is_written_although_the_file_is_gone() -> None:
    plan = ended(seen={"has_report": False}, release={"orphaned_since": START}).plan()
    assert len(reports(plan)) == 1
    assert plan.outlives_file
    assert all(step.errand for step in plan.steps)


def test_a_report_says_when_users_were_back_on_stable() -> None:
    (written,) = reports(ended(seen={"has_report": False}).plan())
    assert "all are back on stable, 0.4 s after the decision" in written.text
    (unseen,) = reports(ended(Phase.FAILED, seen={"has_report": False}, attempt={"step_at": None}).plan())
    assert "the candidate never had traffic" in unseen.text


def test_a_report_says_what_comes_next() -> None:
    (broken,) = reports(ended(seen={"has_report": False}).plan())
    assert "`psactl release retry psa-suite`" in broken.text
    replaced = ended(
        seen={"has_report": False}, attempt={"reason": "Superseded", "trigger": "spec"}, version="1.0.0"
    )
    (other,) = reports(replaced.plan())
    assert "what the file asks for by now" in other.text


def test_what_came_to_its_end_has_no_report() -> None:
    assert reports(ended(Phase.COMPLETED, seen={"has_report": False}, version="1.0.0").plan()) == []


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.FAILED, Phase.COMPLETED])
@COLORS
def test_afterwards_nothing_is_written_any_more(live: Color, phase: Phase) -> None:
    scene = ended(phase, live, version="1.0.0" if phase is Phase.COMPLETED else NEW)
    plan = scene.plan()
    assert (plan.steps, plan.writes, plan.memo) == ((), (), None)
    assert plan.status == scene.resource().status


class Watching:
    """Stable after a rollback, one look a second; so many of its requests fail in each."""

    def __init__(self, live: Color, failing: int, *, last_s: int = 999) -> None:
        self.live = live
        self.failing = failing
        self.last_s = last_s
        self.memo: dict[str, Any] = {}
        self.status: ReleaseStatus | None = None
        self.events: list[str] = []

    def run(self, seconds: int) -> None:
        for second in range(seconds):
            plan = self._scene(second).plan()
            self.memo = memo_of(plan).model_dump() if plan.memo is not None else self.memo
            self.events += notes(plan)
            assert isinstance(plan.status, ReleaseStatus)
            self.status = plan.status

    def _scene(self, second: int) -> Scene:
        bad = min(second, self.last_s) * self.failing
        (node,) = counted({self.live: 20 * second}, errors={self.live: bad})
        fields: dict[str, Any] = {"attempt": {"ended_at": START, "entered_at": START}}
        if self.status is not None and self.status.attempt is not None:
            fields = {"attempt": self.status.attempt.model_dump()}
        scene = ended(
            live=self.live,
            ago=timedelta(0),
            memo=self.memo,
            members={0: {"counted": (node,)}},
            seen={"monotonic": 100.0 + second},
            **fields,
        )
        return replace(scene, now=START + timedelta(seconds=second))


@COLORS
def test_errors_that_go_on_at_stable_were_not_the_candidates(live: Color) -> None:
    watching = Watching(live, failing=4)
    watching.run(80)
    assert watching.status is not None
    assert watching.status.attempt is not None
    assert watching.status.attempt.reason == "CommonCauseSuspected"
    assert "stable fails as well since the rollback" in watching.status.attempt.message
    assert watching.events.count("CommonCauseSuspected") == 1


@COLORS
def test_a_stable_that_is_well_again_leaves_the_blame_where_it_is(live: Color) -> None:
    watching = Watching(live, failing=0)
    watching.run(100)
    assert watching.status is not None
    assert watching.status.attempt is not None
    assert watching.status.attempt.reason == "ErrorRate"
    assert watching.events == []


@COLORS
def test_what_fails_in_the_first_seconds_is_still_the_candidates(live: Color) -> None:
    watching = Watching(live, failing=4, last_s=12)
    watching.run(100)
    assert watching.events == []


def test_the_quarantine_is_taken_back_with_the_blame() -> None:
    watching = Watching(Color.BLUE, failing=4)
    watching.run(2)
    assert watching.status is not None
    entry = {"fingerprint": "f", "version": NEW, "attempt": 1, "reason": "5 %", "at": START}
    watching.status = ReleaseStatus.model_validate({**watching.status.model_dump(), "quarantine": [entry]})
    watching.run(80)
    assert watching.status.quarantine == ()


def restarts(plan: Plan[ReleaseAction]) -> dict[str, str | None]:
    return {
        write.key.name: write.spec.restart
        for write in plan.writes
        if isinstance(write, Amend) and isinstance(write.spec, ContainerSpec)
    }


@COLORS
@pytest.mark.parametrize(
    ("asked", "probe", "is_restarted"),
    [
        ("ifUnhealthy", WELL, False),
        ("ifUnhealthy", ILL, True),
        ("always", WELL, True),
        ("always", ILL, True),
        ("never", ILL, False),
    ],
)
def test_stable_is_restarted_as_the_file_asks(
    live: Color, asked: str, probe: Any, *, is_restarted: bool
) -> None:
    scene = ended(
        live=live,
        ago=timedelta(seconds=10),
        spec={"restartStable": asked},
        members={0: {"probes": {live: probe}}},
        memo={"stable_ill_s": {GATEWAY: 2.0}},
    )
    assert bool(restarts(scene.plan())) is is_restarted


def test_one_slow_answer_does_not_restart_what_all_users_are_on() -> None:
    memo: dict[str, Any] = {}
    for second, probe in enumerate((WELL, ILL, WELL, ILL, ILL, WELL, ILL, ILL, ILL)):
        look = {"monotonic": 100.0 + second}
        members = {0: {"probes": {Color.BLUE: probe}}}
        scene = ended(ago=timedelta(seconds=10 + second), memo=memo, members=members, seen=look)
        plan = scene.plan()
        memo = memo_of(plan).model_dump()
        assert bool(restarts(plan)) is (second == 8), f"at look {second}"


@pytest.mark.parametrize("reason", ["ObserveMode", "Suspended"])
def test_while_nothing_may_be_changed_stable_is_not_restarted(reason: str) -> None:
    scene = ended(
        ago=timedelta(seconds=10),
        spec={"restartStable": "always"},
        release={"held": (reason, "nothing is changed")},
    )
    assert restarts(scene.plan()) == {}


def test_the_first_seconds_of_stable_are_given_to_it() -> None:
    ill = {"stable_ill_s": {GATEWAY: 2.0}}
    scene = ended(ago=timedelta(seconds=2), members={0: {"probes": {Color.BLUE: ILL}}}, memo=ill)
    assert restarts(scene.plan()) == {}


def test_a_new_attempt_has_nothing_to_do_with_the_last_ones_aftermath() -> None:
    plan = ended(ago=timedelta(seconds=40), version="1.2.0", seen={"has_report": False}).plan()
    assert attempt_of(plan).number == 2
    assert plan.steps == ()
    assert memo_of(plan).stable_since_rollback == {}


def test_evidence_of_stable_belongs_to_its_entry() -> None:
    watching = Watching(Color.BLUE, failing=0)
    watching.run(30)
    found = watching.memo["stable_since_rollback"]
    assert set(found) == {GATEWAY}
    assert Evidence.model_validate(found[GATEWAY]).failing.total.requests > 0
