"""Which steps of a plan may be carried out now, and why the others may not: pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from crds.meta import Key, Mode
from reconcilers.contract import AnyResource, Close, Intent, Plan, Step, StepClass, View


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing, or not all, may be done. ``reason`` is CamelCase."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Gated:
    """The steps to carry out, in order, and what holds the others."""

    steps: tuple[Step[Any], ...]
    held: tuple[Step[Any], ...]
    hold: Hold | None


def dependencies(view: View, resource: AnyResource) -> Hold | None:
    """Return what the object waits for, None if all that it depends on is Ready."""
    cycle = _cycle(view, resource.key)
    if cycle:
        return Hold("DependencyCycle", " → ".join(map(str, cycle)))
    missing = [key for key in resource.spec.depends_on if view.get(key) is None]
    if missing:
        return Hold("MissingReference", f"there is no {_listed(missing)}")
    waiting = [key for key in resource.spec.depends_on if not _is_ready(view, key)]
    if waiting:
        return Hold("DependencyNotReady", f"waits for {_listed(waiting)}")
    return None


def standing_hold(
    resource: AnyResource, *, mode: Mode, suspended: bool, waits_for: Hold | None
) -> Hold | None:
    """Return what forbids all changes of an object whatever its plan is, the widest first."""
    if Mode.OBSERVE in {mode, resource.spec.mode}:
        return Hold("ObserveMode", "mode Observe: nothing is changed")
    if suspended or resource.spec.suspend:
        return Hold("Suspended", "suspended: nothing is changed")
    return waits_for


def _is_ready(view: View, key: Key) -> bool:
    found = view.get(key)
    return found is not None and found.is_ready()


def _cycle(view: View, start: Key) -> tuple[Key, ...]:
    """Return a way from *start* back to itself along dependsOn, empty if there is none."""
    paths: list[tuple[Key, ...]] = [(start,)]
    seen = {start}
    while paths:
        path = paths.pop()
        resource = view.get(path[-1])
        for key in resource.spec.depends_on if resource else ():
            if key == start:
                return (*path, start)
            if key not in seen:
                seen.add(key)
                paths.append((*path, key))
    return ()


def _listed(keys: Iterable[Key]) -> str:
    return ", ".join(str(key) for key in keys)


def gate(
    resource: AnyResource,
    plan: Plan[Any],
    *,
    orphaned: bool,
    standing: Hold | None,
    intents: tuple[Intent, ...],
) -> Gated:
    """Apply the rules that hold for every kind (DESIGN §3, §4), the widest first."""
    if not plan.steps:
        return Gated((), (), None)
    if orphaned and not plan.outlives_file:
        return _all_held(plan, "Orphaned", "its file is gone: nothing is changed until it is back")
    if standing is not None:
        return Gated((), plan.steps, standing)
    if plan.foreign is not None and not resource.spec.adopt:
        return _all_held(plan, "AdoptionRequired", f"{plan.foreign}; set adopt: true to take it over")
    return _allowed(resource, plan, intents)


def _all_held(plan: Plan[Any], reason: str, message: str) -> Gated:
    return Gated((), plan.steps, Hold(reason, message))


def _allowed(resource: AnyResource, plan: Plan[Any], intents: tuple[Intent, ...]) -> Gated:
    """Let steps through in order up to the first one that may not be done; what follows may build on it."""
    closed = {write.intent for write in plan.writes if isinstance(write, Close)}
    open_targets = {intent.target for intent in intents if intent.id not in closed}
    for index, step in enumerate(plan.steps):
        hold = None
        if step.needs is not None and step.needs not in resource.spec.allow:
            message = f"{step.summary}: needs allow: [{step.needs.value}]"
            hold = Hold("NotAllowed", message)
        elif step.step_class is not StepClass.ABSOLUTE and step.target in open_targets:
            hold = Hold("OutcomeUnknown", f"an earlier step on {step.target} has no known outcome yet")
        if hold is not None:
            return Gated(plan.steps[:index], plan.steps[index:], hold)
    return Gated(plan.steps, (), None)
