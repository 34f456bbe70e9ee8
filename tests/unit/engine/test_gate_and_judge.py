"""Which steps may be carried out, and what is said of an object afterwards."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from crds.meta import Condition, ConditionType, Key, Mode, Truth, Verb
from daemon.engine.effects import Ran
from daemon.engine.gate import Gated, Hold, dependencies, gate, standing_hold
from daemon.engine.judge import judge, judge_blind
from daemon.store.state import State
from reconcilers.contract import (
    AnyResource,
    Intent,
    NotSentError,
    OutcomeKind,
    PermanentError,
    Plan,
    Step,
    StepClass,
    Verdict,
)
from tests.builders import START, a_container_spec, a_resource


@dataclass(frozen=True, slots=True)
class Turn:
    to: int


def a_step(
    to: int = 1, *, step_class: StepClass = StepClass.ABSOLUTE, needs: Verb | None = None
) -> Step[Turn]:
    return Step(Turn(to), step_class, "the knob", f"turn the knob to {to}", needs=needs)


def gated(resource: AnyResource, plan: Plan[Turn], **changes: Any) -> Gated:
    standing = standing_hold(
        resource,
        mode=changes.pop("mode", Mode.ENFORCE),
        suspended=changes.pop("suspended", False),
        waits_for=changes.pop("waits_for", None),
    )
    values = {"orphaned": False, "standing": standing, "intents": (), **changes}
    return gate(resource, plan, **values)


PLAIN = a_resource(a_container_spec())


@pytest.mark.parametrize(
    ("resource", "plan", "changes", "reason"),
    [
        (PLAIN, Plan(steps=(a_step(),)), {"mode": Mode.OBSERVE}, "ObserveMode"),
        (a_resource(a_container_spec(mode="Observe")), Plan(steps=(a_step(),)), {}, "ObserveMode"),
        (PLAIN, Plan(steps=(a_step(),)), {"suspended": True}, "Suspended"),
        (a_resource(a_container_spec(suspend=True)), Plan(steps=(a_step(),)), {}, "Suspended"),
        (PLAIN, Plan(steps=(a_step(),)), {"orphaned": True}, "Orphaned"),
        (PLAIN, Plan(steps=(a_step(),)), {"waits_for": Hold("MissingReference", "x")}, "MissingReference"),
        (PLAIN, Plan(steps=(a_step(),), foreign="it is not ours"), {}, "AdoptionRequired"),
        (PLAIN, Plan(steps=(a_step(needs=Verb.RECREATE),)), {}, "NotAllowed"),
    ],
    ids=["observe-globally", "observe-here", "suspended-by-hand", "suspended-in-the-spec", "orphan",
         "dependency", "foreign", "destructive"],
)  # fmt: skip
def test_steps_are_held(
    resource: AnyResource, plan: Plan[Turn], changes: dict[str, Any], reason: str
) -> None:
    result = gated(resource, plan, **changes)
    assert result.steps == ()
    assert result.held == plan.steps
    assert result.hold is not None
    assert result.hold.reason == reason


def test_what_outlives_its_file_is_brought_to_its_end() -> None:
    plan = Plan(steps=(a_step(),), outlives_file=True)
    assert gated(PLAIN, plan, orphaned=True).steps == plan.steps


def test_what_the_spec_allows_is_done() -> None:
    resource = a_resource(a_container_spec(allow=["recreate"], adopt=True))
    plan = Plan(steps=(a_step(needs=Verb.RECREATE),), foreign="it is not ours")
    assert gated(resource, plan) == Gated(plan.steps, (), None)


def test_steps_before_one_that_is_not_allowed_are_done_and_those_after_it_are_not() -> None:
    plan = Plan(steps=(a_step(1), a_step(2, needs=Verb.RESTART), a_step(3)))
    result = gated(PLAIN, plan)
    assert result.steps == plan.steps[:1]
    assert result.held == plan.steps[1:]
    assert result.hold is not None
    assert "allow: [restart]" in result.hold.message


def test_an_exclusive_step_waits_while_an_earlier_one_on_the_same_thing_has_no_known_outcome() -> None:
    intent = Intent(1, PLAIN.key, 1, "Turn", "the knob", "s", START, timedelta(60), OutcomeKind.UNKNOWN)
    exclusive = Plan(steps=(a_step(step_class=StepClass.EXCLUSIVE),))
    result = gated(PLAIN, exclusive, intents=(intent,))
    assert result.hold is not None
    assert result.hold.reason == "OutcomeUnknown"
    elsewhere = replace(intent, target="another knob")
    assert gated(PLAIN, exclusive, intents=(elsewhere,)).steps == exclusive.steps
    absolute = Plan(steps=(a_step(),))
    assert gated(PLAIN, absolute, intents=(intent,)).steps == absolute.steps


def a_view(**edges: str) -> State:
    """Objects by name, each with the names that it depends on."""
    objects = {}
    for number, (name, needed) in enumerate(edges.items()):
        references = [f"Container/{other}" for other in needed.split()]
        spec = a_container_spec(ctid=100 + number, dependsOn=references)
        objects[Key("Container", name)] = a_resource(spec, name)
    return State(objects=objects)


def test_a_missing_dependency_is_named() -> None:
    view = a_view(a="b")
    hold = dependencies(view, view.objects[Key("Container", "a")])
    assert hold == Hold("MissingReference", "there is no Container/b")


def test_a_cycle_is_named_and_what_hangs_on_it_only_waits() -> None:
    view = a_view(a="b", b="c", c="a", d="a")
    hold = dependencies(view, view.objects[Key("Container", "a")])
    assert hold == Hold("DependencyCycle", "Container/a → Container/b → Container/c → Container/a")
    outside = dependencies(view, view.objects[Key("Container", "d")])
    assert outside == Hold("DependencyNotReady", "waits for Container/a")


def test_a_dependency_releases_only_when_it_is_ready_at_its_newest_generation() -> None:
    view = a_view(a="b", b="")
    a, b = (view.objects[Key("Container", name)] for name in "ab")
    ready = (Condition(ConditionType.READY, Truth.TRUE, "AsAsked", "", START),)
    old = replace(b, conditions=ready, observed_generation=1, generation=2)
    assert dependencies(State(objects={a.key: a, b.key: old}), a) == Hold(
        "DependencyNotReady", "waits for Container/b"
    )
    new = replace(old, observed_generation=2)
    assert dependencies(State(objects={a.key: a, b.key: new}), a) is None


NOTHING = Ran((), (), (), None)


def said(
    resource: AnyResource, plan: Plan[Turn], ran: Ran = NOTHING, **changes: Any
) -> dict[str, tuple[str, str]]:
    result = gated(resource, plan, **changes)
    verdicts = judge(resource, plan, result, ran, changes.get("waits_for"))
    return {verdict.type.value: (verdict.status.value, verdict.reason) for verdict in verdicts}


def test_an_empty_plan_means_ready_and_synced() -> None:
    assert said(PLAIN, Plan()) == {
        "Ready": ("True", "AsAsked"),
        "Synced": ("True", "NoDifference"),
        "Progressing": ("False", "Idle"),
        "Degraded": ("False", "Whole"),
        "Drifted": ("False", "NoDifference"),
        "Stalled": ("False", "Moving"),
        "DependenciesReady": ("True", "AllReady"),
        "Adopted": ("True", "Ours"),
    }


def test_applied_steps_are_synced_but_not_ready_before_the_next_look() -> None:
    plan = Plan(steps=(a_step(),))
    found = said(PLAIN, plan, Ran(plan.steps, (), (), None))
    assert found["Synced"] == ("True", "NoDifference")
    assert found["Ready"] == ("False", "Changing")
    assert found["Progressing"] == ("True", "Applying")
    assert found["Drifted"] == ("False", "SpecChanged")


def test_a_difference_at_a_generation_that_was_synced_is_drift() -> None:
    synced = (Condition(ConditionType.SYNCED, Truth.TRUE, "NoDifference", "", START),)
    resource = replace(PLAIN, observed_generation=1, conditions=synced)
    assert said(resource, Plan(steps=(a_step(),)))["Drifted"] == ("True", "ChangedOutside")
    edited = replace(resource, generation=2)
    assert said(edited, Plan(steps=(a_step(),)))["Drifted"] == ("False", "SpecChanged")


def test_an_errand_is_no_difference() -> None:
    synced = (Condition(ConditionType.SYNCED, Truth.TRUE, "NoDifference", "", START),)
    resource = replace(PLAIN, observed_generation=1, conditions=synced)
    errand = Plan(steps=(replace(a_step(), errand=True),))
    found = said(resource, errand, Ran(errand.steps, (), (), None))
    assert (found["Drifted"], found["Ready"]) == (("False", "NoDifference"), ("True", "AsAsked"))
    both = Plan(steps=(*errand.steps, a_step()))
    assert said(resource, both)["Drifted"] == ("True", "ChangedOutside")


@pytest.mark.parametrize(
    ("plan", "ran", "condition", "expected"),
    [
        (Plan(blocked=("IdTaken", "x")), NOTHING, "Stalled", ("True", "IdTaken")),
        (Plan(blocked=("IdTaken", "x")), NOTHING, "Ready", ("False", "IdTaken")),
        (Plan(waiting="a lock"), NOTHING, "Progressing", ("True", "Waiting")),
        (Plan(waiting="a lock"), NOTHING, "Stalled", ("False", "Moving")),
        (Plan(failed="task failed"), NOTHING, "Synced", ("False", "StepFailed")),
        (Plan(steps=(a_step(needs=Verb.RESTART),)), NOTHING, "Stalled", ("True", "NotAllowed")),
        (Plan(steps=(a_step(),), foreign="theirs"), NOTHING, "Adopted", ("False", "AdoptionRequired")),
        (Plan(steps=(a_step(),)), NOTHING, "Synced", ("False", "NoEffect")),
        (Plan(steps=(a_step(),)), Ran((), (a_step(),), (), None), "Synced", ("False", "Running")),
        (Plan(steps=(a_step(),)), Ran((), (), (), NotSentError("no")), "Synced", ("False", "ApplyFailed")),
        (Plan(steps=(a_step(),)), Ran((), (), (), PermanentError("no", reason="Forbidden")), "Stalled",
         ("True", "Forbidden")),
    ],
)  # fmt: skip
def test_trouble_is_said(plan: Plan[Turn], ran: Ran, condition: str, expected: tuple[str, str]) -> None:
    assert said(PLAIN, plan, ran)[condition] == expected


def test_what_the_kind_says_itself_wins() -> None:
    away = Verdict(ConditionType.DEGRADED, Truth.TRUE, "NodeAway", "node 2 does not answer")
    assert said(PLAIN, Plan(verdicts=(away,)))["Degraded"] == ("True", "NodeAway")


def test_a_pass_that_saw_nothing_leaves_ready_as_it_was() -> None:
    ready = (Condition(ConditionType.READY, Truth.TRUE, "AsAsked", "", START),)
    blind = judge_blind(replace(PLAIN, conditions=ready), "ObserveFailed", "no answer", stalled=False)
    assert ConditionType.READY not in {verdict.type for verdict in blind}
    first = judge_blind(PLAIN, "ObserveFailed", "no answer", stalled=False)
    assert Verdict(ConditionType.READY, Truth.UNKNOWN, "ObserveFailed", "no answer") in first
