"""One refused step holds back no other one."""

from dataclasses import replace
from datetime import timedelta

import pytest

from reconcilers.contract import NotSentError, PermanentError, Plan, Step, StepClass
from reconcilers.refusals import AGAIN_AFTER, Refusals
from tests.builders import START


def a_step(name: str) -> Step[str]:
    return Step(name, StepClass.ABSOLUTE, target=name, summary=f"make {name}")


PLAN = Plan(steps=(a_step("bad"), a_step("good")))
WHY = PermanentError("bad is no good", reason="Refused")


def test_what_was_refused_blocks_itself_and_the_others_go_on() -> None:
    refusals = Refusals()
    assert refusals.sorted_out(PLAN, START) is PLAN
    raised = refusals.note(PLAN.steps[0], WHY, START)
    assert isinstance(raised, NotSentError)
    assert str(raised) == "refused: bad is no good"
    plan = refusals.sorted_out(PLAN, START)
    assert (plan.steps, plan.blocked) == ((a_step("good"),), ("Refused", "bad is no good"))


def test_what_blocked_before_is_said_first() -> None:
    refusals = Refusals()
    refusals.note(PLAN.steps[0], WHY, START)
    plan = refusals.sorted_out(replace(PLAN, blocked=("Immutable", "it cannot")), START)
    assert plan.blocked == ("Immutable", "it cannot; bad is no good")


def test_another_spec_is_another_step_and_tried_at_once() -> None:
    refusals = Refusals()
    refusals.note(PLAN.steps[0], WHY, START)
    changed = Plan(steps=(a_step("better"), a_step("good")))
    assert refusals.sorted_out(changed, START) is changed


@pytest.mark.parametrize("cause", ["five minutes", "a success"])
def test_it_is_tried_again_behind_the_others_and_still_said(cause: str) -> None:
    refusals, now = Refusals(), START
    refusals.note(PLAN.steps[0], WHY, now)
    if cause == "a success":
        refusals.succeeded(a_step("good"))
    else:
        now += AGAIN_AFTER
    plan = refusals.sorted_out(PLAN, now)
    assert (plan.steps, plan.blocked) == ((a_step("good"), a_step("bad")), ("Refused", "bad is no good"))

    refusals.note(PLAN.steps[0], WHY, now)
    assert refusals.sorted_out(PLAN, now + timedelta(seconds=1)).steps == (a_step("good"),)
    refusals.succeeded(PLAN.steps[0])
    assert refusals.sorted_out(PLAN, now) is PLAN


def test_what_concerns_the_whole_server_is_no_refusal_of_one_step() -> None:
    refusals = Refusals()
    error = PermanentError("no such password", reason="WrongCredentials")
    assert refusals.note(PLAN.steps[0], error, START) is error
    assert refusals.sorted_out(PLAN, START) is PLAN
