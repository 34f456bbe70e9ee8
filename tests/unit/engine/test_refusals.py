"""One refused step holds back no other one."""

from dataclasses import replace

import pytest

from daemon.engine.refusals import AGAIN_AFTER_S, Refusals
from reconcilers.contract import PermanentError, Plan, Step, StepClass


def a_step(name: str) -> Step[str]:
    return Step(name, StepClass.ABSOLUTE, target=name, summary=f"make {name}", independent=True)


PLAN = Plan(steps=(a_step("bad"), a_step("good")))
WHY = PermanentError("bad is no good", reason="Refused")


def test_what_was_refused_blocks_itself_and_the_others_go_on() -> None:
    refusals = Refusals()
    assert refusals.sorted_out(PLAN, 0.0) is PLAN
    assert refusals.note(PLAN.steps[0], WHY, 0.0)
    assert not refusals.note(PLAN.steps[0], WHY, 0.0), "it is no news the second time"
    plan = refusals.sorted_out(PLAN, 0.0)
    assert (plan.steps, plan.blocked) == ((a_step("good"),), ("Refused", "bad is no good"))


def test_what_blocked_before_is_said_first() -> None:
    refusals = Refusals()
    refusals.note(PLAN.steps[0], WHY, 0.0)
    plan = refusals.sorted_out(replace(PLAN, blocked=("Immutable", "it cannot")), 0.0)
    assert plan.blocked == ("Immutable", "it cannot; bad is no good")


def test_another_spec_is_another_step_and_tried_at_once() -> None:
    refusals = Refusals()
    refusals.note(PLAN.steps[0], WHY, 0.0)
    changed = Plan(steps=(a_step("better"), a_step("good")))
    assert refusals.sorted_out(changed, 0.0) is changed


@pytest.mark.parametrize("cause", ["five minutes", "a success"])
def test_it_is_tried_again_behind_the_others_and_still_said(cause: str) -> None:
    refusals, now = Refusals(), 0.0
    refusals.note(PLAN.steps[0], WHY, now)
    if cause == "a success":
        refusals.succeeded(a_step("good"))
    else:
        now += AGAIN_AFTER_S
    plan = refusals.sorted_out(PLAN, now)
    assert (plan.steps, plan.blocked) == ((a_step("good"), a_step("bad")), ("Refused", "bad is no good"))

    refusals.note(PLAN.steps[0], WHY, now)
    assert refusals.sorted_out(PLAN, now + 1).steps == (a_step("good"),)
    refusals.succeeded(PLAN.steps[0])
    assert refusals.sorted_out(PLAN, now) is PLAN


def test_who_asks_for_it_now_gets_it_tried_now() -> None:
    refusals = Refusals()
    refusals.note(PLAN.steps[0], WHY, 0.0)
    refusals.forget()
    assert refusals.sorted_out(PLAN, 0.0) is PLAN


def test_hundreds_of_refusals_are_a_few_and_a_number() -> None:
    refusals, steps = Refusals(), tuple(a_step(f"queue-{number}") for number in range(700))
    for step in steps:
        refusals.note(step, PermanentError(f"no {step.target}", reason="Refused"), 0.0)
    plan = refusals.sorted_out(Plan(steps=steps), 1.0)
    assert plan.steps == ()
    assert plan.blocked == (
        "Refused",
        "no queue-0; no queue-1; no queue-2; no queue-3; no queue-4; and 695 more",
    )
